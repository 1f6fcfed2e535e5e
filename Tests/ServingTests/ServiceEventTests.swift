import AuditLog
import Control
import DNSWire
import EgressPolicy
import FirewallModel
import IPNetwork
import Resolver
import Testing

@testable import GrantLedger
@testable import Serving

/// What events of the service and of refused packets say, octet for octet as the log always had it.
@Suite struct ServiceEventTests {
  private static let wall: UInt64 = 1_763_630_062_481_000_000
  private let clock = QueryClock(monotonic: 500_000_000_000, wall: wall, epoch: 1)

  private func text(_ members: AuditMembers) -> String { String(decoding: members.octets, as: UTF8.self) }

  private func refused(
    _ transport: UInt8 = 6, kind: RefusedConnection.Kind = .closed, closed: GrantLedger.Closed? = nil,
    held: HeldNetwork? = nil, asksResolver: Bool = false
  ) throws -> String {
    let connection = RefusedConnection(
      server: 1, kind: kind, source: IPAddress(v4: 0x0A4D_0102), sourcePort: 40_188,
      destination: IPAddress(v4: 0xC000_0201), transport: transport, port: 443, length: 60, time: Self.wall)
    return text(connection.members(closed, held, asksResolver: asksResolver, clock))
  }

  @Test("a refused packet has its address, its protocol and its port where there is one")
  func refusedPacket() throws {
    #expect(try refused() == #","address":"192.0.2.1","protocol":"tcp","port":443"#)
    #expect(try refused(17) == #","address":"192.0.2.1","protocol":"udp","port":443"#)
    #expect(try refused(1) == #","address":"192.0.2.1","protocol":"icmp""#)
    #expect(try refused(58) == #","address":"192.0.2.1","protocol":"icmpv6""#)
    #expect(try refused(132) == #","address":"192.0.2.1","protocol":"132""#)
  }

  @Test("what was open says when, and who closed it before its time")
  func history() throws {
    func closed(_ ending: GrantLedger.Ending?) throws -> String {
      let name = try Name(hostname: "api.example.com")
      let closed = GrantLedger.Closed(
        name: name, opened: clock.monotonic - 60_000_000_000, closed: clock.monotonic - 1_000_000_000, ending: ending)
      return try String(refused(1, closed: closed).dropFirst(#","address":"192.0.2.1","protocol":"icmp""#.count))
    }
    let opened = #","opened":"2025-11-20T09:13:22.481Z""#
    let end = #","closed":"2025-11-20T09:14:21.481Z""#
    #expect(try closed(nil) == opened + end)
    #expect(try closed(.policy) == opened + end + #","closed_by":"policy""#)
    #expect(try closed(.operator) == opened + end + #","closed_by":"operator""#)
    #expect(try closed(.restart) == opened + #","closed_by":"restart""#)
  }

  @Test("what would let a packet pass is told of held networks and of ports that are not listed")
  func remedy() throws {
    let tcp = #","address":"192.0.2.1","protocol":"tcp","port":443"#
    let network = HeldNetwork(prefix: try #require(IPPrefix("10.77.9.0/24")), server: "gone")
    #expect(
      try refused(kind: .held, held: network)
        == tcp + #","network":"10.77.9.0/24","remedy":"\#(EnclosureText.release(network))""#)
    #expect(try refused(kind: .inbound) == tcp + #","remedy":"inbound: [ 443/tcp ]""#)
    #expect(try refused(1, kind: .inbound).hasSuffix(#","remedy":"inbound: any""#))
    // What a container sends to a listen address that is not there yet is no matter of `inbound:`.
    #expect(try refused(kind: .inbound, asksResolver: true) == tcp)
  }

  @Test("a policy that came into force says what changed, then who wanted it and why")
  func activated() throws {
    var applied = Activation.Applied(policy: "0a1b2c3d", former: "00000000", servers: 3, serversChanged: 1)
    (applied.addressesClosed, applied.flowsCut) = (2, 5)
    let fixed =
      #","policy":"0a1b2c3d","former":"00000000","servers":3,"servers_changed":1,"addresses_closed":2,"flows_cut":5"#
    #expect(text(applied.members) == fixed)
    applied.letGo = [HeldNetwork(prefix: try #require(IPPrefix("10.77.9.0/24")), server: "gone")]
    #expect(text(applied.members) == fixed + #","networks_held":["10.77.9.0/24"]"#)
    applied.isManaged = false
    #expect(text(applied.members) == fixed + #","networks_open":["10.77.9.0/24"]"#)
    let peer = ControlPeer(pid: 4711, uid: 1000, gid: 0)
    #expect(
      text(PolicyChanges.Change(kind: .files, peer: peer).members) == #","uid":1000,"pid":4711,"cause":"files""#)
    #expect(text(PolicyChanges.Change(kind: .withdraw([])).members) == #","cause":"permit-withdrawn""#)
  }

  @Test("a permit says until when, for what and why, in ASCII")
  func permit() throws {
    let rule = EgressRule(
      pattern: try NamePattern("api.example.com"), ports: .any, until: 1_763_632_800,
      location: EgressPolicy.SourceLocation(file: "", line: 0, column: 0))
    let permit = Permit(
      id: 7, allowed: PermitRule(server: try ServerName("agent"), rule: rule), justification: "für \"n\"",
      peer: ControlPeer(pid: 1, uid: 0, gid: 0), given: 0, deadline: 0)
    #expect(
      text(permit.members)
        == #","permit":7,"until":"2025-11-20T10:00:00Z","ports":["any"],"types":["A","AAAA"],"#
        + #""justification":"f\u00fcr \"n\"""#)
  }

  @Test("the end of an incident names the servers whose counters are gone, the first 32")
  func countersLost() {
    var counts = RefusalCounts()
    #expect(counts.takeLost().isEmpty)
    for number in 10..<45 {
      _ = counts.close(
        RefusalBook(server: "s\(number)", refused: 1, told: 1, since: 1, cutSince: Self.wall + UInt64(number - 10)))
    }
    let members = counts.takeLost()
    #expect(members[.countersLost] == (10..<42).map { "s\($0)" })
    #expect(text(members).hasSuffix(#","counters_lost_more":3,"counted_until":"2025-11-20T09:14:22.481Z""#))
    #expect(counts.takeLost().isEmpty)
  }
}
