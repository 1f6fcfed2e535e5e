/// Octets that are not what they should be, and where.
package struct FormatError: Error, Equatable, Sendable {
  /// What is wrong with the octets.
  package enum Kind: Equatable, Sendable {
    /// The message ends inside a field.
    case truncated
    /// A label type other than 00 and 11 (RFC 1035 section 4.1.4; 01 and 10 are obsolete, RFC 6891 section 5).
    case labelType
    /// A compression pointer that does not point strictly backwards.
    case forwardPointer
    /// A compression pointer where none may stand.
    case pointerNotAllowed
    /// More compression pointers in one message than any well-formed one has.
    case tooManyPointers
    /// A name of more than 255 octets.
    case nameTooLong
    /// More or fewer records than a message of this kind has.
    case count
    /// Record data that does not fit its type.
    case recordData
    /// An OPT with another owner than the root, twice, or with broken options (RFC 6891 section 6.1).
    case badOPT
    /// Octets after the last record.
    case trailingOctets
    /// No room in the output.
    case noSpace
  }

  package let kind: Kind
  /// In octets from the start of the message.
  package let offset: Int

  package init(_ kind: Kind, at offset: Int) {
    self.kind = kind
    self.offset = offset
  }
}
