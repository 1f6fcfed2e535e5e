import Settings

/// What a source denies, as a policy has it.
enum DenySection {
  static let key = "deny"

  /// Whether policies have such a list. Where they have none it stands there as a comment, so that it is not lost.
  static let isKnown = PolicyText.documentKeys.contains(key)

  static func commented(_ lines: ArraySlice<String>) -> ArraySlice<String> { ArraySlice(lines.map { "# " + $0 }) }
}
