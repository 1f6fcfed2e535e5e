import DNSWire
package import IPNetwork

/// JSON and names as octets, appended to a buffer that is used again; no `String` on the way.
extension [UInt8] {
  /// Text that is ASCII and needs no escape, as it stands.
  package mutating func append(ascii text: StaticString) {
    for index in 0..<text.utf8CodeUnitCount {
      append(unsafe text.utf8Start[index])  // index < utf8CodeUnitCount
    }
  }

  /// A number in decimal digits, without leading zeros.
  package mutating func append(decimal value: UInt64) {
    if value < 10 {
      append(UInt8(ascii: "0") + UInt8(value))
      return
    }
    // 2^64 has twenty digits; they are made from the right.
    var digits = InlineArray<20, UInt8>(repeating: 0)
    var (start, rest) = (20, value)
    while rest > 0 {
      start -= 1
      digits[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
    append(octets: digits.span.extracting(start..<20))
  }

  /// The lowest `digits` hexadecimal digits of a number, zeros in front.
  package mutating func append(hexadecimal value: UInt64, digits: Int) {
    for digit in (0..<digits).reversed() {
      append(Self.hexDigit(UInt8(truncatingIfNeeded: value >> UInt64(digit * 4)) & 15))
    }
  }

  private static func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
  }

  /// The inside of a JSON string (RFC 8259 section 7): what is not printable ASCII becomes `\u00XX`.
  package mutating func append(jsonEscaped octets: Span<UInt8>) {
    for index in octets.indices {
      append(jsonEscaped: octets[index])
    }
  }

  private mutating func append(jsonEscaped octet: UInt8) {
    switch octet {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"):
      append(UInt8(ascii: "\\"))
      append(octet)
    case 0x20...0x7E:
      append(octet)
    default:
      append(ascii: "\\u00")
      append(hexadecimal: UInt64(octet), digits: 2)
    }
  }

  /// Octets as they are.
  mutating func append(octets: Span<UInt8>) {
    unsafe octets.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }  // used within the call only
  }

  /// A JSON string, ASCII only: text that is not becomes `\uXXXX` by UTF-16 unit.
  package mutating func append(jsonQuoted text: String) {
    append(UInt8(ascii: "\""))
    append(jsonEscaped: text)
    append(UInt8(ascii: "\""))
  }

  /// The inside of such a string.
  mutating func append(jsonEscaped text: String) {
    let octets = text.utf8.span
    if Self.isPlain(octets) { return append(octets: octets) }
    for unit in text.utf16 {
      if unit < 0x80 {
        append(jsonEscaped: UInt8(unit))
      } else {
        append(ascii: "\\u")
        append(hexadecimal: UInt64(unit), digits: 4)
      }
    }
  }

  /// Whether octets stand in a JSON string as they are: printable ASCII, no quote, no backslash.
  private static func isPlain(_ octets: Span<UInt8>) -> Bool {
    for index in octets.indices {
      switch octets[index] {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), 0x00..<0x20, 0x7F...0xFF: return false
      default: break
      }
    }
    return true
  }

  /// A wire name in presentation form (as `NameWire.presentation`), escaped once more for a JSON string.
  package mutating func append(jsonName wire: Span<UInt8>) {
    var at = 0
    let start = count
    while at < wire.count, wire[at] != 0 {
      if at > 0 { append(UInt8(ascii: ".")) }
      let end = Swift.min(at + Int(wire[at]), wire.count - 1)
      var index = at + 1
      while index <= end {
        append(jsonPresentation: wire[index])
        index += 1
      }
      at = end + 1
    }
    if count == start { append(UInt8(ascii: ".")) }
  }

  private mutating func append(jsonPresentation octet: UInt8) {
    switch octet {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
      append(octet)
    case UInt8(ascii: "\\"), UInt8(ascii: "\""):
      // `\\` and `\"` as presented, each octet escaped for JSON
      append(ascii: "\\\\\\")
      append(octet)
    case UInt8(ascii: "."), UInt8(ascii: ";"), UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "@"),
      UInt8(ascii: "$"):
      append(ascii: "\\\\")
      append(octet)
    case 0x21...0x7E:
      append(octet)
    default:
      append(ascii: "\\\\")
      append(UInt8(ascii: "0") + octet / 100)
      append(UInt8(ascii: "0") + octet / 10 % 10)
      append(UInt8(ascii: "0") + octet % 10)
    }
  }

  /// `443/tcp`, or `protocol 1` where there are no ports.
  mutating func append(portOf header: AuditRecordHeader) {
    switch header.transport {
    case nil: append(ascii: "protocol ")
    case .tcp?, .udp?, .control?: break
    }
    append(decimal: UInt64(header.type.rawValue))
    switch header.transport {
    case .tcp?: append(ascii: "/tcp")
    case .udp?: append(ascii: "/udp")
    case .control?, nil: break
    }
  }

  /// Dotted quad, or RFC 5952.
  package mutating func append(address: IPAddress) { address.appendText(to: &self) }
}
