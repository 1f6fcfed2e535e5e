/// The day of a list: what it held then is what a pin means, `github@2026-11-20`.
package struct ListDate: Hashable, Sendable, Comparable, CustomStringConvertible {
  /// `2026-11-20`.
  package let description: String

  /// Nil for what is no day from 1970 on.
  package init?(_ text: String) {
    guard text.utf8.count == 10, PolicyTime.parse(text) != nil else { return nil }
    description = text
  }

  package static func < (left: Self, right: Self) -> Bool { left.description < right.description }
}
