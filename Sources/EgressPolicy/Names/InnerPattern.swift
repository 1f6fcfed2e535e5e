import DNSWire

/// A pattern that holds `*` elsewhere than in front, in flat memory. Those below one suffix stand behind each other, denials
/// first, then the most specific.
struct InnerPattern: BitwiseCopyable, Sendable {
  var rule: UInt32 = 0
  /// Where it stands in the names of its server.
  var start: UInt32 = 0
  var length: UInt8 = 0
  /// Octets of the labels that follow its last `*`.
  var suffixLength: UInt8 = 0
  var labels: UInt8 = 0
  var kind = NamePattern.Kind.exact
  var isDenial = false

  /// Whether a name of so many labels can match.
  func takes(_ depth: Int) -> Bool {
    switch kind {
    case .exact, .labels: depth == Int(labels)
    case .oneLabel: depth == Int(labels) &+ 1
    case .anyLabels: depth > Int(labels)
    case .subtree: depth >= Int(labels)
    }
  }

  /// Whether the labels of `name` from octet `from` on are those of the pattern, as far as the common suffix, which begins at `to`.
  ///
  /// - Parameters:
  ///   - octets: the names, those of the pattern's server from `base` on.
  func matches(_ name: Span<UInt8>, from: Int, to: Int, _ octets: borrowing FlatArray<UInt8>, at base: Int) -> Bool {
    var at = from
    var own = base &+ Int(start)
    while at < to {
      let (length, ownLength) = (Int(name[at]), Int(octets[own]))
      guard Self.matches(name, (at &+ 1)..<(at &+ 1 &+ length), octets, (own &+ 1)..<(own &+ 1 &+ ownLength)) else {
        return false
      }
      at &+= 1 &+ length
      own &+= 1 &+ ownLength
    }
    return true
  }

  /// One label: octet by octet, from `*` on backwards; it stands for one octet at least.
  private static func matches(
    _ name: Span<UInt8>, _ label: Range<Int>, _ octets: borrowing FlatArray<UInt8>, _ own: Range<Int>
  ) -> Bool {
    var same = 0
    while same < own.count, octets[own.lowerBound &+ same] != NamePattern.star {
      guard same < label.count, name[label.lowerBound &+ same] == octets[own.lowerBound &+ same] else { return false }
      same &+= 1
    }
    guard same < own.count else { return label.count == own.count }
    guard label.count >= own.count else { return false }
    var back = 1
    while back < own.count &- same {
      guard name[label.upperBound &- back] == octets[own.upperBound &- back] else { return false }
      back &+= 1
    }
    return true
  }
}

// MARK: - Building

extension InnerPattern {
  /// The patterns of a list by the suffix behind their last `*`, each one once, and which rules repeat one.
  static func runs(of list: RuleList) -> (runs: [[InnerPattern]], repeats: [NameTable.Repeat]) {
    let rules = list.innerWildcards
    guard !rules.isEmpty else { return ([], []) }
    var first: [Listed: Int] = [:]
    var repeats: [NameTable.Repeat] = []
    var bySuffix: [Name: [(shape: PatternShape, pattern: InnerPattern)]] = [:]
    for rule in rules {
      let pattern = list.pattern(at: rule)
      let listed = Listed(pattern: pattern, isDenial: list.entries[rule].isDenial)
      if let other = first[listed] {
        repeats.append(NameTable.Repeat(first: other, second: rule))
        continue
      }
      first[listed] = rule
      let suffix = pattern.literalSuffix
      guard suffix != .root else { continue }
      bySuffix[suffix, default: []].append(
        (PatternShape(pattern), InnerPattern(rule, list.entries[rule], suffix, pattern)))
    }
    let runs = bySuffix.values.map { run in
      run.sorted {
        $0.pattern.isDenial == $1.pattern.isDenial ? $0.shape.isMoreSpecific(than: $1.shape) : $0.pattern.isDenial
      }.map(\.pattern)
    }
    return (runs, repeats)
  }

  private init(_ rule: Int, _ entry: RuleList.Entry, _ suffix: Name, _ pattern: NamePattern) {
    self.rule = UInt32(rule)
    start = entry.nameStart
    length = entry.nameLength
    suffixLength = UInt8(suffix.wire.count)
    labels = UInt8(pattern.suffix.labelCount)
    kind = entry.kind
    isDenial = entry.isDenial
  }

  /// What is the same rule when it stands twice.
  private struct Listed: Hashable {
    let pattern: NamePattern
    let isDenial: Bool
  }
}
