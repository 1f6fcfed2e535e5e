import DNSWire
import IPNetwork
import TestSupport
import Testing

@testable import EgressPolicy

/// The semantics once more, written as plainly as possible over label arrays.
private struct Oracle {
  let patterns: [NamePattern]
  let labels: [[String]]

  init(_ patterns: [NamePattern]) {
    self.patterns = patterns
    labels = patterns.map { $0.suffix.description.split(separator: ".").map(String.init) }
  }

  func winner(_ name: [String]) -> Int? {
    var best: (rank: [Int], index: Int)?
    for (index, pattern) in patterns.enumerated() where matches(index, name) {
      let rank = [pattern.kind == .exact ? 1 : 0, labels[index].count, pattern.kind == .oneLabel ? 1 : 0]
      if best == nil || best!.rank.lexicographicallyPrecedes(rank) { best = (rank, index) }
    }
    return best?.index
  }

  private func matches(_ index: Int, _ name: [String]) -> Bool {
    let suffix = labels[index]
    guard Array(name.suffix(suffix.count)) == suffix else { return false }
    switch patterns[index].kind {
    case .exact: return name.count == suffix.count
    case .oneLabel: return name.count == suffix.count + 1
    case .anyLabels: return name.count > suffix.count
    }
  }
}

@Suite struct PolicyOracleTests {
  /// Few letters and few labels: names and patterns meet all the time.
  private func labels(_ count: ClosedRange<Int>, _ generator: inout SeededRandom) -> [String] {
    (0..<Int.random(in: count, using: &generator)).map { _ in
      String((0..<Int.random(in: 1...2, using: &generator)).map { _ in "ab".randomElement(using: &generator) ?? "a" })
        + (Int.random(in: 0..<20, using: &generator) == 0 ? "-longer-than-one-word-of-octets" : "")
    }
  }

  @Test("random policies decide random names as the plain reading of the rules does", arguments: 0..<40)
  func suffixSemantics(seed: Int) throws {
    var generator = SeededRandom(seed: UInt64(seed))
    let count = [0, 1, 3, 30, 300][seed % 5]
    let patterns = try (0..<count).map { _ in
      let prefix = ["", "", "*.", "**."].randomElement(using: &generator) ?? ""
      return try NamePattern(prefix + labels(1...4, &generator).joined(separator: "."))
    }
    let rules = patterns.map { EgressRule(pattern: $0, location: location()) }
    // Every other policy has tables in which all names, or very many, have one hash: octets must tell them apart.
    let mask: UInt64 = [.max, 0, 0xFFFF_FFFF_0000_0000, 7][seed % 4]
    let servers = [try server("other", ["a.a"]), try server(rules: rules)]
    let snapshot = PolicySnapshot(servers, hash: NameHash(seed: generator.next()), hashMask: mask)
    let oracle = Oracle(patterns)
    for _ in 0..<2000 {
      let name = labels(1...6, &generator)
      let expected = oracle.winner(name).map { Verdict.allowed(rule: $0) } ?? .notListed
      #expect(snapshot.verdict(name, server: 1) == expected, "\(name) under \(patterns)")
    }
  }

  @Test("random prefixes name the server that a scan of all of them names", arguments: 0..<20)
  func longestPrefix(seed: Int) throws {
    var generator = SeededRandom(seed: UInt64(1000 + seed))
    var networks: [String] = []
    for _ in 0..<40 {
      let length = [8, 12, 16, 20, 24, 30, 31, 32].randomElement(using: &generator) ?? 32
      let address = UInt32.random(in: 0...0x3FFF, using: &generator) &* 0x10001
      let network = address & (~0 << UInt32(32 - length))
      let text = "\(network >> 24).\(network >> 16 & 255).\(network >> 8 & 255).\(network & 255)/\(length)"
      if !networks.contains(text) { networks.append(text) }
    }
    let snapshot = PolicySnapshot(
      try networks.enumerated().map { try server("s\($0.offset)", networks: [$0.element]) })
    let prefixes = try networks.map { try IPPrefix.parse($0) }
    for _ in 0..<2000 {
      let address = IPAddress(
        v4: UInt32.random(in: 0...0x3FFF, using: &generator) &* 0x10001 &+ UInt32.random(in: 0...3, using: &generator))
      let expected = prefixes.indices.filter { prefixes[$0].contains(address) }.max {
        prefixes[$0].length < prefixes[$1].length
      }
      #expect(snapshot.clients.server(of: address) == expected, "\(address)")
      let mapped = IPAddress(high: 0, low: 0xFFFF_0000_0000 | address.low)
      #expect(snapshot.clients.server(of: mapped) == expected, "\(mapped)")
    }
  }

  @Test("the fingerprint changes with decisions only, not with order, locations or the tables' seed")
  func fingerprint() throws {
    let first = try server("one", networks: ["10.0.0.0/24", "10.0.1.0/24"], ["a.example.com", "b.example.com"])
    let second = try server("two", networks: ["10.0.2.0/24"], ["*.example.com"])
    let base = PolicySnapshot([first, second], hash: NameHash(seed: 1)).fingerprint
    #expect(base.count == 32)
    #expect(PolicySnapshot([second, first], hash: NameHash(seed: 2)).fingerprint == base)
    let reordered = try server(
      "one", networks: ["10.0.1.0/24", "10.0.0.0/24"], ["b.example.com", "A.example.com.", "a.example.com"], line: 9)
    #expect(PolicySnapshot([reordered, second]).fingerprint == base)
    var others = Set([base])
    for patterns in [["a.example.com"], ["a.example.com", "*.b.example.com"], ["a.example.com", "**.b.example.com"]] {
      let changed = try server("one", networks: ["10.0.0.0/24", "10.0.1.0/24"], patterns)
      others.insert(PolicySnapshot([changed, second]).fingerprint)
    }
    let wired = try server("one", networks: ["10.0.0.0/24", "10.0.1.0/24"], interface: "br0", ["a.example.com"])
    others.insert(PolicySnapshot([wired, second]).fingerprint)
    #expect(others.count == 5)
  }
}
