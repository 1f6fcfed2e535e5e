import DNSWire

/// What cannot be permitted beside a policy.
extension ServerPolicy {
  /// Why a pattern cannot be permitted beside what is listed, and permitted already; nil where it can.
  ///
  /// Two patterns of which one holds `*` elsewhere than in front may have some names in common, and each others of its own: the
  /// more specific would decide on the common ones, and open less than before, or the other one more than it says.
  package func objection(to pattern: NamePattern) -> String? {
    if let denial = denial(of: pattern) {
      let layer = denial.layer.map { ", layer \($0)" } ?? ""
      return "\(pattern) is denied by \(denial.pattern) (\(denial.location)\(layer)), which no permit opens"
    }
    guard pattern.kind != .exact else { return nil }
    let listed = rules.innerWildcards.lazy.map { (pattern: rules.pattern(at: $0), location: rules.location(at: $0)) }
    for part in pattern.parts {
      if let other = listed.first(where: { part.takesSome(of: $0.pattern) }) {
        return
          "\(pattern) has some names in common with \(other.pattern) (\(other.location)), and would decide on them; "
          + "expected the names themselves, or a pattern all of whose names that one matches"
      }
    }
    let suffix = pattern.literalSuffix
    guard pattern.hasInnerWildcard,
      Set(compiledInnerPatterns.filter { $0.literalSuffix == suffix }).union(pattern.parts).count
        > PolicyLinter.maximumInnerWildcards
    else { return nil }
    return
      "there are \(PolicyLinter.maximumInnerWildcards) patterns at most with * elsewhere than in front that end with "
      + "\(suffix); expected fewer of them, or the names themselves"
  }

  /// Those of what allows and of what denies.
  private var compiledInnerPatterns: [NamePattern] {
    let list = compiled
    return list.innerWildcards.map { list.pattern(at: $0) }
  }

  /// The denial that matches every name of a pattern.
  private func denial(of pattern: NamePattern) -> EgressRule? {
    [denials, layers?.denials ?? []].lazy.flatMap(\.self).first { $0.pattern.coversAll(of: pattern) }
  }
}

extension NamePattern {
  /// The pattern, or where it is for a name and all below it one for each.
  var parts: [NamePattern] {
    guard kind == .subtree else { return [self] }
    return [
      NamePattern(kind: hasInnerWildcard ? .labels : .exact, suffix: suffix),
      NamePattern(kind: .anyLabels, suffix: suffix),
    ]
  }

  /// Whether it would decide on some names of a pattern, and matches others.
  fileprivate func takesSome(of other: NamePattern) -> Bool {
    let (shape, listed) = (PatternShape(self), PatternShape(other))
    return self != other && shape.overlaps(listed) && shape.isMoreSpecific(than: listed) && !listed.covers(shape)
  }
}
