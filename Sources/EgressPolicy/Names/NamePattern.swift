package import DNSWire

/// What a rule says about names: one name, or everything one or more labels below a suffix.
package struct NamePattern: Hashable, Sendable {
  /// Which names at or below the suffix are meant.
  package enum Kind: UInt8, BitwiseCopyable, Sendable {
    case exact
    /// `*`: exactly one label in front of the suffix.
    case oneLabel
    /// `**`: one or more labels in front of the suffix, never the suffix itself.
    case anyLabels
  }

  package let kind: Kind
  /// The name itself when `kind` is exact, else what follows the wildcard.
  package let suffix: Name

  package init(kind: Kind, suffix: Name) {
    self.kind = kind
    self.suffix = suffix
  }

  /// Reads `api.example.com`, `*.example.com` or `**.example.com` (ASCII; case and a trailing dot do not matter).
  package init(_ text: some StringProtocol) throws(NamePatternError) {
    try self.init(parsing: String(text))
  }

  /// Not generic: a million of these are read from one file.
  private init(parsing text: String) throws(NamePatternError) {
    let (kind, rest) = Self.splitWildcard(text)
    if text.isEmpty { throw .empty }
    if rest.isEmpty || rest == "." { throw kind == .exact ? .root : .coversEverything }
    if rest.utf8.contains(0x2A) { throw .misplacedWildcard }
    let name: Name
    do {
      name = try Name(hostname: rest)
    } catch {
      throw .name(error)
    }
    if Self.looksLikeAddress(name) { throw .address }
    self.init(kind: kind, suffix: name)
  }

  private static func splitWildcard(_ text: String) -> (Kind, String) {
    if text.utf8.first != 0x2A { return (.exact, text) }
    if text == "*" || text == "**" { return (.oneLabel, "") }
    if text.hasPrefix("**.") { return (.anyLabels, String(text.dropFirst(3))) }
    if text.hasPrefix("*.") { return (.oneLabel, String(text.dropFirst(2))) }
    return (.exact, text)
  }

  /// A last label of digits only is an address or a slip: no top-level domain is numeric (RFC 3696 section 2).
  private static func looksLikeAddress(_ name: Name) -> Bool {
    var offset = 0
    var last = 0..<0
    while offset < name.wire.count, name.wire[offset] != 0 {
      last = (offset + 1)..<min(offset + 1 + Int(name.wire[offset]), name.wire.count)
      offset = last.upperBound
    }
    return !last.isEmpty && name.wire[last].allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
  }
}

extension NamePattern: CustomStringConvertible {
  package var description: String {
    switch kind {
    case .exact: suffix.description
    case .oneLabel: "*.\(suffix)"
    case .anyLabels: "**.\(suffix)"
    }
  }
}

/// Why a text is no name pattern.
package enum NamePatternError: Error {
  case empty
  case root
  case coversEverything
  case misplacedWildcard
  case address
  case name(NameError)

  /// What was wrong, as a sentence after the offending text.
  package var reason: String {
    switch self {
    case .empty: "is empty"
    case .root: "is the root, not a host"
    case .coversEverything: "would allow every name"
    case .misplacedWildcard: "has a wildcard that is not the whole leftmost label"
    case .address: "is an address, not a name; write `cidr:` for addresses"
    case .name(let error): Self.reason(error)
    }
  }

  private static func reason(_ error: NameError) -> String {
    switch error {
    case .empty: "is empty"
    case .emptyLabel: "has an empty label"
    case .labelTooLong: "has a label longer than 63 octets"
    case .nameTooLong: "is longer than 255 octets"
    case .character(let position): "has a character at position \(position + 1) that no host name has"
    case .escape: "has an escape"
    }
  }
}
