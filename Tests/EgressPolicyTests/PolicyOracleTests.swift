import DNSWire
import Foundation
import IPNetwork
import TestSupport
import Testing

@testable import EgressPolicy

/// The semantics once more, written as plainly as possible over the texts of patterns.
private struct Oracle {
  /// Labels from the right, and what may stand in front of them.
  private struct Pattern {
    var labels: [String]
    var most: Int
    var least: Int
  }

  private let patterns: [Pattern]

  init(_ texts: [String]) {
    patterns = texts.map { text in
      var labels = text.split(separator: ".").map(String.init)
      var pattern = Pattern(labels: [], most: 0, least: 0)
      if text.hasPrefix(".") { pattern.most = .max }
      if labels.first == "**" {
        (pattern.least, pattern.most) = (1, .max)
        labels.removeFirst()
      }
      pattern.labels = labels.reversed()
      return pattern
    }
  }

  /// Every pattern that matches a name, whichever is the most specific.
  func matching(_ name: [String]) -> [Int] {
    let name = Array(name.reversed())
    return patterns.indices.filter { Self.matches(patterns[$0], name) }
  }

  func winner(_ name: [String]) -> Int? {
    let name = Array(name.reversed())
    var best: (rank: [Int], index: Int)?
    for (index, pattern) in patterns.enumerated() where Self.matches(pattern, name) {
      let rank = pattern.labels.flatMap(Self.rank) + [pattern.most == 0 ? 9 : pattern.least]
      if best == nil || best!.rank.lexicographicallyPrecedes(rank) { best = (rank, index) }
    }
    return best?.index
  }

  /// A label of letters before one of letters and a star, and that with more letters, and with more in front, before a star.
  private static func rank(_ label: String) -> [Int] {
    guard let star = label.firstIndex(of: "*") else { return [12, 0, 0] }
    return label == "*" ? [10, 0, 0] : [11, label.count, label[..<star].count]
  }

  private static func matches(_ pattern: Pattern, _ name: [String]) -> Bool {
    let front = name.count - pattern.labels.count
    return front >= pattern.least && front <= pattern.most
      && zip(pattern.labels, name).allSatisfy { label, text in
        guard label.contains("*") else { return label == text }
        let ends = label.split(separator: "*", omittingEmptySubsequences: false)
        return text.count >= label.count && text.hasPrefix(ends[0]) && text.hasSuffix(ends[1])
      }
  }
}

/// Where the patterns of a random policy stand, in the order in which they decide where two are the same.
private struct Standing {
  var document: [NamePattern] = []
  /// Of `always-allow` and of layers.
  var layers: [NamePattern] = []
  var permits: [NamePattern] = []
  var denied: [NamePattern] = []
  var deniedAbove: [NamePattern] = []

  func policy() throws -> ServerPolicy {
    var policy = try server(rules: document.map { rule($0, 1) })
    policy.denials = RuleList(denied.map { rule($0, 2) })
    if !layers.isEmpty || !deniedAbove.isEmpty {
      // Two layers, so that it does not matter in which one an entry stands.
      let (allowed, above) = (layers.count / 2, deniedAbove.count / 2)
      policy = policy.under(
        PolicyLayers([
          PolicyLayers.Layer(
            name: "first", rules: RuleList(layers[..<allowed].map { rule($0, 3) }),
            denials: RuleList(deniedAbove[..<above].map { rule($0, 4) })),
          PolicyLayers.Layer(
            name: "second", rules: RuleList(layers[allowed...].map { rule($0, 5) }),
            denials: RuleList(deniedAbove[above...].map { rule($0, 6) })),
        ]))
    }
    return policy.adding(permits.map { PermitRule(server: policy.name, rule: rule($0, 7)) })
  }

  private func rule(_ pattern: NamePattern, _ line: Int) -> EgressRule {
    EgressRule(pattern: pattern, location: location(line))
  }
}

@Suite struct PolicyOracleTests {
  /// Few letters and few labels: names and patterns meet all the time.
  private func labels(_ count: ClosedRange<Int>, _ generator: inout SeededRandom) -> [String] {
    (0..<Int.random(in: count, using: &generator)).map { _ in
      let letters = (0..<Int.random(in: 1...2, using: &generator)).map { _ in
        "ab".randomElement(using: &generator) ?? "a"
      }
      // A label of 42 octets, whose length is written like a star.
      return String(letters)
        + (["-longer-than-one-word-of-octets", String(repeating: "x", count: 42 - letters.count)]
        + Array(repeating: "", count: 30))
        .randomElement(using: &generator)!
    }
  }

