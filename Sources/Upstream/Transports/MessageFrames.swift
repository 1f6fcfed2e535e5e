import DNSWire

/// Messages in a stream, each after a length of two octets (RFC 1035 section 4.2.2): as many of them as come, in whatever
/// pieces. Holds one message that is not whole, and what came with it.
struct MessageFrames {
  /// A length that no message has.
  struct MalformedError: Error, Equatable {}

  private var octets: [UInt8] = []
  /// Where what was not taken yet begins.
  private var start = 0

  /// Whether a message has begun that is not whole.
  var isInMessage: Bool { start < octets.count }

  mutating func append(_ more: ArraySlice<UInt8>) {
    if start > 0 {
      octets.removeFirst(start)
      start = 0
    }
    octets += more
  }

  /// The next message that is whole, if there is one.
  mutating func next() throws(MalformedError) -> [UInt8]? {
    guard octets.count - start >= 2 else { return nil }
    let length = Int(octets[start]) << 8 | Int(octets[start + 1])
    guard length >= Header.octetCount else { throw MalformedError() }
    guard octets.count - start >= 2 + length else { return nil }
    defer { start += 2 + length }
    return Array(octets[(start + 2)..<(start + 2 + length)])
  }

  /// Appends a message in its frame, with another id than it has.
  static func append(_ message: [UInt8], id: UInt16, to out: inout [UInt8]) {
    out.append(UInt8(truncatingIfNeeded: message.count >> 8))
    out.append(UInt8(truncatingIfNeeded: message.count))
    out.append(UInt8(truncatingIfNeeded: id >> 8))
    out.append(UInt8(truncatingIfNeeded: id))
    out.append(contentsOf: message[2...])
  }
}
