import DNSWire
import EgressPolicy
import FirewallModel
import GateModel
import GrantLedger
import IPNetwork
import TestSupport
import Testing

@Suite("what serve and the gate say to each other")
struct GateMessageTests {
  private static var messages: [GateMessage] {
    let element = GrantElement(server: 7, address: IPAddress("2001:db8::1")!, transport: 6, port: 443)
    let holding = GateHolding(
      element: element, name: Name(written: "api.example.com")!, until: 1 << 60, isChecked: true, allowsHiding: false)
    var bounded = holding
    bounded.limits = ByteLimits(maxBytes: ByteBound(262_144, .audit), maxBytesPerHour: 1_048_576)
    let gated = GatedConnection(
      verdict: .mismatch, element: element, client: IPAddress("10.77.1.2")!, clientPort: 40_000, said: "evil.example",
      length: 517, time: 1 << 61)
    var inspected = holding
    inspected.isInspected = true
    var refused = gated
    (refused.verdict, refused.status) = (.inspectorRefused, 403)
    return [
      .networks(isFirst: true, isLast: false, [GateNetwork(prefix: IPPrefix("10.77.1.0/24")!, server: 7)]),
      .open(request: 9, [holding, bounded, inspected]), .close(request: 0, cuts: true, [holding]), .evict([element]),
      .forget(server: 3),
      .ready(process: 4_711), .review(request: 10), .closed(request: 9, connections: 3),
      .passing(request: 10, isLast: true, [GateHolder(element: element, name: holding.name)]),
      .recorded(connection: 1 << 40, true), .hello(process: 77), .received(request: 9),
      .inspect(
        connection: 6,
        InspectionOrder(
          inspector: Inspector(address: IPAddress("127.0.0.1")!, port: 8080), id: "0123", server: "a",
          rule: "policy.yaml:3")), .cut(connection: 6), .inspected(connection: 6), .ended(connection: 6),
      .judged(connection: 5, gated), .judged(connection: 6, refused),
      .volumes([ElementVolume(element: element, octets: 5, packets: 0)]),
    ]
  }

  @Test("is read as it was written")
  func roundTrip() throws {
    for message in Self.messages { #expect(try GateMessage(decoding: message.encoded()) == message) }
  }

  @Test("fits one message where its lists keep to their bounds")
  func sizes() throws {
    let label = String(repeating: "a", count: 63)
    let name = try #require(Name(written: "\(label).\(label).\(label).\(String(repeating: "b", count: 61))"))
    #expect(name.wire.count == 255)
    let element = GrantElement(server: 7, address: IPAddress("2001:db8::1")!, transport: 6, port: 443)
    let holding = GateHolding(element: element, name: name, until: .max, isChecked: true)
    let open = GateMessage.open(request: 1, Array(repeating: holding, count: GateMessage.maximumHoldings)).encoded()
    #expect(open.count <= GateMessage.maximumOctets)
    let passing = GateMessage.passing(
      request: 1, isLast: true,
      Array(repeating: GateHolder(element: element, name: name), count: GateMessage.maximumHoldings))
    #expect(passing.encoded().count <= GateMessage.maximumOctets)
    let network = GateNetwork(prefix: try #require(IPPrefix("2001:db8::/32")), server: 1)
    let networks = GateMessage.networks(
      isFirst: true, isLast: true, Array(repeating: network, count: GateMessage.maximumNetworks))
    #expect(networks.encoded().count <= GateMessage.maximumOctets)
    let volume = ElementVolume(element: element, octets: .max, packets: .max)
    #expect(
      GateMessage.volumes(Array(repeating: volume, count: GateMessage.maximumElements)).encoded().count
        <= GateMessage.maximumOctets)
  }

  @Test("no octets trap, and a name is whole and canonical or refused", arguments: [1, 2, 3])
  func hostile(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for message in Self.messages {
      let octets = message.encoded()
      for count in octets.indices { #expect((try? GateMessage(decoding: Array(octets[..<count]))) == nil) }
      for _ in 0..<2_000 {
        var changed = octets
        changed[Int.random(in: changed.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
        guard let read = try? GateMessage(decoding: changed), case .open(_, let holdings) = read else { continue }
        for holding in holdings { #expect(Name(written: holding.name.description) == holding.name) }
      }
    }
  }
}
