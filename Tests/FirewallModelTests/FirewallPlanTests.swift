import EgressPolicy
import IPNetwork
import TestSupport
import Testing

@testable import FirewallModel

@Suite struct FirewallPlanTests {
  @Test("a plan comes back as it was sent, and cut or changed octets never trap")
  func roundTrip() throws {
    var plan = FirewallPlan.sample()
    plan.isExclusive = true
    let octets = plan.encoded()
    #expect(try FirewallPlan(decoding: octets) == plan)
    for count in 0..<octets.count {
      #expect(throws: BridgeFormatError.self) { try FirewallPlan(decoding: Array(octets[..<count])) }
    }
    var generator = SeededRandom(seed: 3)
    for _ in 0..<5_000 {
      var changed = octets
      for _ in 0..<2 {
        changed[Int.random(in: 0..<octets.count, using: &generator)] = UInt8(truncatingIfNeeded: generator.next())
      }
      if let read = try? FirewallPlan(decoding: changed) {
        #expect(throws: Never.self) { try read.validate() }
      }
    }
  }

  @Test("a server that is gone has its number and no set, chain or counter; one with a network is none")
  func gone() throws {
    var plan = FirewallPlan.sample()
    let (kept, name) = (plan.servers[0].name, plan.servers[1].name)
    #expect(try Ruleset.render(plan).contains(name))
    plan.servers[1] = FirewallPlan.Server(name: name, prefixes: [], opensAnyPort: false)
    #expect(try Ruleset.render(plan).contains("add chain inet sluice \(name)\n"), "its sets are still in use")
    plan.servers[1].isGone = true
    let text = try Ruleset.render(plan)
    #expect(!text.contains(name) && text.contains("add chain inet sluice \(kept)\n"))
    #expect(try FirewallPlan(decoding: plan.encoded()) == plan)
    plan.servers[1].prefixes = [FirewallPlan.prefix("10.99.0.0/24")]
    #expect(throws: FirewallPlanError.gone(index: 1)) { try plan.validate() }
    #expect(throws: BridgeFormatError.self) { try FirewallPlan(decoding: plan.encoded()) }
  }

  @Test(
    "a name that nft could misread is refused",
    arguments: ["", "a b", "a;b", "a{", "1a", "a\n", "über", "forward", "accept", "servers", "clients", "A"])
  func names(_ name: String) {
    var plan = FirewallPlan.sample()
    plan.servers[1].name = name
    #expect(throws: FirewallPlanError.serverName(index: 1)) { try Ruleset.render(plan) }
  }

  @Test(
    "a table's name that is none is refused",
    arguments: ["", "a b", "x;", "\"x\"", "4", String(repeating: "a", count: 64)])
  func tables(_ name: String) {
    #expect(throws: FirewallPlanError.tableName) { try Ruleset.render(.sample(table: name)) }
  }

  @Test(
    "an interface's name that is none, or could be read as more, is refused",
    arguments: ["", ".", "..", "a b", "eth0;", "\"eth0\"", "a/b", "eth0\n", "abcdefghijklmnop"])
  func interfaces(_ name: String) {
    var plan = FirewallPlan.sample()
    plan.servers[1].interface = name
    #expect(throws: FirewallPlanError.interface(index: 1)) { try plan.validate() }
  }

  @Test("a server named twice, a network owned twice and a managed table of one family are refused")
  func doubles() {
    var plan = FirewallPlan.sample()
    plan.servers[1].name = plan.servers[0].name
    #expect(throws: FirewallPlanError.serverTwice(index: 1)) { try plan.validate() }
    plan = .sample()
    plan.servers[1].prefixes.append(plan.servers[0].prefixes[0])
    #expect(throws: FirewallPlanError.prefixTwice(index: 1)) { try plan.validate() }
    plan = .sample()
    plan.family = .ip
    #expect(throws: FirewallPlanError.managedFamily) { try plan.validate() }
  }

  @Test("more servers than there may be, and bounds that are too many, equal or nothing, are refused")
  func bounds() {
    let caps = (1...UInt64(FirewallPlan.maximumCapCount + 1)).map { ByteCap(kind: .perHour, bytes: $0) }
    var plan = FirewallPlan.sample()
    plan.servers[1].caps = Array(caps.dropLast())
    #expect(throws: Never.self) { try plan.validate() }
    for wrong in [caps, [caps[0], caps[0]], [ByteCap(kind: .perHour, bytes: 0)]] {
      plan.servers[1].caps = wrong
      #expect(throws: FirewallPlanError.caps(index: 1)) { try plan.validate() }
    }
    plan = .sample()
    plan.servers[0].staticRules[0].maxBytes = 0
    #expect(throws: FirewallPlanError.caps(index: 0)) { try plan.validate() }
    plan = .sample()
    plan.servers = (0...FirewallPlan.maximumServerCount).map {
      FirewallPlan.Server(name: "s\($0)", prefixes: [], opensAnyPort: false)
    }
    #expect(throws: FirewallPlanError.tooManyServers) { try plan.validate() }
    plan.servers.removeLast()
    #expect(throws: Never.self) { try plan.validate() }
  }

