/// Reading of netlink octets: every length is held against the octets that are left, and nothing is read beyond them.
enum NetlinkSpan {
  static let messageHeader = 16
  private static let attributeHeader = 4
  /// NLA_TYPE_MASK: without the marks for nested and for network order.
  private static let typeMask: UInt16 = 0x3FFF

  /// A number in the order of this machine's octets; nil where it does not fit.
  static func number<T: FixedWidthInteger & UnsignedInteger>(
    _ octets: Span<UInt8>, at offset: Int, as _: T.Type = T.self
  ) -> T? {
    let width = T.bitWidth / 8
    guard offset >= 0, octets.count - offset >= width else { return nil }
    var value: T = 0
    for index in 0..<width { value |= T(octets[offset + index]) << T(8 * index) }
    return T(littleEndian: value)
  }

  /// A header of netlink(7).
  struct Header {
    var type: UInt16
    var flags: UInt16
    var sequence: UInt32
  }

  /// Gives each message of a datagram to `each`, with what is behind its header.
  static func forEachMessage(_ octets: Span<UInt8>, _ each: (Header, Span<UInt8>) -> Void) {
    var offset = 0
    while octets.count - offset >= messageHeader {
      guard let length = number(octets, at: offset, as: UInt32.self).map(Int.init), length >= messageHeader,
        length <= octets.count - offset, let type = number(octets, at: offset + 4, as: UInt16.self),
        let flags = number(octets, at: offset + 6, as: UInt16.self),
        let sequence = number(octets, at: offset + 8, as: UInt32.self)
      else { return }
      each(
        Header(type: type, flags: flags, sequence: sequence),
        octets.extracting((offset + messageHeader)..<(offset + length)))
      offset += (length + 3) & ~3
    }
  }

  /// Gives type and octets of each attribute behind a fixed part of `skipping` octets to `each`.
  static func forEachAttribute(
    _ octets: Span<UInt8>, skipping fixed: Int = 0, _ each: (Int, Span<UInt8>) -> Void
  ) {
    var offset = (fixed + 3) & ~3
    while octets.count - offset >= attributeHeader {
      guard let length = number(octets, at: offset, as: UInt16.self).map(Int.init), length >= attributeHeader,
        length <= octets.count - offset, let type = number(octets, at: offset + 2, as: UInt16.self)
      else { return }
      each(Int(type & typeMask), octets.extracting((offset + attributeHeader)..<(offset + length)))
      offset += (length + 3) & ~3
    }
  }

  /// Text up to its first NUL.
  static func text(_ octets: Span<UInt8>) -> String {
    var characters: [UInt8] = []
    for index in octets.indices {
      guard octets[index] != 0 else { break }
      characters.append(octets[index])
    }
    return String(decoding: characters, as: UTF8.self)
  }
}
