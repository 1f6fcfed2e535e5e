import DNSWire

/// Which services lend out the names that a pattern matches.
extension PublicSuffix {
  /// The suffixes of shared hosting of which a pattern with a wildcard matches the name itself, or a name below it whose owner
  /// the pattern does not say; those that say the most first, `*` in one standing for any label.
  static func hosting(under pattern: NamePattern) -> [String] {
    let shape = PatternShape(pattern)
    let suffix = pattern.literalSuffix.labels
    guard pattern.kind != .exact, suffix.count > 1 else { return [] }
    let key = suffix.suffix(2).map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".")
    let found = (services[key] ?? []).filter { shape.reaches($0) }.sorted { left, right in
      if left.contains([NamePattern.star]) != right.contains([NamePattern.star]) {
        return right.contains([NamePattern.star])
      }
      return left.count == right.count ? text(left) < text(right) : left.count > right.count
    }
    return found.map(text)
  }

  /// - Parameter service: labels from the right.
  private static func text(_ service: [[UInt8]]) -> String {
    service.reversed().map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".")
  }

  /// The rules of `hosting` by their last two labels, each from the right. None has less.
  private static let services: [String: [[[UInt8]]]] = {
    var services: [String: [[[UInt8]]]] = [:]
    var parent: Substring = ""
    for word in (privateRules + " " + moreHosting).split(whereSeparator: \.isWhitespace) {
      guard word.last != ":" else {
        parent = word.dropLast()
        continue
      }
      let labels = (word + "." + parent).split(separator: ".")
      services[labels.suffix(2).joined(separator: "."), default: []].append(labels.reversed().map { Array($0.utf8) })
    }
    return services.mapValues { Array(Set($0)) }
  }()
}

extension PatternShape {
  /// Whether it matches a service's own name, or a name below it of which it does not say the label that its users choose.
  ///
  /// - Parameter service: labels from the right; `*` is any label.
  fileprivate func reaches(_ service: [[UInt8]]) -> Bool {
    guard zip(labels, service).allSatisfy({ $0.overlaps(Label($1[...])) }) else { return false }
    guard labels.count > service.count else { return front != .none || labels.count == service.count }
    if case .literal = labels[service.count] { return false }
    return true
  }
}
