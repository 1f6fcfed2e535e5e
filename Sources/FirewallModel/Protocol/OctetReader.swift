package import IPNetwork

/// Why octets are no message and no plan of the protocol.
package enum BridgeFormatError: Error, Hashable {
  case truncated
  case trailing
  case version
  case unknownKind(UInt8)
  case field
  case tooLong
}

/// Reads fixed little-endian fields from the front of an array; never past its end.
package struct OctetReader {
  private let octets: [UInt8]
  private(set) var offset = 0

  /// Reads these.
  package init(_ octets: [UInt8]) {
    self.octets = octets
  }

  var remaining: Int { octets.count - offset }

  /// A number, its lowest octet first.
  package mutating func integer<T: FixedWidthInteger & UnsignedInteger>(_: T.Type = T.self) throws(BridgeFormatError)
    -> T
  {
    let width = T.bitWidth / 8
    guard remaining >= width else { throw .truncated }
    var value: T = 0
    for index in 0..<width {
      value |= T(octets[offset + index]) << T(8 * index)
    }
    offset += width
    return value
  }

  /// An octet that is 0 or 1.
  package mutating func bool() throws(BridgeFormatError) -> Bool {
    switch try integer(UInt8.self) {
    case 0: return false
    case 1: return true
    default: throw .field
    }
  }

  /// So many octets as they are.
  package mutating func bytes(_ count: Int) throws(BridgeFormatError) -> [UInt8] {
    guard count >= 0, remaining >= count else { throw .truncated }
    offset += count
    return Array(octets[(offset - count)..<offset])
  }

  /// UTF-8 text behind a 16-bit length.
  package mutating func text(limit: Int) throws(BridgeFormatError) -> String {
    let count = Int(try integer(UInt16.self))
    guard count <= limit else { throw .tooLong }
    guard let text = String(validating: try bytes(count), as: UTF8.self) else { throw .field }
    return text
  }

  /// A count whose elements take at least `width` octets each, so that no count can outgrow the octets behind it.
  package mutating func count(width: Int) throws(BridgeFormatError) -> Int {
    let count = Int(try integer(UInt32.self))
    guard count <= remaining / max(width, 1) else { throw .truncated }
    return count
  }

  /// An address behind its family.
  package mutating func address() throws(BridgeFormatError) -> IPAddress {
    guard let family = IPAddress.Family(rawValue: try integer(UInt8.self)) else { throw .field }
    let high = try integer(UInt64.self)
    let low = try integer(UInt64.self)
    guard family == .v6 || (high == 0 && low <= UInt64(UInt32.max)) else { throw .field }
    return family == .v6 ? IPAddress(high: high, low: low) : IPAddress(v4: UInt32(truncatingIfNeeded: low))
  }

  /// Nothing may follow.
  package func end() throws(BridgeFormatError) {
    guard remaining == 0 else { throw .trailing }
  }
}

/// Appends what `OctetReader` reads.
package struct OctetWriter {
  package private(set) var octets: [UInt8] = []

  package init(capacity: Int = 64) {
    octets.reserveCapacity(capacity)
  }

  /// Appends a number, its lowest octet first.
  package mutating func integer<T: FixedWidthInteger & UnsignedInteger>(_ value: T) {
    for index in 0..<(T.bitWidth / 8) {
      octets.append(UInt8(truncatingIfNeeded: value >> T(8 * index)))
    }
  }

  /// Appends an octet that is 0 or 1.
  package mutating func bool(_ value: Bool) {
    octets.append(value ? 1 : 0)
  }

  /// Appends octets as they are.
  package mutating func bytes(_ bytes: [UInt8]) {
    octets.append(contentsOf: bytes)
  }

  /// Cuts text that is longer than `limit` octets at the end of a character.
  package mutating func text(_ text: String, limit: Int) {
    var kept = Substring(text)
    while kept.utf8.count > limit {
      kept.removeLast()
    }
    integer(UInt16(kept.utf8.count))
    octets.append(contentsOf: kept.utf8)
  }

  /// Appends an address behind its family.
  package mutating func address(_ address: IPAddress) {
    octets.append(address.family.rawValue)
    integer(address.high)
    integer(address.low)
  }
}
