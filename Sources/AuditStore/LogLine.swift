/// One line of the log, its known members found by a scan over its octets; nothing is decoded that is not asked for.
package struct LogLine: Sendable {
  /// The line without its newline.
  package private(set) var octets: [UInt8]
  /// Where each known member's value stands: inside the quotes of a string.
  private var values: [Range<Int>?]

  /// Members that filters and the form for people need.
  package enum Member: Int, CaseIterable, Sendable {
    case ts, server, destination, decision, reason, code, client, transport, type, rcode, count
    case address, `protocol`, port

    fileprivate static let names: [[UInt8]] = allCases.map { Array("\($0)".utf8) }
  }

  /// Nil for what is not one JSON object of members as we write them.
  package init?(_ octets: ArraySlice<UInt8>) {
    self.octets = Array(octets)
    values = Array(repeating: nil, count: Member.allCases.count)
    guard scan(), self[.ts] != nil, self[.decision] != nil else { return nil }
  }

  /// The value as it stands in the line: of a string, what is between the quotes; nil where it is null.
  package subscript(member: Member) -> ArraySlice<UInt8>? {
    values[member.rawValue].map { octets[$0] }
  }

  /// The value as text, JSON escapes undone, control characters shown as `?`: safe to print.
  package func text(_ member: Member) -> String {
    guard let raw = self[member], !raw.isEmpty else { return "-" }
    return String(
      decoding: JSONScan.unescape(raw).map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: "?") : $0 }, as: UTF8.self)
  }

  /// What was asked for or connected to beside the destination: a type, or `443/tcp`; `-` for neither.
  package var typeOrPort: String {
    if self[.type] != nil { return text(.type) }
    let transport = self[.protocol] != nil ? text(.protocol) : text(.transport)
    return self[.port] != nil ? "\(text(.port))/\(transport)" : transport
  }

  /// How many records the event stands for.
  package var count: UInt64 {
    self[.count].flatMap { UInt64(String(decoding: $0, as: UTF8.self)) } ?? 1
  }

  /// Milliseconds since 1970.
  package var time: Int64? {
    self[.ts].flatMap { LogTime.rfc3339($0) }
  }

  private mutating func scan() -> Bool {
    var at = octets.startIndex
    guard JSONScan.take(UInt8(ascii: "{"), octets, &at) else { return false }
    while true {
      guard let key = JSONScan.string(octets, &at), JSONScan.take(UInt8(ascii: ":"), octets, &at),
        let value = JSONScan.value(octets, &at)
      else { return false }
      if let member = Member.names.firstIndex(where: { octets[key].elementsEqual($0) }) {
        values[member] = JSONScan.isNull(octets, value) ? nil : value
      }
      if JSONScan.take(UInt8(ascii: ","), octets, &at) { continue }
      return JSONScan.take(UInt8(ascii: "}"), octets, &at) && at == octets.endIndex
    }
  }
}

/// A scanner for JSON without spaces, as our events are; iterative.
enum JSONScan {
  static func take(_ octet: UInt8, _ octets: [UInt8], _ at: inout Int) -> Bool {
    guard at < octets.count, octets[at] == octet else { return false }
    at += 1
    return true
  }

  /// The inside of a string.
  static func string(_ octets: [UInt8], _ at: inout Int) -> Range<Int>? {
    guard take(UInt8(ascii: "\""), octets, &at) else { return nil }
    let start = at
    while at < octets.count {
      switch octets[at] {
      case UInt8(ascii: "\""):
        at += 1
        return start..<(at - 1)
      case UInt8(ascii: "\\"): at += 2
      case 0..<0x20: return nil
      default: at += 1
      }
    }
    return nil
  }

  /// Any value; of a string its inside.
  static func value(_ octets: [UInt8], _ at: inout Int) -> Range<Int>? {
    guard at < octets.count else { return nil }
    if octets[at] == UInt8(ascii: "\"") { return string(octets, &at) }
    let start = at
    var depth = 0
    while at < octets.count {
      switch octets[at] {
      case UInt8(ascii: "\""):
        guard string(octets, &at) != nil else { return nil }
        continue
      case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
      case UInt8(ascii: "]"), UInt8(ascii: "}"):
        if depth == 0 { return at > start ? start..<at : nil }
        depth -= 1
      case UInt8(ascii: ",") where depth == 0: return at > start ? start..<at : nil
      case 0..<0x20: return nil
      default: break
      }
      at += 1
    }
    return nil
  }

  /// Whether a value is the word and not a string of it.
  static func isNull(_ octets: [UInt8], _ value: Range<Int>) -> Bool {
    octets[value].elementsEqual("null".utf8) && octets[value.lowerBound - 1] == UInt8(ascii: ":")
  }

  /// Undoes the escapes of a string's inside.
  static func unescape(_ raw: ArraySlice<UInt8>) -> [UInt8] {
    guard raw.contains(UInt8(ascii: "\\")) else { return Array(raw) }
    var result: [UInt8] = []
    var at = raw.startIndex
    while at < raw.endIndex {
      guard raw[at] == UInt8(ascii: "\\"), at + 1 < raw.endIndex else {
        result.append(raw[at])
        at += 1
        continue
      }
      let kind = raw[at + 1]
      at += 2
      switch kind {
      case UInt8(ascii: "n"): result.append(0x0A)
      case UInt8(ascii: "r"): result.append(0x0D)
      case UInt8(ascii: "t"): result.append(0x09)
      case UInt8(ascii: "b"): result.append(0x08)
      case UInt8(ascii: "f"): result.append(0x0C)
      case UInt8(ascii: "u"):
        let digits = raw[at..<min(at + 4, raw.endIndex)]
        let scalar = UInt32(String(decoding: digits, as: UTF8.self), radix: 16).flatMap(Unicode.Scalar.init)
        result.append(contentsOf: String(Character(scalar ?? "\u{FFFD}")).utf8)
        at = min(at + 4, raw.endIndex)
      default: result.append(kind)
      }
    }
    return result
  }
}