  @Test(
    "denied networks come back as they were, and are refused out of their order, one within another one, or too many")
  func denied() throws {
    var plan = FirewallPlan.sample()
    let prefixes = ["10.0.0.0/8", "198.51.100.0/25", "198.51.100.128/25", "2001:db8::/32"].map(FirewallPlan.prefix)
    plan.servers[1].deniedPrefixes = prefixes
    #expect(try FirewallPlan(decoding: plan.encoded()) == plan && plan.fingerprint != FirewallPlan.sample().fingerprint)
    let many = (0...PolicyLinter.maximumDeniedNetworks).map { number in
      IPPrefix(IPAddress(v4: 0x0A00_0000 + UInt32(number) * 2), length: 32)!
    }
    for wrong in [
      Array(prefixes.reversed()), [prefixes[0], prefixes[0]], [prefixes[0], FirewallPlan.prefix("10.1.0.0/16")], many,
    ] {
      plan.servers[1].deniedPrefixes = wrong
      #expect(throws: FirewallPlanError.denied(index: 1)) { try plan.validate() }
    }
  }

  @Test("another version of a plan, inbound ports of a server that has none, and host bits in a network are refused")
  func contradictions() throws {
    var plan = FirewallPlan.sample()
    plan.servers[1].inbound = [PortRule(8080, .tcp)]
    var octets = plan.encoded()
    octets[0] ^= 1
    #expect(throws: BridgeFormatError.version) { try FirewallPlan(decoding: octets) }
    octets[0] ^= 1
    // At the end: whether there is such a list, its count, a port of three octets, DHCP, checks, whether it is gone, and
    // how many inspectors and denied networks it has.
    let flag = octets.count - 19
    try #require(octets[flag] == 1)
    octets[flag] = 0
    #expect(throws: BridgeFormatError.field) { try FirewallPlan(decoding: octets) }
    for (text, isRight) in [("10.77.1.0", true), ("10.77.1.4", false)] {
      var writer = OctetWriter()
      writer.address(IPAddress(text)!)
      writer.integer(24 as UInt8)
      var reader = OctetReader(writer.octets)
      #expect(((try? reader.prefix()) != nil) == isRight)
    }
  }

  @Test("the longest prefix owns an address, whatever nests in what")
  func ranges() {
    var generator = SeededRandom(seed: 4)
    for _ in 0..<300 {
      var seen: Set<IPPrefix> = []
      var entries: [(prefix: IPPrefix, owner: Int)] = []
      for owner in 0..<Int.random(in: 1...12, using: &generator) {
        let length = [0, 8, 24, 25, 26, 28, 30, 31, 32].randomElement(using: &generator)!
        let base: UInt32 = length <= 8 ? 0 : [0, 0xFFFF_FF00].randomElement(using: &generator)!
        let mask: UInt32 = length == 0 ? 0 : ~0 << UInt32(32 - length)
        let address = (base | UInt32.random(in: 0...255, using: &generator)) & mask
        let prefix = IPPrefix(IPAddress(v4: address), length: length)!
        if seen.insert(prefix).inserted { entries.append((prefix, owner % 4)) }
      }
      let ranges = DisjointRanges(entries, family: .v4).ranges
      for pair in zip(ranges, ranges.dropFirst()) {
        #expect(pair.0.last < pair.1.first)
      }
      for value in Array(0...255) + Array(0xFFFF_FF00...0xFFFF_FFFF) + [0x0100_0000, 0x8000_0000] {
        let address = IPAddress(v4: UInt32(value))
        let best = entries.filter { $0.prefix.contains(address) }.max { $0.prefix.length < $1.prefix.length }
        let found = ranges.first { $0.first <= address.value && address.value <= $0.last }
        #expect(found?.owner == best?.owner)
      }
    }
  }

  @Test("the name of a set tells its server, family and kind")
  func setNames() {
    for name in FirewallPlan.sample().servers.flatMap(SetName.all(of:)) {
      #expect(SetName(name.text) == name)
    }
    #expect(SetName("a-4/max-5")?.cap == ByteCap(kind: .perConnection, bytes: 5))
    #expect(SetName("a-4/audit-5")?.cap == ByteCap(kind: .perConnection, bytes: 5, excess: .audit))
    #expect(SetName("a-6/audithour-5")?.cap == ByteCap(kind: .perHour, bytes: 5, excess: .audit))
    for text in [
      "clients-4", "servers-6", "x", "x-5", "-4", "a b-4", "a-4/max-5/x", "a-4/max-0", "a-4/max-05", "a-4/max-5-6",
      "a-4/max", "a-4/", "a-4/min-5",
    ] {
      #expect(SetName(text) == nil)
    }
  }
}
