import GrantLedger
import IPNetwork
import TestSupport
import Testing

@testable import FirewallModel

@Suite struct BridgeMessageTests {
  private static func element(_ generator: inout SeededRandom) -> GrantElement {
    let any = Bool.random(using: &generator)
    return GrantElement(
      server: .random(in: 0...UInt16.max, using: &generator),
      address: Bool.random(using: &generator)
        ? IPAddress(v4: .random(in: 0...UInt32.max, using: &generator))
        : IPAddress(high: generator.next(), low: generator.next()),
      transport: any ? 0 : [6, 17].randomElement(using: &generator)!,
      port: any ? 0 : .random(in: 1...UInt16.max, using: &generator))
  }

  private static func refusal(_ generator: inout SeededRandom) -> BridgeRefusal {
    BridgeRefusal(
      BridgeRefusal.Reason(rawValue: .random(in: 1...8, using: &generator))!,
      errno: .random(in: Int32.min...Int32.max, using: &generator))
  }

  static func samples(_ generator: inout SeededRandom) -> [BridgeMessage] {
    let count = Int.random(in: 0...40, using: &generator)
    let id = UInt32.random(in: 0...UInt32.max, using: &generator)
    let plan = generator.next()
    let elements = (0..<count).map { _ in element(&generator) }
    let grants = elements.map { element in
      UnitGrant(
        unit: .random(in: 0...UInt32.max, using: &generator),
        commit: GrantCommit(
          element: element, lifetimeMilliseconds: .random(in: 1...UInt32.max, using: &generator),
          caps: .random(in: 0...UInt16.max, using: &generator)))
    }
    let listed = elements.map { ListedElement(element: $0, remainingMilliseconds: UInt32(truncatingIfNeeded: plan)) }
    let refused = (0..<count).map { RefusedUnit(unit: UInt32($0), refusal: refusal(&generator)) }
    let servers = (0..<count).map { _ in ServerSets(rawValue: .random(in: 0...63, using: &generator)) }
    let volumes = elements.map { ElementVolume(element: $0, octets: plan, packets: UInt64(id)) }
    let connections = elements.enumerated().map { index, element in
      RefusedConnection(
        server: index % 2 == 0 ? nil : element.server, kind: .init(rawValue: UInt8(index % 5 + 1))!,
        source: element.address, sourcePort: element.port, destination: element.address,
        transport: UInt8(index), port: element.port, length: id, time: plan)
    }
    return [
      .planPart(request: id, index: 3, count: 4, octets: (0..<count).map { UInt8($0) }),
      .grants(batch: id, plan: plan, grants: grants),
      .revoke(request: id, plan: plan, cutsFlows: count % 2 == 0, elements: elements),
      .inUse(request: id, plan: plan, elements: elements),
      .listServer(request: id, plan: plan, server: 65_535),
      .removeTable(request: id, table: "sluice"),
      .ping(request: id),
      .readAgain(request: id),
      .closeBooks(request: id), .unreachable(request: id, plan: plan, elements: elements),
      .hello(
        BridgeGreeting(
          incarnation: plan, refresh: .replace, generation: id, plan: plan, servers: servers)),
      .outcome(batch: id, refused: refused),
      .done(request: id, refusal: refusal(&generator), flows: id, text: "why ü"),
      .done(request: id, refusal: nil, flows: 0, text: ""),
      .page(request: id, last: true, elements: listed),
      .foreignChange([.tableRemoved, .reinstalled], servers: elements.map(\.server)),
      .volumes(volumes),
      .prefixVolumes(
        (0..<count).map {
          PrefixVolume(server: UInt16($0 % 7), prefix: IPPrefix("192.0.2.0/24")!, octets: plan, packets: 1)
        }),
      .refusals(connections),
      .books((0..<count).map { _ in RefusalBook(server: "a", refused: plan, told: 1, since: plan, cutSince: 0) }),
      .notice("so it is"), .alarm, .alive, .refusalsRead(count % 2 == 0),
      .broken(incarnation: plan, text: "no"),
    ]
  }

  @Test("every message comes back as it was sent")
  func roundTrip() throws {
    var generator = SeededRandom(seed: 1)
    for _ in 0..<200 {
      for message in Self.samples(&generator) {
        #expect(try BridgeMessage(decoding: message.encoded()) == message)
      }
    }
  }

