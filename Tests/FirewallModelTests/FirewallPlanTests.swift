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

  @Test("a table's name that is none is refused", arguments: ["", "a b", "x;", "\"x\"", "4"])
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
    for text in ["clients-4", "servers-6", "x", "x-5", "-4", "a b-4"] {
      #expect(SetName(text) == nil)
    }
  }
}
