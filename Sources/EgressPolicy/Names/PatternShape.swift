package import DNSWire

/// A pattern label by label, from the right: what patterns have in common, and which of them decides.
struct PatternShape {
  /// What one label of a name has to be.
  enum Label: Hashable {
    case literal([UInt8])
    /// Longer than both together.
    case partial(prefix: [UInt8], suffix: [UInt8])
    case any
  }

  /// How many labels may stand in front.
  enum Front: Int {
    case none
    case oneOrMore
    case zeroOrMore
  }

  /// The rightmost first.
  let labels: [Label]
  let front: Front

  init(_ pattern: NamePattern) {
    var labels = pattern.suffix.labels.reversed().map(Label.init)
    if pattern.kind == .oneLabel { labels.append(.any) }
    self.labels = labels
    front =
      switch pattern.kind {
      case .exact, .oneLabel, .labels: .none
      case .anyLabels: .oneOrMore
      case .subtree: .zeroOrMore
      }
  }

  private init(labels: [Label], front: Front) { (self.labels, self.front) = (labels, front) }

  /// So many labels of whatever kind in front of it, which has none.
  func below(labels count: Int) -> PatternShape {
    PatternShape(labels: labels + Array(repeating: .any, count: count), front: front)
  }

  /// Whether it decides on a name that both match. Of patterns that match one name, and are not the same, one does.
  ///
  /// By the rightmost label in which they differ: the more octets it says, then the more of them in front; then the fewer
  /// labels in front may follow. What matches fewer names so comes before what matches all of them and more.
  func isMoreSpecific(than other: PatternShape) -> Bool {
    for (left, right) in zip(labels, other.labels) where left != right {
      return right.rank.lexicographicallyPrecedes(left.rank)
    }
    guard labels.count == other.labels.count else { return labels.count > other.labels.count }
    return front.rawValue < other.front.rawValue
  }

  /// Whether it matches every name that another one matches.
  func covers(_ other: PatternShape) -> Bool {
    guard zip(labels, other.labels).allSatisfy({ $0.covers($1) }) else { return false }
    if labels.count < other.labels.count { return front != .none }
    guard labels.count == other.labels.count else { return false }
    return front == other.front || front == .zeroOrMore
  }

  /// Whether there is a name that both match.
  func overlaps(_ other: PatternShape) -> Bool {
    guard zip(labels, other.labels).allSatisfy({ $0.overlaps($1) }) else { return false }
    if labels.count != other.labels.count {
      return (labels.count < other.labels.count ? front : other.front) != .none
    }
    return front == other.front || front == .zeroOrMore || other.front == .zeroOrMore
  }
}

extension PatternShape.Label {
  init(_ label: ArraySlice<UInt8>) {
    guard let star = label.firstIndex(of: NamePattern.star) else {
      self = .literal(Array(label))
      return
    }
    self = label.count == 1 ? .any : .partial(prefix: Array(label[..<star]), suffix: Array(label[(star + 1)...]))
  }

  /// In the order in which labels are the more specific; octets order those that match no label in common.
  fileprivate var rank: [Int] {
    switch self {
    case .any: [0]
    case .partial(let prefix, let suffix):
      [1, prefix.count + suffix.count, prefix.count] + (prefix + suffix).map { Int($0) }
    case .literal(let label): [2] + label.map { Int($0) }
    }
  }

  fileprivate func covers(_ other: Self) -> Bool {
    switch (self, other) {
    case (.any, _): true
    case (.literal, _), (.partial, .any): self == other
    case (.partial(let prefix, let suffix), .literal(let label)):
      label.count > prefix.count + suffix.count && label.starts(with: prefix) && label.ends(with: suffix)
    case (.partial(let prefix, let suffix), .partial(let first, let last)):
      first.starts(with: prefix) && last.ends(with: suffix)
    }
  }

  func overlaps(_ other: Self) -> Bool {
    switch (self, other) {
    case (.any, _), (_, .any): true
    case (.literal, _): other.covers(self)
    case (.partial, .literal): covers(other)
    case (.partial(let prefix, let suffix), .partial(let first, let last)):
      (first.starts(with: prefix) || prefix.starts(with: first)) && (last.ends(with: suffix) || suffix.ends(with: last))
    }
  }
}

extension [UInt8] {
  fileprivate func ends(with other: [UInt8]) -> Bool { suffix(other.count).elementsEqual(other) }
}

extension NamePattern {
  /// Whether it matches every name that another pattern matches, and is another one.
  package func covers(_ other: NamePattern) -> Bool { self != other && coversAll(of: other) }

  /// Whether it matches every name that another pattern matches.
  func coversAll(of other: NamePattern) -> Bool {
    kind == .exact ? self == other : PatternShape(self).covers(PatternShape(other))
  }

  /// Whether it matches a name; none with octets that no host name has.
  package func matches(_ name: Name) -> Bool {
    guard name.isHostname else { return false }
    let other = NamePattern(kind: .exact, suffix: name)
    return self == other || covers(other)
  }

  /// A name that it matches, and few other patterns do but those that match all of its names.
  ///
  /// No host has `*` in a label: where it stands here, only a wildcard decides.
  var sample: [UInt8] {
    let label: [UInt8] = [1, Self.star]
    var front = kind == .oneLabel ? 1 : 0
    // More labels than a pattern may say something of.
    if kind == .anyLabels { front = min(Self.maximumInnerWildcards + 2, max(1, (255 - suffix.wire.count) / 2)) }
    return Array(repeatElement(label, count: front).joined()) + suffix.wire
  }
}
