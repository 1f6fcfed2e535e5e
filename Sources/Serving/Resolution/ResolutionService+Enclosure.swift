import FirewallBridge
import FirewallModel
import BridgeProcesses
import AuditLog
import EgressPolicy
import IPNetwork
import LinuxIO
import Resolver

/// What the resolver's thread knows of interfaces that are enclosed and of networks that stay closed.
struct EnclosureState {
  var report = EnclosureReport()
  /// Networks that a policy governed once, and none governs now.
  var held: [HeldNetwork] = []
  /// Listen addresses at which policy knows no client.
  var gaps: [ListenCoverage.Gap] = []

  /// Networks of no server whose clients are refused.
  var closed: [IPPrefix] { held.map(\.prefix) + report.links.flatMap(\.others) }
}

extension ResolutionService {
  /// The bridge found out behind which interfaces servers' networks lie.
  func enclosureChanged(_ report: EnclosureReport) {
    let former = enclosure.report
    enclosure.report = report
    readHeldNetworks()
    let wall = shared.clock().wall
    for link in report.links where !former.links.contains(link) {
      if !link.others.isEmpty {
        StandardError.write("sluice: warning: \(Self.text(of: link))")
      }
      _ = push(
        AuditRecordHeader(service: .interfaceEnclosed, wallClock: wall),
        server: link.servers.first.flatMap { planName($0) }.map { Array($0.utf8) } ?? everybody,
        destination: Array(link.interface.utf8),
        AuditMembers(.interface, link.interface).with(.others, link.others.map(\.description)))
    }
    for displacement in report.displacements where !former.displacements.contains(displacement) {
      let server = planName(displacement.server) ?? "?"
      StandardError.write("sluice: warning: \(EnclosureText.text(of: displacement, server: server))")
    }
    for exposure in report.exposures where !former.exposures.contains(exposure) {
      let server = planName(exposure.server) ?? "?"
      StandardError.write("sluice: warning: \(EnclosureText.text(of: exposure, server: server))")
      _ = push(
        AuditRecordHeader(service: .networkExposed, wallClock: wall), server: Array(server.utf8),
        destination: Array("\(exposure.network)".utf8),
        AuditMembers(.network, exposure.network.description)
          .with(.interface, exposure.interface)
          .with(.cause, EnclosureText.cause(of: exposure.gap)))
    }
  }

  /// The name of a server of the plan that a report is of: it comes while that is installed, before its policy is in force.
  private func planName(_ index: UInt16) -> String? {
    guard let plan = bridge?.plan, Int(index) < plan.servers.count else { return serverName(index) }
    return plan.servers[Int(index)].name
  }

  /// Tells of listen addresses at which policy knows no client, once for each state of the host and the policy.
  func tellCoverage(_ snapshot: ResolverSnapshot) {
    let held = enclosure.held.map(\.prefix)
    let gaps = ListenCoverage(listeners.sorted(), snapshot.policy.servers, host: host, held: held).gaps
    for gap in gaps where !enclosure.gaps.contains(gap) {
      StandardError.write("sluice: warning: listen: \(gap.text)")
    }
    enclosure.gaps = gaps
  }

  private static func text(of link: EnclosureReport.Link) -> String {
    EnclosureText.others(link.others, behind: link.interface)
  }

  /// Learns which networks stay closed: the state folder is the bridge's, and says it. As they were where it cannot be read.
  func readHeldNetworks() {
    guard let bridge, options.isManaged, let plan = bridge.plan else { return }
    do throws(SystemError) {
      enclosure.held = try StateFolder.networks(of: plan.table, at: options.state).held(beside: plan)
    } catch {
      StandardError.write("sluice: warning: which networks stay closed is not known anew: \(options.state): \(error)")
    }
  }

  /// Whether other networks are held than when the rules were made: an operator may have released some.
  func holdsOthers(beside plan: FirewallPlan) -> Bool {
    let former = enclosure.held
    readHeldNetworks()
    return options.isManaged && former != enclosure.held
  }

  /// Networks that the former policy governed and none governs any more.
  func letGo(since former: ResolverSnapshot, _ snapshot: ResolverSnapshot) -> [HeldNetwork] {
    let governed = snapshot.policy.servers.flatMap(\.networks).map(\.prefix)
    let same = Set(governed)
    var gone: [HeldNetwork] = []
    for server in former.policy.servers {
      for network in server.networks where !same.contains(network.prefix) && !network.prefix.isCovered(by: governed) {
        gone.append(HeldNetwork(prefix: network.prefix, server: server.name.text))
      }
    }
    readHeldNetworks()
    guard options.isManaged else { return gone }
    return gone.filter { enclosure.held.contains($0) }
  }

  /// The longest held network around an address.
  func heldNetwork(around address: IPAddress) -> HeldNetwork? {
    enclosure.held.filter { $0.prefix.contains(address) }.max { $0.prefix.length < $1.prefix.length }
  }
}