  private func pattern(_ generator: inout SeededRandom) throws -> NamePattern {
    let prefix = ["", "", "*.", "**.", "."].randomElement(using: &generator) ?? ""
    var labels = labels(1...4, &generator)
    if Bool.random(using: &generator) {
      for index in labels.indices.dropLast() where Bool.random(using: &generator) {
        labels[index] = ["*", "*", "a*", "*b", "a*b", "aa*", "*ab"].randomElement(using: &generator) ?? "*"
      }
    }
    return try NamePattern(prefix + labels.joined(separator: "."))
  }

  private func standing(seed: Int, _ generator: inout SeededRandom) throws -> Standing {
    func patterns(_ count: Int) throws -> [NamePattern] { try (0..<count).map { _ in try pattern(&generator) } }
    let size = [0, 1, 3, 30, 300][seed % 5]
    var standing = Standing(document: try patterns(size))
    guard seed % 3 > 0 else { return standing }
    // Few denials among many entries, or as many.
    let few = seed % 3 == 1 ? 3 : size
    standing.layers = try patterns(seed % 7 * size / 10)
    // A permit for a name and all below it is one for each.
    standing.permits = try patterns(seed % 4).filter { $0.kind != .subtree }
    standing.denied = try patterns(seed % 2 * few)
    standing.deniedAbove = try patterns(max(few - seed % 2, 0))
    return standing
  }

  /// Compares decisions of one random policy. Returns how many names each verdict had.
  @discardableResult
  private func compare(seed: Int, decisions: Int) throws -> (allowed: Int, denied: Int, notListed: Int) {
    var generator = SeededRandom(seed: UInt64(seed))
    let standing = try standing(seed: seed, &generator)
    // Every other policy has tables in which all names, or very many, have one hash: octets must tell them apart.
    let mask: UInt64 = [.max, 0, 0xFFFF_FFFF_0000_0000, 7][seed % 4]
    let servers = [
      try server("other", ["a.a", "*.a.*.a"]), try standing.policy(), try server("third", ["b*.b", ".a"]),
    ]
    let snapshot = PolicySnapshot(servers, hash: NameHash(seed: generator.next()), hashMask: mask)
    let allowed = standing.document + standing.layers + standing.permits
    let oracle = Oracle(allowed.map(\.description))
    let denials = Oracle((standing.denied + standing.deniedAbove).map(\.description))
    var counts = (allowed: 0, denied: 0, notListed: 0)
    for _ in 0..<decisions {
      let name = labels(1...6, &generator)
      let (verdict, closing) = (snapshot.verdict(name, server: 1), denials.matching(name))
      if case .denied(let rule) = verdict {
        counts.denied += 1
        #expect(closing.contains(rule - allowed.count), "\(name) is denied under \(standing)")
      } else {
        let expected = oracle.winner(name).map { Verdict.allowed(rule: $0) } ?? .notListed
        if expected == .notListed { counts.notListed += 1 } else { counts.allowed += 1 }
        #expect(verdict == expected && closing.isEmpty, "\(name) under \(standing)")
      }
    }
    return counts
  }

  @Test("random policies decide random names as the plain reading of the rules does", arguments: 0..<60)
  func suffixSemantics(seed: Int) throws {
    try compare(seed: seed, decisions: 1000)
  }

  @Test("the random policies allow, deny and leave out many names each")
  func spread() throws {
    var sum = (allowed: 0, denied: 0, notListed: 0)
    for seed in 100..<120 {
      let counts = try compare(seed: seed, decisions: 100)
      sum = (sum.allowed + counts.allowed, sum.denied + counts.denied, sum.notListed + counts.notListed)
    }
    #expect(min(sum.allowed, sum.denied, sum.notListed) > 200, "\(sum)")
  }

  /// `Tests/Long/run` says how many: 10,000,000.
  private static let many = ProcessInfo.processInfo.environment["SLUICE_ORACLE_DECISIONS"].flatMap { Int($0) }

  @Test("so do millions of names under thousands of policies", .enabled(if: many != nil))
  func manyDecisions() throws {
    for seed in 0..<(Self.many ?? 0) / 1000 { try compare(seed: 10_000 + seed, decisions: 1000) }
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
    for patterns in [
      ["a.example.com"], ["a.example.com", "*.b.example.com"], ["a.example.com", "**.b.example.com"],
      ["a.example.com", ".b.example.com"], ["a.example.com", "*b.example.com"], ["a.example.com", "b*.example.com"],
    ] {
      let changed = try server("one", networks: ["10.0.0.0/24", "10.0.1.0/24"], patterns)
      others.insert(PolicySnapshot([changed, second]).fingerprint)
    }
    let wired = try server("one", networks: ["10.0.0.0/24", "10.0.1.0/24"], interface: "br0", ["a.example.com"])
    others.insert(PolicySnapshot([wired, second]).fingerprint)
    #expect(others.count == 8)
  }
}
