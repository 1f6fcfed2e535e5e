/// The name of an MCP server's policy; it also names nft chains and sets, hence the narrow alphabet.
package struct ServerName: Hashable, Sendable, Comparable, CustomStringConvertible {
  /// The longest name; with `-4` appended it stays far below the kernel's limit for set names.
  package static let maximumLength = 63

  package let text: String

  /// Accepts `[a-z][a-z0-9_-]*`, at most 63 characters, and no word of the nft language.
  package init(_ text: some StringProtocol) throws(ServerNameError) {
    if let fault = Self.fault(of: text) { throw fault }
    self.text = String(text)
  }

  /// Why a text is no server name; nil for one.
  package static func fault(of text: some StringProtocol) -> ServerNameError? {
    let octets = text.utf8
    guard let first = octets.first else { return .empty }
    guard octets.count <= maximumLength else { return .tooLong }
    guard isLetter(first) else { return .firstCharacter }
    guard octets.allSatisfy({ isLetter($0) || isDigit($0) || $0 == 0x2D || $0 == 0x5F }) else { return .character }
    return NftKeywords.reserved.contains(String(text)) ? .reserved : nil
  }

  package var description: String { text }

  package static func < (left: Self, right: Self) -> Bool { left.text < right.text }

  private static func isLetter(_ octet: UInt8) -> Bool { octet >= 0x61 && octet <= 0x7A }
  private static func isDigit(_ octet: UInt8) -> Bool { octet >= 0x30 && octet <= 0x39 }
}

/// Why a text is no server name.
package enum ServerNameError: Error, Hashable {
  case empty
  case tooLong
  case firstCharacter
  case character
  case reserved

  /// What was wrong, as a sentence after the offending text.
  package var reason: String {
    switch self {
    case .empty: "is empty"
    case .tooLong: "is longer than \(ServerName.maximumLength) characters"
    case .firstCharacter: "does not begin with a lower-case letter"
    case .character: "holds a character other than a-z, 0-9, '-' and '_'"
    case .reserved: "is a word of the nft language or of our own table"
    }
  }

  /// What is expected in place of the text.
  package func expected(insteadOf text: String) -> String {
    switch self {
    case .reserved: "another name, such as \(text)-mcp"
    case .empty, .tooLong, .firstCharacter, .character: "a name of a-z, 0-9, '-' and '_' that begins with a letter"
    }
  }
}
