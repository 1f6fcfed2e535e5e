/// Why a text is no name.
package enum NameError: Error, Equatable, Sendable {
  case empty
  case emptyLabel
  /// A label of more than 63 octets.
  case labelTooLong
  /// More than 255 octets on the wire.
  case nameTooLong
  /// A character that no host name has; its position counts characters from 0.
  case character(Int)
  /// An escape that is not `\DDD` below 256 or a backslash and a character.
  case escape
}

/// A domain name of its own: canonical lower case, uncompressed wire octets with the root octet.
package struct Name: Hashable, Sendable {
  package let wire: [UInt8]

  package static let root = Name(octets: [0])

  private init(octets: [UInt8]) {
    wire = octets
  }

  /// Takes octets that `NameWire.read` or a `Name` produced.
  package init(canonical wire: Span<UInt8>) {
    self.wire = [UInt8](wire)
  }

  /// Takes octets that `NameWire.read` or a `Name` produced, without a copy.
  package init(canonical wire: [UInt8]) {
    self.wire = wire
  }

  /// Reads a host name: ASCII letters, digits, hyphen and underscore; a trailing dot does not matter.
  ///
  /// - Parameter other: an octet that may stand in its labels as well: of a pattern for names.
  package init(hostname: some StringProtocol, or other: UInt8? = nil) throws(NameError) {
    var text = Array(hostname.utf8)
    if text.last == UInt8(ascii: "."), text.count > 1 { text.removeLast() }
    guard !text.isEmpty else { throw .empty }
    // Each label behind the place of its length; a million names are read from one file, and a label of its own costs memory.
    var wire: [UInt8] = []
    wire.reserveCapacity(text.count + 2)
    wire.append(0)
    var start = 0
    for (position, octet) in text.enumerated() {
      if octet == UInt8(ascii: ".") {
        try Self.end(labelAt: start, of: &wire)
        start = wire.count
        wire.append(0)
      } else if Self.isHostnameOctet(octet) || octet == other {
        wire.append(NameWire.lowercased(octet))
      } else {
        throw .character(position)
      }
    }
    try Self.end(labelAt: start, of: &wire)
    wire.append(0)
    self.init(octets: wire)
  }

  /// Reads presentation form with `\DDD` and `\.` escapes (RFC 1035 section 5.1); `.` is the root.
  package init(presentation: some StringProtocol) throws(NameError) {
    guard presentation != "." else {
      self = .root
      return
    }
    var wire: [UInt8] = []
    var label: [UInt8] = []
    let text = Array(presentation.utf8)
    guard !text.isEmpty else { throw .empty }
    var at = 0
    while at < text.count {
      switch text[at] {
      case UInt8(ascii: "."):
        try Self.append(label, to: &wire)
        label = []
        at += 1
      case UInt8(ascii: "\\"):
        let (octet, length) = try Self.escape(text[(at + 1)...])
        label.append(NameWire.lowercased(octet))
        at += 1 + length
      default:
        label.append(NameWire.lowercased(text[at]))
        at += 1
      }
    }
    if !label.isEmpty { try Self.append(label, to: &wire) }
    self.init(labels: wire)
  }

  /// As `init(presentation:)`; nil for what is no name, where it does not matter why.
  package init?(written text: some StringProtocol) {
    guard let name = try? Self(presentation: text) else { return nil }
    self = name
  }

  /// The name that these octets are in canonical wire form, with nothing behind it, as another process or a record's canonical
  /// data has it; nil where they are none, whatever the reason.
  package init?(whole octets: Span<UInt8>) {
    var at = 0
    while at < octets.count, octets[at] != 0 {
      guard Int(octets[at]) <= NameWire.maxLabel, at + Int(octets[at]) + 1 < octets.count else { return nil }
      at += Int(octets[at]) + 1
    }
    guard octets.count <= NameWire.maxOctets, at == octets.count - 1 else { return nil }
    for index in octets.indices where NameWire.lowercased(octets[index]) != octets[index] { return nil }
    self.init(canonical: octets)
  }

  /// Takes labels that `append` made.
  private init(labels: [UInt8]) {
    wire = labels + [0]
  }

  /// Labels, the root not counted.
  package var labelCount: Int { NameWire.labelCount(wire.span) }

  /// The labels from left to right.
  package var labels: [ArraySlice<UInt8>] {
    var result: [ArraySlice<UInt8>] = []
    var at = 0
    while at < wire.count, wire[at] != 0 {
      let end = at + Int(wire[at])
      guard end < wire.count else { break }
      result.append(wire[(at + 1)...end])
      at = end + 1
    }
    return result
  }

  /// The name without its leftmost label; nil for the root.
  package var parent: Name? {
    guard let first = wire.first, Int(first) + 1 < wire.count else { return nil }
    return Name(octets: Array(wire[(Int(first) + 1)...]))
  }

  /// Whether the name is `other` or below it.
  package func isSubdomain(of other: Name) -> Bool {
    var at = 0
    while at < wire.count {
      if wire.count - at == other.wire.count { return wire[at...].elementsEqual(other.wire) }
      at += Int(wire[at]) + 1
    }
    return false
  }

  /// Whether every octet of every label is a letter, digit, hyphen or underscore.
  package var isHostname: Bool {
    labels.allSatisfy { $0.allSatisfy(Self.isHostnameOctet) }
  }

  /// Whether an octet is an ASCII letter, a digit, a hyphen or an underscore.
  package static func isHostnameOctet(_ octet: UInt8) -> Bool {
    switch octet {
    case 48...57, 65...90, 97...122, UInt8(ascii: "-"), UInt8(ascii: "_"): true
    default: false
    }
  }

  /// Writes the length of the label that is behind `start`.
  private static func end(labelAt start: Int, of wire: inout [UInt8]) throws(NameError) {
    let count = wire.count - start - 1
    guard count > 0 else { throw .emptyLabel }
    guard count <= NameWire.maxLabel else { throw .labelTooLong }
    wire[start] = UInt8(count)
    guard wire.count < NameWire.maxOctets else { throw .nameTooLong }
  }

  private static func append(_ label: [UInt8], to wire: inout [UInt8]) throws(NameError) {
    guard !label.isEmpty else { throw .emptyLabel }
    guard label.count <= NameWire.maxLabel else { throw .labelTooLong }
    wire.append(UInt8(label.count))
    wire += label
    guard wire.count < NameWire.maxOctets else { throw .nameTooLong }
  }

  private static func escape(_ text: ArraySlice<UInt8>) throws(NameError) -> (octet: UInt8, length: Int) {
    guard let first = text.first else { throw .escape }
    guard (48...57).contains(first) else { return (first, 1) }
    let digits = text.prefix(3)
    guard digits.count == 3, digits.allSatisfy({ (48...57).contains($0) }) else { throw .escape }
    let value = digits.reduce(0) { $0 * 10 + Int($1 - 48) }
    guard let octet = UInt8(exactly: value) else { throw .escape }
    return (octet, 3)
  }
}

extension Name {
  /// By eight octets at a time; the standard library takes them one by one.
  package func hash(into hasher: inout Hasher) { hasher.combine(NameHash.ofProcess(wire.span)) }
}

extension Name: Comparable, CustomStringConvertible {
  /// By labels from the right, as RFC 4034 section 6.1 orders names.
  package static func < (left: Name, right: Name) -> Bool {
    left.labels.reversed().lexicographicallyPrecedes(right.labels.reversed()) { $0.lexicographicallyPrecedes($1) }
  }

  /// Presentation form without a trailing dot, but for the root.
  package var description: String { NameWire.presentation(wire.span) }
}
