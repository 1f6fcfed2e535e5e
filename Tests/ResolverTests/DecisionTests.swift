import DNSWire
import EgressPolicy
import IPNetwork
import ResponseCache
import TestSupport
import Testing
import Zones

@testable import Resolver

@Suite("Decision: what policy says, and what is done")
struct DecisionTests {
  private static let zone = """
    lan. 60 IN SOA lan. lan. 1 2 3 4 5
    host.lan. 60 IN A 192.0.2.7
    self.lan. 60 IN A 127.0.0.1

    """

  private func listing() throws -> World {
    var world = try World(["api.example.com", "db", "host.lan", "self.lan", "x.test"])
    world.zoneText = Self.zone
    return world
  }

  private func decision(_ name: String, _ type: RRType = .A, in world: World) throws -> Decision {
    try world.snapshot().decision(server: 0, name: Messages.name(name).span, type: type)
  }

  @Test func `the verdict stays what policy says, whatever is done`() throws {
    var world = try listing()
    world.opensIPv6 = false
    for (name, type, expected) in [
      ("api.example.com", .A, .resolve), ("api.example.com", .AAAA, .withoutIPv6), ("db", .A, .keepLabel),
      ("host.lan", .A, .openLocally), ("x.test", .A, .resolve),
    ] as [(String, RRType, Decision.Enforcement)] {
      let found = try decision(name, type, in: world)
      #expect(found.enforcement == expected && found.rule != nil, "\(name) \(type)")
      #expect(found.mayOpen == (expected == .resolve || expected == .openLocally))
    }
    guard case .answerLocally = try decision("self.lan", in: world).enforcement else {
      Issue.record("a loopback address is opened")
      return
    }
  }

  @Test func `what is not listed is denied, kept, or answered from the local zones`() throws {
    let world = try World()
    #expect(try decision("evil.example.com", in: world).enforcement == .deny(.notListed))
    #expect(try decision("api.example.com", .TXT, in: world).enforcement == .deny(.typeNotAllowed))
    #expect(try decision("com", in: world).enforcement == .keepLabel)
    #expect(try decision(".", in: world).enforcement == .keepLabel)
    #expect(try decision("4.3.2.1.in-addr.arpa", .PTR, in: world).enforcement == .reverse(address("1.2.3.4")))
    guard case .answerLocally(let answer) = try decision("x.test", in: world).enforcement else {
      Issue.record("a special-use name is not answered here")
      return
    }
    #expect(answer.responseCode == .NXDOMAIN)
  }

  @Test func `an address outside the loopback networks is answered to servers that list the name alone`() throws {
    var world = try World()
    world.zoneText = Self.zone
    #expect(try decision("host.lan", in: world).enforcement == .deny(.notListed))
  }

  @Test func `only what is resolved may stay open over a change of policy`() throws {
    var world = try listing()
    let before = try world.snapshot()
    #expect(before.grantsAsBefore(before, server: 0, name: Messages.name("api.example.com"), type: .AAAA))
    #expect(!before.grantsAsBefore(before, server: 0, name: Messages.name("db"), type: .A))
    world.opensIPv6 = false
    let after = try world.snapshot()
    #expect(after.grantsAsBefore(before, server: 0, name: Messages.name("api.example.com"), type: .A))
    #expect(!after.grantsAsBefore(before, server: 0, name: Messages.name("api.example.com"), type: .AAAA))
  }

  @Test func `the facts of a name are those of a query for it`() throws {
    var random = SeededRandom(seed: 0xFAC7)
    for _ in 0..<2000 {
      let labels: [[UInt8]] = (0..<random.below(6)).map { _ in
        (0...random.below(70) % 63).map { _ in
          random.below(20) == 0 ? random.octet() : random.pick(Array("abz09-_AZ".utf8))
        }
      }
      let name: [UInt8] =
        labels.flatMap { (label: [UInt8]) -> [UInt8] in [UInt8(label.count)] + label.map(NameWire.lowercased) } + [0]
      guard name.count <= 255 else { continue }
      let message = Messages.be16(7) + [1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + name + Messages.be16(1) + Messages.be16(1)
      let query = try screen(message)
      let facts = QueryFacts(name.span, .A, server: 0, hash: NameHash(seed: 1))
      #expect(facts.labelCount == query.labelCount && facts.isHostname == query.isHostname, "\(name)")
    }
  }
}
