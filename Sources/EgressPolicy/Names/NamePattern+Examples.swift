package import DNSWire

/// What a pattern means, by examples.
extension NamePattern {
  /// Names that it matches, and such that look alike and are not; both empty for a name.
  package var examples: (matching: [Name], others: [Name]) {
    guard kind != .exact else { return ([], []) }
    let base = Self.filled(suffix.labels.map { Self.text($0, star: "a") })
    let front = ["a.", "b.a."].map { $0 + base }
    let others = unlike(base)
    let (matching, more): ([String], [String]) =
      switch kind {
      case .exact, .labels: ([base], ["b." + base])
      case .oneLabel: ([front[0]], [base, front[1]])
      case .anyLabels: (front, [base])
      case .subtree: ([base] + front, [])
      }
    return (Self.names(matching), Self.names(more + others))
  }

  /// What a misreading of the leftmost label, or of `*` inside, would match.
  private func unlike(_ base: String) -> [String] {
    let labels = suffix.labels
    if kind == .subtree, let first = labels.first, !first.contains(Self.star) { return ["x" + base] }
    guard let place = labels.firstIndex(where: { $0.contains(Self.star) }) else { return [] }
    var texts = labels.map { Self.text($0, star: "a") }
    // `*` is a label, or something of it.
    if labels[place].count > 1 { texts[place] = Self.text(labels[place], star: "") } else { texts[place] = "a.b" }
    let front = kind == .oneLabel || kind == .anyLabels ? "a." : ""
    let isShifted = labels[place].count == 1 && (kind == .anyLabels || kind == .subtree)
    return isShifted ? [] : [front + Self.filled(texts)]
  }

  private static func text(_ label: ArraySlice<UInt8>, star text: String) -> String {
    label.map { $0 == star ? text : String(UnicodeScalar($0)) }.joined()
  }

  private static func filled(_ labels: [String]) -> String { labels.joined(separator: ".") }

  /// What is too long to be one is none.
  private static func names(_ texts: [String]) -> [Name] {
    texts.compactMap { text in
      do {
        return try Name(hostname: text)
      } catch {
        return nil
      }
    }
  }
}
