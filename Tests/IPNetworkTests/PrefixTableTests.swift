import IPNetwork
import TestSupport
import Testing

@Suite("Longest-prefix match")
struct PrefixTableTests {
  @Test("a lookup finds what a search of every prefix finds", arguments: 0..<60)
  func oracle(_ seed: Int) {
    var random = SeededRandom(seed: UInt64(seed))
    let isV4 = seed % 2 == 0
    // A small space makes prefixes nest and touch.
    func address() -> IPAddress {
      isV4
        ? IPAddress(v4: 0x0A00_0000 | UInt32(truncatingIfNeeded: random.next()) & 0xFFF)
        : IPAddress(high: 0xFD00 << 48, low: random.next() & 0xFFF)
    }
    var entries: [(IPPrefix, UInt32)] = []
    for value in 0..<UInt32(1 + random.next() % 40) {
      let length = (isV4 ? 20 : 116) + Int(random.next() % 13)
      if let prefix = IPPrefix(address(), length: length), !entries.contains(where: { $0.0 == prefix }) {
        entries.append((prefix, value))
      }
    }
    if seed % 5 == 0, let all = IPPrefix(address(), length: 0) { entries.append((all, 999)) }
    let table = PrefixTable(entries)
    for _ in 0..<2000 {
      let key = address()
      let expected = entries.filter { $0.0.contains(key) }.max { $0.0.length < $1.0.length }?.1
      #expect(table.lookup(key) == expected)
    }
  }

  @Test("the last address of each family is matched")
  func edges() throws {
    let table = PrefixTable([
      (try #require(IPPrefix("255.255.255.255/32")), 1), (try #require(IPPrefix("0.0.0.0/31")), 2),
      (try #require(IPPrefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127")), 3),
    ])
    #expect(table.lookup(IPAddress(v4: .max)) == 1)
    #expect(table.lookup(IPAddress(v4: .max - 1)) == nil)
    #expect(table.lookup(IPAddress(v4: 1)) == 2)
    #expect(table.lookup(IPAddress(v4: 2)) == nil)
    #expect(table.lookup(IPAddress(high: .max, low: .max)) == 3)
    #expect(table.lookup(IPAddress(high: .max, low: .max - 2)) == nil)
  }

  @Test("a prefix with host bits is refused and the one that was meant is named")
  func hostBits() throws {
    let meant = try #require(IPPrefix("10.0.0.0/8"))
    #expect(throws: IPPrefixError.hostBits(meant)) { try IPPrefix.parse("10.1.0.0/8") }
    #expect(throws: IPPrefixError.length) { try IPPrefix.parse("10.0.0.0/33") }
    #expect(throws: IPPrefixError.length) { try IPPrefix.parse("10.0.0.0/08") }
    #expect(throws: IPPrefixError.address) { try IPPrefix.parse("10.0.0/8") }
    #expect(IPPrefix("10.0.0.1")?.length == 32)
    #expect(IPPrefix("::1")?.length == 128)
  }
}

@Suite("Whether networks cover another")
struct PrefixCoverTests {
  @Test("as looking at every address says", arguments: 0..<200)
  func oracle(_ seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    let isV4 = seed % 2 == 0
    func address(_ low: UInt64) -> IPAddress {
      isV4 ? IPAddress(v4: 0xFFFF_FF00 | UInt32(low)) : IPAddress(high: .max, low: ~0xFF | low)
    }
    func prefix(_ shortest: Int) throws -> IPPrefix {
      let length = Int.random(in: shortest...8, using: &random) + (isV4 ? 24 : 120)
      return try #require(IPPrefix(address(random.next() & 0xFF), length: length))
    }
    let whole = try prefix(2)
    let others = try (0..<Int.random(in: 0...40, using: &random)).map { _ in try prefix(3) }
    let isCovered = (0...0xFF as ClosedRange<UInt64>).map(address).filter(whole.contains).allSatisfy { address in
      others.contains { $0.contains(address) }
    }
    #expect(whole.isCovered(by: others) == isCovered)
  }
}
