package import DNSWire

/// What a rule says about names: one name, all below a suffix, or all that agree label by label.
///
/// `*` is the only octet of a suffix that no host name has: a label of nothing else stands for any label, one with `*` in it
/// for each label that begins and ends like it and is longer.
package struct NamePattern: Hashable, Sendable {
  /// Which names at or below the suffix are meant.
  package enum Kind: UInt8, BitwiseCopyable, Sendable {
    case exact
    /// `*`: exactly one label in front of the suffix.
    case oneLabel
    /// `**`: one or more labels in front of the suffix, never the suffix itself.
    case anyLabels
    /// A leading dot: the suffix itself, and any number of labels in front of it.
    case subtree
    /// The suffix label by label, of which some hold `*`, the first one a letter or more beside it, or none.
    case labels
  }

  /// So many labels of one pattern may hold `*`, a leading one not counted; no name of a service needs more than three.
  package static let maximumInnerWildcards = 8

  static let star = UInt8(ascii: "*")

  package let kind: Kind
  /// The name itself when `kind` is exact, else what follows the wildcard; labels of it may hold `*`.
  package let suffix: Name

  package init(kind: Kind, suffix: Name) {
    self.kind = kind
    self.suffix = suffix
  }

  /// Reads `api.example.com`, `*.example.com`, `**.example.com`, `.example.com`, `*.s3.*.example.com` or `eu-*.example.com`
  /// (ASCII; case and a trailing dot do not matter).
  package init(_ text: some StringProtocol) throws(NamePatternError) {
    try self.init(parsing: String(text))
  }

  /// Not generic: a million of these are read from one file.
  private init(parsing text: String) throws(NamePatternError) {
    let (kind, rest) = Self.splitWildcard(text)
    if text.isEmpty { throw .empty }
    if rest.isEmpty || rest == "." { throw kind == .oneLabel || kind == .anyLabels ? .coversEverything : .root }
    let isInner = rest.utf8.contains(Self.star)
    let name: Name
    do {
      name = isInner ? try Name(hostname: rest, or: Self.star) : try Name(hostname: rest)
    } catch {
      throw .name(error)
    }
    if isInner { try Self.checkWildcards(of: name) }
    if Self.looksLikeAddress(name) { throw .address }
    self.init(kind: isInner && kind == .exact ? .labels : kind, suffix: name)
  }

  private static func splitWildcard(_ text: String) -> (Kind, String) {
    if text.utf8.first == UInt8(ascii: ".") {
      // One label or more is what `**` says.
      return text.hasPrefix(".*.") ? (.anyLabels, String(text.dropFirst(3))) : (.subtree, String(text.dropFirst()))
    }
    if text.utf8.first != star { return (.exact, text) }
    if text == "*" || text == "**" { return (.oneLabel, "") }
    if text.hasPrefix("**.") { return (.anyLabels, String(text.dropFirst(3))) }
    if text.hasPrefix("*.") { return (.oneLabel, String(text.dropFirst(2))) }
    return (.exact, text)
  }

  private static func checkWildcards(of name: Name) throws(NamePatternError) {
    let stars = name.labels.map { label in label.count { $0 == star } }
    if name.labels.contains(where: { $0.elementsEqual([star, star]) }) { throw .misplacedDoubleWildcard }
    if stars.contains(where: { $0 > 1 }) { throw .wildcardsInOneLabel }
    if name.labels.allSatisfy({ $0.elementsEqual([star]) }) { throw .coversEverything }
    if stars.last != 0 { throw .topLevelWildcard }
    if stars.count(where: { $0 > 0 }) > maximumInnerWildcards { throw .tooManyWildcards }
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

  /// Whether a label of the suffix holds `*`.
  package var hasInnerWildcard: Bool { Self.literalStart(of: suffix.wire.span) > 0 }

  /// What follows the last label that holds `*`, or all of the suffix.
  package var literalSuffix: Name {
    Name(canonical: Array(suffix.wire[min(Self.literalStart(of: suffix.wire.span), suffix.wire.count)...]))
  }

  /// Where the labels begin that follow the last one that holds `*`.
  static func literalStart(of wire: Span<UInt8>) -> Int {
    var start = 0
    var at = 0
    while at < wire.count, wire[at] != 0 {
      let end = min(at + 1 + Int(wire[at]), wire.count)
      // A length octet may be that of `*`.
      for index in (at + 1)..<end where wire[index] == star { start = end }
      at = end
    }
    return start
  }
}

extension NamePattern: CustomStringConvertible {
  package var description: String {
    switch kind {
    case .exact, .labels: suffix.description
    case .oneLabel: "*.\(suffix)"
    case .anyLabels: "**.\(suffix)"
    case .subtree: ".\(suffix)"
    }
  }
}

/// Why a text is no name pattern.
package enum NamePatternError: Error {
  case empty
  case root
  case coversEverything
  case topLevelWildcard
  case misplacedDoubleWildcard
  case wildcardsInOneLabel
  case tooManyWildcards
  case address
  case name(NameError)

  /// What was wrong, as a sentence after the offending text.
  package var reason: String {
    switch self {
    case .empty: "is empty"
    case .root: "is the root, not a host"
    case .coversEverything: "would allow every name"
    case .topLevelWildcard: "has a wildcard in its last label: anybody can register a name that it would allow"
    case .misplacedDoubleWildcard: "has ** where it is not the whole leftmost label"
    case .wildcardsInOneLabel: "has two wildcards in one label"
    case .tooManyWildcards: "has more than \(NamePattern.maximumInnerWildcards) labels with a wildcard"
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
