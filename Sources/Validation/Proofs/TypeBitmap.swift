import DNSWire

/// The types that a name has, as NSEC and NSEC3 list them (RFC 4034 section 4.1.2).
struct TypeBitmap {
  private let octets: ArraySlice<UInt8>

  init(_ octets: ArraySlice<UInt8>) { self.octets = octets }

  func has(_ type: RRType) -> Bool {
    let (window, low) = (UInt8(type.rawValue >> 8), Int(type.rawValue & 0xFF))
    var at = octets.startIndex
    while at + 2 <= octets.endIndex {
      let count = Int(octets[at + 1])
      let end = at + 2 + count
      guard end <= octets.endIndex else { return false }
      if octets[at] == window { return low / 8 < count && octets[at + 2 + low / 8] & (0x80 >> (low % 8)) != 0 }
      at = end
    }
    return false
  }

  /// Of a parent, above a zone that begins there: it says nothing of what the child has (RFC 6840 section 4.1).
  var isDelegation: Bool { has(.NS) && !has(.SOA) }

  /// Whether all names below are elsewhere.
  var endsHere: Bool { isDelegation || has(.DNAME) }
}
