import DNSWire

/// Which services lend out the names that a pattern matches.
extension PublicSuffix {
  /// The suffixes of shared hosting of which a pattern with a wildcard matches the name itself, or a name below it whose owner
  /// the pattern does not say; those that say the most first, `*` in one standing for any label.
  static func hosting(under pattern: NamePattern) -> [String] {
    guard pattern.kind != .exact else { return [] }
    return candidates(of: pattern).filter(PatternShape(pattern).reaches).map(\.text)
  }

  /// Whether `hosting` has any.
  static func isHosted(_ pattern: NamePattern) -> Bool {
    pattern.kind != .exact && candidates(of: pattern).contains(where: PatternShape(pattern).reaches)
  }

  private static func candidates(of pattern: NamePattern) -> [Service] {
    let suffix = pattern.literalSuffix.labels
    guard suffix.count > 1 else { return [] }
    return services[suffix.suffix(2).map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".")] ?? []
  }

  fileprivate struct Service {
    /// From the right.
    let labels: [PatternShape.Label]
    let text: String

    init(_ text: String) {
      self.text = text
      labels = text.split(separator: ".").reversed().map { PatternShape.Label(Array($0.utf8)[...]) }
    }

    /// Those without `*` first, then the longer ones.
    static func isBefore(_ left: Service, _ right: Service) -> Bool {
      let (hasStar, other) = (left.labels.contains(.any), right.labels.contains(.any))
      if hasStar != other { return other }
      return left.labels.count == right.labels.count
        ? left.text < right.text : left.labels.count > right.labels.count
    }
  }

  /// The rules of `hosting` by their last two labels, in order. None has less.
  private static let services: [String: [Service]] = {
    var services: [String: Set<String>] = [:]
    var parent: Substring = ""
    for word in (privateRules + " " + moreHosting).split(whereSeparator: \.isWhitespace) {
      guard word.last != ":" else {
        parent = word.dropLast()
        continue
      }
      let text = word + "." + parent
      services[text.split(separator: ".").suffix(2).joined(separator: "."), default: []].insert(String(text))
    }
    return services.mapValues { $0.map(Service.init).sorted(by: Service.isBefore) }
  }()
}

extension PatternShape {
  /// Whether it matches a service's own name, or a name below it of which it does not say the label that its users choose; a
  /// label that it says has other owners in each region, where the service has these, and it does not say which.
  fileprivate func reaches(_ service: PublicSuffix.Service) -> Bool {
    let own = service.labels
    guard zip(labels, own).allSatisfy({ $0.overlaps($1) }) else { return false }
    guard labels.count > own.count else { return front != .none || labels.count == own.count }
    guard case .literal = labels[own.count] else { return true }
    return zip(labels, own).contains { label, region in
      if case .literal = label { false } else { region == .any }
    }
  }
}
