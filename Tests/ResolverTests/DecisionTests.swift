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

  @Test func `what would be opened or bounded otherwise does not stay open over a change of policy`() throws {
    let world = try World()
    func rule(_ text: [String] = [], max: ByteBound? = nil, hour: ByteBound? = nil) throws -> EgressRule {
      EgressRule(
        pattern: try NamePattern("api.example.com"), privatePrefixes: text.map(prefix), maxBytes: max,
        maxBytesPerHour: hour, location: SourceLocation(file: "policy.yaml", line: 1, column: 1))
    }
    func snapshot(
      _ rule: EgressRule, opensIPv6: Bool = true, plain: Set<IPAddress.Family> = [], caps: [ByteCap] = []
    ) throws -> ResolverSnapshot {
      var world = world
      world.rules = [rule]
      let made = try world.snapshot()
      return ResolverSnapshot(
        policy: made.policy, zones: made.zones, rules: made.rules,
        servers: made.servers.enumerated().map { index, state in
          ServerState(
            name: "s\(index)", cache: state.cache, firewallIndex: UInt16(index), interface: nil, opensIPv6: opensIPv6,
            plainFamilies: plain, byteCaps: caps)
        })
    }
    func stays(_ after: ResolverSnapshot, _ before: ResolverSnapshot) -> Bool {
      after.grantsAsBefore(before, server: 0, name: Messages.name("api.example.com"), type: .A)
    }
    let before = try snapshot(rule())
    #expect(stays(try snapshot(rule()), before))
    #expect(!stays(try snapshot(rule(), opensIPv6: false), before))
    #expect(!stays(try snapshot(rule(), plain: [.v4]), before))
    #expect(!stays(try snapshot(rule(["10.0.0.0/8"])), before))
    #expect(!stays(try snapshot(rule(max: 5)), before))
    #expect(!stays(try snapshot(rule(hour: 5)), before))
    #expect(!stays(try snapshot(rule(max: 5)), try snapshot(rule(max: ByteBound(5, .audit)))))
    let caps = [5, 6].map { ByteCap(kind: .perConnection, bytes: $0) }
    let capped = try snapshot(rule(max: 5), caps: [caps[0]])
    #expect(stays(try snapshot(rule(max: 5), caps: caps), capped))
    #expect(!stays(try snapshot(rule(max: 5), caps: caps.reversed()), capped))
    #expect(!stays(try snapshot(rule(max: 5), caps: [caps[1]]), capped))
  }

  @Test func `an interface is looked up when another one than the known comes up`() throws {
    let state = ServerState(
      name: "mcp", cache: ResponseCache(maxEntries: 10, hash: NameHash(seed: 1)), firewallIndex: 0, interface: "br-x")
    var asked = 0
    func admits(_ index: UInt32) -> Bool {
      state.admits(interface: index) { _ in
        asked += 1
        return 7
      }
    }
    for _ in 0..<3 { #expect(admits(7)) }
    #expect(asked == 1)
    #expect(!admits(8) && !admits(0) && admits(7))
    #expect(asked == 2)
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
