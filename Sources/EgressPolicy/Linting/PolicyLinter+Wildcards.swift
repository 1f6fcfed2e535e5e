import DNSWire

/// Findings about patterns with wildcards.
extension PolicyLinter {
  /// So many patterns with `*` elsewhere than in front may stand below one suffix: each name there is compared with all.
  package static let maximumInnerWildcards = 64
  /// Of so many services the warning over shared hosting says the name.
  private static let namedServices = 3

  static func checkWildcard(_ rules: RuleList, _ index: Int, _ findings: inout [Diagnostic]) {
    let pattern = rules.pattern(at: index)
    let location = rules.location(at: index)
    switch PublicSuffix.coverage(of: pattern) {
    case .none: break
    case .publicSuffix:
      findings.append(
        .error(
          "\(pattern) covers a public suffix: anybody can register a name that it allows\(forgottenDot(pattern))",
          at: location))
    case .sharedHosting:
      findings.append(
        .warning(
          "\(pattern) covers shared hosting: \(users(of: PublicSuffix.hosting(under: pattern))) can put content under a "
            + "name that it allows", at: location))
    }
  }

  /// Who else could have a name that a pattern allows.
  private static func users(of services: [String]) -> String {
    guard let first = services.first else { return "its every user" }
    let named = services.dropFirst().prefix(namedServices - 1).map { ", of \($0)" }.joined()
    let more = services.count > namedServices ? " and of \(services.count - namedServices) more" : ""
    return "every user of \(first)\(named)\(more)"
  }

  /// `*example.com` is meant as `*.example.com`; not where that is no pattern, or covers as much.
  private static func forgottenDot(_ pattern: NamePattern) -> String {
    guard pattern.kind == .labels, let first = pattern.suffix.labels.first, first.first == NamePattern.star,
      first.dropFirst().first != UInt8(ascii: "-"), let parent = pattern.suffix.parent
    else { return "" }
    let meant = NamePattern(
      kind: .oneLabel, suffix: Name(canonical: [UInt8(first.count - 1)] + first.dropFirst() + parent.wire))
    guard !meant.hasInnerWildcard, PublicSuffix.coverage(of: meant) != .publicSuffix else { return "" }
    return ", expected \"\(meant)\" for one label in front of it"
  }

  static func checkInnerWildcards(_ rules: RuleList, _ findings: inout [Diagnostic]) {
    let inner = rules.innerWildcards
    guard inner.count > maximumInnerWildcards else { return }
    var patterns: [Name: Set<NamePattern>] = [:]
    for index in inner {
      let pattern = rules.pattern(at: index)
      let suffix = pattern.literalSuffix
      patterns[suffix, default: []].insert(pattern)
      guard patterns[suffix]?.count == maximumInnerWildcards + 1 else { continue }
      findings.append(
        .error(
          "\(pattern) is one pattern too many with * elsewhere than in front that ends with \(suffix), expected at most "
            + "\(maximumInnerWildcards), or one such as \"**.\(suffix)\" for all of them", at: rules.location(at: index)
        ))
    }
  }
}
