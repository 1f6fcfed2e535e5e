import AuditLog
import EgressPolicy
import FirewallModel
import GrantLedger
import IPNetwork
import Resolver

/// What the event of a refused packet says of it. Only equal members merge: nothing that differs from packet to packet is
/// among them.
extension RefusedConnection {
  /// Whether its protocol has ports.
  var hasPorts: Bool { transport == 6 || transport == 17 }

  /// - Parameters:
  ///   - closed: what its server had open there, and has no more.
  ///   - held: the network that it came from, if no policy governs it any more.
  ///   - entry: of the policy, which opens the address without a name.
  ///   - denial: of the policy, which denies it.
  ///   - asksResolver: whether it was sent to a listen address, which its network's interface does not have yet.
  func members(
    _ closed: GrantLedger.Closed?, _ held: HeldNetwork?, entry: StaticPrefixRule? = nil, denial: PrefixDenial? = nil,
    asksResolver: Bool = false,
    _ clock: QueryClock
  ) -> AuditMembers {
    var members = AuditMembers(.address, destination).with(.protocol, protocolName)
    if hasPorts { members.append(.port, port) }
    let remedy = asksResolver ? nil : remedy(held)
    return members.with(closed?.members(clock)).with(remedy).with(
      .rule, (entry?.location ?? denial?.location)?.description
    )
    .with(.layer, denial?.layer)
  }

  /// Whether an entry opens what the packet was sent to.
  func isOpened(by entry: StaticPrefixRule) -> Bool {
    switch entry.ports {
    case .any: true
    case .ports(let ports): ports.contains { $0.transport.rawValue == transport && $0.port == port }
    }
  }

  private var protocolName: String {
    switch transport {
    case 6: "tcp"
    case 17: "udp"
    case 1: "icmp"
    case 58: "icmpv6"
    default: "\(transport)"
    }
  }

  /// What would let it pass, if it should.
  private func remedy(_ held: HeldNetwork?) -> AuditMembers? {
    if let held { return AuditMembers(.network, held.prefix.description).with(.remedy, EnclosureText.release(held)) }
    guard kind == .inbound else { return nil }
    return AuditMembers(.remedy, "inbound: " + (hasPorts ? "[ \(port)/\(protocolName) ]" : "any"))
  }
}

extension GrantLedger.Closed {
  /// When it had been opened and closed, and by whom before its time.
  fileprivate func members(_ clock: QueryClock) -> AuditMembers {
    func text(_ time: UInt64) -> String {
      Timestamp.text(clock.wall - min(clock.wall, clock.monotonic - min(clock.monotonic, time)))
    }
    // When in the run before it was closed is not known.
    return AuditMembers(.opened, text(opened))
      .with(.closed, ending == .restart ? nil : text(closed))
      .with(.closedBy, ending?.rawValue)
  }
}
