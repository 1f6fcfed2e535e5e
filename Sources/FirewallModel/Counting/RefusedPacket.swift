package import IPNetwork

/// A packet that a rule of the table logged before it was refused: what its headers say, and no octet of its content.
package struct RefusedPacket: Hashable, Sendable {
  /// The rule's own words.
  package var prefix: String
  package var source: IPAddress
  package var destination: IPAddress
  /// The IP protocol number of the transport, or of what is not looked into.
  package var transport: UInt8
  /// 0 where the transport has no ports, or the packet is a later fragment.
  package var sourcePort: UInt16
  package var port: UInt16
  /// Octets of the whole packet, as its header says.
  package var length: UInt32
  /// When the rule met it: nanoseconds since 1970.
  package var time: UInt64

  /// More extension headers than any legitimate packet has.
  private static let maximumHeaders = 8

  /// Reads the headers at the front of a packet that may be cut off anywhere; nil when they are no IP.
  package init?(prefix: String, packet: [UInt8], time: UInt64) {
    guard let version = packet.first.map({ $0 >> 4 }) else { return nil }
    self.prefix = prefix
    self.time = time
    (sourcePort, port) = (0, 0)
    switch version {
    case 4:
      // RFC 791 section 3.1
      let header = Int(packet[0] & 0x0F) * 4
      guard header >= 20, packet.count >= 20, let source = Self.address(packet[12..<16]),
        let destination = Self.address(packet[16..<20])
      else { return nil }
      (self.source, self.destination) = (source, destination)
      length = UInt32(Self.word(packet, 2))
      transport = packet[9]
      guard Self.word(packet, 6) & 0x1FFF == 0 else { return }
      readPorts(packet, at: header)
    case 6:
      // RFC 8200 section 3
      guard packet.count >= 40, let source = Self.address(packet[8..<24]),
        let destination = Self.address(packet[24..<40])
      else { return nil }
      (self.source, self.destination) = (source, destination)
      length = UInt32(Self.word(packet, 4)) + 40
      transport = packet[6]
      skipExtensions(packet)
    default: return nil
    }
  }

  /// RFC 8200 section 4: hop-by-hop, routing, destination options, and fragment headers.
  private mutating func skipExtensions(_ packet: [UInt8]) {
    var at = 40
    for _ in 0..<Self.maximumHeaders {
      switch transport {
      case 0, 43, 60:
        guard packet.count >= at + 8 else { return }
        transport = packet[at]
        at += (Int(packet[at + 1]) + 1) * 8
      case 44:
        guard packet.count >= at + 8 else { return }
        transport = packet[at]
        guard Self.word(packet, at + 2) & 0xFFF8 == 0 else { return }
        at += 8
      default:
        readPorts(packet, at: at)
        return
      }
    }
  }

  /// TCP and UDP begin with their ports (RFC 9293, RFC 768).
  private mutating func readPorts(_ packet: [UInt8], at offset: Int) {
    guard transport == 6 || transport == 17, packet.count >= offset + 4 else { return }
    sourcePort = Self.word(packet, offset)
    port = Self.word(packet, offset + 2)
  }

  /// The caller has held the offset against the packet's length.
  private static func word(_ packet: [UInt8], _ offset: Int) -> UInt16 {
    UInt16(packet[offset]) << 8 | UInt16(packet[offset + 1])
  }

  private static func address(_ octets: ArraySlice<UInt8>) -> IPAddress? {
    let copy = Array(octets)
    return IPAddress(octets: copy.span)
  }
}