  @Test("the largest messages stay below the limit of the socket")
  func largest() {
    let address = IPAddress(high: .max, low: .max)
    let element = GrantElement(server: 1, address: address, transport: 6, port: 443)
    let grant = UnitGrant(unit: 1, commit: GrantCommit(element: element, lifetimeMilliseconds: 1))
    let messages: [BridgeMessage] = [
      .grants(batch: 1, plan: 1, grants: Array(repeating: grant, count: BridgeMessage.maximumGrants)),
      .revoke(
        request: 1, plan: 1, cutsFlows: true,
        elements: Array(repeating: element, count: BridgeMessage.maximumElements)),
      .inUse(request: 1, plan: 1, elements: Array(repeating: element, count: BridgeMessage.maximumElements)),
      .volumes(
        Array(
          repeating: ElementVolume(element: element, octets: .max, packets: .max), count: BridgeMessage.maximumVolumes)),
      .prefixVolumes(
        Array(
          repeating: PrefixVolume(server: 1, prefix: IPPrefix("2001:db8::/32")!, octets: .max, packets: .max),
          count: BridgeMessage.maximumVolumes)),
      .refusals(
        Array(
          repeating: RefusedConnection(
            server: 1, kind: .closed, source: address, sourcePort: 1, destination: address, transport: 6, port: 1,
            length: 1, time: .max), count: BridgeMessage.maximumRefusals)),
      .books(
        Array(
          repeating: RefusalBook(
            server: String(repeating: "a", count: 63), refused: .max, told: .max, since: .max, cutSince: .max),
          count: BridgeMessage.maximumBooks)),
      .page(
        request: 1, last: false,
        elements: Array(
          repeating: ListedElement(element: element, remainingMilliseconds: 1),
          count: BridgeMessage.maximumElements)),
      .planPart(
        request: 1, index: 0, count: 1,
        octets: Array(repeating: 1, count: BridgeMessage.maximumPartOctets)),
      .hello(
        BridgeGreeting(
          incarnation: 1, refresh: .inPlace, generation: 1, plan: 1,
          servers: Array(repeating: .all, count: FirewallPlan.maximumServerCount))),
    ]
    for message in messages {
      #expect(message.encoded().count <= BridgeMessage.maximumOctets)
      #expect((try? BridgeMessage(decoding: message.encoded())) == message)
    }
  }

  @Test("no octets trap, and what decodes encodes to the same octets")
  func randomOctets() {
    var generator = SeededRandom(seed: 2)
    for round in 0..<20_000 {
      var octets = (0..<Int.random(in: 0...80, using: &generator)).map { _ in
        UInt8(truncatingIfNeeded: generator.next())
      }
      if round % 2 == 0, octets.count > 1 {
        octets[0] = 1
        octets[1] = [1, 2, 3, 4, 5, 6, 7, 8, 65, 66, 67, 68, 69, 70, 71, 72, 73].randomElement(using: &generator)!
      }
      if let message = try? BridgeMessage(decoding: octets) {
        #expect(message.encoded().count == octets.count)
      }
    }
    for _ in 0..<1_000 {
      for message in Self.samples(&generator) {
        var octets = message.encoded()
        for _ in 0..<3 {
          octets[Int.random(in: 0..<octets.count, using: &generator)] = UInt8(truncatingIfNeeded: generator.next())
        }
        if Bool.random(using: &generator) {
          octets.removeLast(Int.random(in: 0..<octets.count, using: &generator))
        }
        _ = try? BridgeMessage(decoding: octets)
      }
    }
  }

  @Test("a grant without a lifetime, a port without a transport and a foreign version are refused")
  func fields() {
    let element = GrantElement(server: 1, address: IPAddress(v4: 1), transport: 6, port: 443)
    let grant = UnitGrant(unit: 1, commit: GrantCommit(element: element, lifetimeMilliseconds: 0))
    #expect(throws: BridgeFormatError.field) {
      try BridgeMessage(decoding: BridgeMessage.grants(batch: 1, plan: 1, grants: [grant]).encoded())
    }
    for (transport, port) in [(0, 443), (6, 0), (1, 1)] {
      let odd = GrantElement(
        server: 1, address: IPAddress(v4: 1), transport: UInt8(transport), port: UInt16(port))
      #expect(throws: BridgeFormatError.field) {
        try BridgeMessage(
          decoding: BridgeMessage.revoke(request: 1, plan: 1, cutsFlows: false, elements: [odd]).encoded())
      }
    }
    var octets = BridgeMessage.ping(request: 1).encoded()
    octets[0] = 2
    #expect(throws: BridgeFormatError.version) { try BridgeMessage(decoding: octets) }
    #expect(throws: BridgeFormatError.trailing) {
      try BridgeMessage(decoding: BridgeMessage.ping(request: 1).encoded() + [0])
    }
    let wrong: [BridgeMessage] = [
      .removeTable(request: 1, table: "x; flush ruleset"), .planPart(request: 1, index: 4, count: 4, octets: []),
      .foreignChange(TableChange(rawValue: 128), servers: []),
      .books([RefusalBook(server: "a b", refused: 1, told: 1, since: 1, cutSince: 0)]),
      .hello(
        BridgeGreeting(
          incarnation: 1, refresh: .inPlace, generation: 1, plan: 1, servers: [ServerSets(rawValue: 64)])),
    ]
    for message in wrong {
      #expect(throws: BridgeFormatError.field, "\(message)") { try BridgeMessage(decoding: message.encoded()) }
    }
    #expect(throws: BridgeFormatError.tooLong) {
      try BridgeMessage(decoding: [UInt8](repeating: 1, count: BridgeMessage.maximumOctets + 1))
    }
  }
}
