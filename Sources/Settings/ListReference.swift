import EgressPolicy

/// How a document says which list it includes: by name, with a day or without, or by its file.
enum ListReference: Equatable {
  case named(String, pin: ListDate?)
  case file(String)

  /// Why a text is none.
  struct ReferenceError: Error {
    let message: String
  }

  static let expected = "the name of a list such as github, github@2026-11-20, or a path such as ./ours.yaml"

  /// - Throws: for a text that is no name of a list and no path, or a day that is none.
  init(_ text: String) throws(ReferenceError) {
    if text.contains("/") || text.hasSuffix(".yaml") || text.hasSuffix(".yml") {
      self = .file(text)
      return
    }
    let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard Self.isName(parts[0]) else {
      throw ReferenceError(message: "\(Quoted.text(text)) is no name of a list, expected \(Self.expected)")
    }
    guard parts.count == 2 else {
      self = .named(parts[0], pin: nil)
      return
    }
    guard let pin = ListDate(parts[1]) else {
      throw ReferenceError(
        message: "\(Quoted.text(parts[1])) is no day, expected the day of the list such as \(parts[0])@2026-11-20")
    }
    self = .named(parts[0], pin: pin)
  }

  /// As the file of a list is called: of `a`–`z`, `0`–`9` and `-`, at most 64, a letter first.
  static func isName(_ text: String) -> Bool {
    guard let first = text.utf8.first, first >= 0x61, first <= 0x7A, text.utf8.count <= 64 else { return false }
    return text.utf8.allSatisfy { ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2D }
  }
}
