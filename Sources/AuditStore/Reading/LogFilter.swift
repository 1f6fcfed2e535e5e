import AuditLog
package import Foundation

/// Which events `sluice log` shows.
package struct LogFilter: Sendable {
  package var server: String?
  /// `block`, `allow`, `observe` or `error`.
  package var decision: String?
  /// Of the destination, or of the address of a connection. `*` stands for any octets; case does not matter.
  package var name: String?
  package var since: Date?
  package var until: Date?
  /// The last so many; nil for all.
  package var limit: Int?

  package init(
    server: String? = nil, decision: String? = nil, name: String? = nil, since: Date? = nil, until: Date? = nil,
    limit: Int? = nil
  ) {
    self.server = server
    self.decision = decision
    self.name = name
    self.since = since
    self.until = until
    self.limit = limit
  }
}

/// A filter made ready for many lines.
struct CompiledFilter: Sendable {
  private let server: [UInt8]?
  private let decision: [UInt8]?
  private let glob: [UInt8]?
  /// Milliseconds since 1970.
  let since: Int64?
  let until: Int64?

  init(_ filter: LogFilter) {
    server = filter.server.map { Array($0.utf8) }
    decision = filter.decision.map { Array($0.lowercased().utf8) }
    glob = filter.name.map { Array($0.lowercased().utf8) }
    since = filter.since.map { Int64(($0.timeIntervalSince1970 * 1000).rounded()) }
    until = filter.until.map { Int64(($0.timeIntervalSince1970 * 1000).rounded()) }
  }

  /// Whether a member alone refuses its line: most lines end there, long before their own end.
  func rulesOut(_ member: Int, _ isString: Bool, _ octets: RawSpan, _ value: Range<Int>) -> Bool {
    switch member {
    case LogLine.Member.ts.rawValue:
      guard since != nil || until != nil else { return false }
      guard isString, let time = LogTime.rfc3339(octets.extracting(value)) else { return true }
      return time < since ?? .min || time > until ?? .max
    case LogLine.Member.server.rawValue: return server.map { !isString || !Self.isEqual($0, octets, value) } ?? false
    case LogLine.Member.decision.rawValue:
      return decision.map { !isString || !Self.isEqual($0, octets, value) } ?? false
    default: return false
    }
  }

  /// What is left to ask of an event of which no member was refused.
  func matches(_ ranges: EventMemberRanges, _ octets: RawSpan) -> Bool {
    if server != nil, ranges[.server] == nil { return false }
    guard let glob else { return true }
    return Self.matches(glob, octets, ranges[.destination]) || Self.matches(glob, octets, ranges[.address])
  }

  private static func isEqual(_ wanted: [UInt8], _ octets: RawSpan, _ value: Range<Int>) -> Bool {
    if value.count == wanted.count {
      var index = 0
      while index < wanted.count, octet(octets, value.lowerBound + index) == wanted[index] { index += 1 }
      if index == wanted.count { return !wanted.contains(UInt8(ascii: "\\")) }
    }
    guard hasEscapes(octets, value) else { return false }
    return JSONEscapes.undo(copy(octets, value)[...]) == wanted
  }

  private static func matches(_ glob: [UInt8], _ octets: RawSpan, _ value: Range<Int>?) -> Bool {
    // Only a string is a name.
    guard let value, octet(octets, value.lowerBound - 1) == UInt8(ascii: "\"") else { return false }
    guard hasEscapes(octets, value) else { return matches(glob, octets.extracting(value)) }
    return matches(glob, JSONEscapes.undo(copy(octets, value)[...]))
  }

  private static func octet(_ octets: RawSpan, _ at: Int) -> UInt8 {
    unsafe octets.unsafeLoad(fromByteOffset: at, as: UInt8.self)  // checks the bounds
  }

  private static func hasEscapes(_ octets: RawSpan, _ value: Range<Int>) -> Bool {
    value.contains { octet(octets, $0) == UInt8(ascii: "\\") }
  }

  private static func copy(_ octets: RawSpan, _ value: Range<Int>) -> [UInt8] { value.map { octet(octets, $0) } }

  static func matches(_ glob: [UInt8], _ text: [UInt8]) -> Bool { matches(glob, unsafe text.span.bytes) }

  /// Glob matching with one point to go back to: time is the product of the lengths at most.
  static func matches(_ glob: [UInt8], _ text: RawSpan) -> Bool {
    var at = 0
    var position = 0
    var star: (glob: Int, text: Int)?
    while position < text.byteCount {
      if at < glob.count, glob[at] == UInt8(ascii: "*") {
        star = (at, position)
        at += 1
      } else if at < glob.count, glob[at] == lowercased(octet(text, position)) {
        at += 1
        position += 1
      } else if let back = star {
        star = (back.glob, back.text + 1)
        at = back.glob + 1
        position = back.text + 1
      } else {
        return false
      }
    }
    while at < glob.count, glob[at] == UInt8(ascii: "*") { at += 1 }
    return at == glob.count
  }

  private static func lowercased(_ octet: UInt8) -> UInt8 {
    octet &- 65 < 26 ? octet | 0x20 : octet
  }
}
