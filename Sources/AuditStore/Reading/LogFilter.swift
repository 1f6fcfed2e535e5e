package import AuditLog
package import Foundation
package import IPNetwork

/// Which events `sluice log` shows.
package struct LogFilter: Sendable {
  /// Who asked or sent.
  package enum Client: Hashable, Sendable {
    /// One that has an address in the network.
    case of(IPPrefix)
    /// Lines that stand for several clients, which they do not name.
    case several
  }

  package var server: String?
  /// `block`, `allow`, `observe` or `error`.
  package var decision: String?
  /// Of the destination, of the address of a connection, or of one that an answer opened. `*` stands for any octets; case
  /// does not matter.
  package var name: String?
  package var client: Client?
  /// One of these; none for all.
  package var codes: [AuditCode] = []
  /// The mnemonic of the asked type.
  package var type: String?
  /// Of the policy's entry, as `FILE:LINE` or `FILE`; folders may be left out. `*` and case as in a name.
  package var rule: String?
  package var since: Date?
  package var until: Date?
  /// The last so many; nil for all.
  package var limit: Int?
  /// Of the last `limit` all that may be among the latest so many by their time, and maybe others; nil for all.
  package var latest: Int?

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
  private let client: LogFilter.Client?
  /// The client as it is written, where it is one address or `*`.
  private let clientText: [UInt8]?
  /// What every address of the client's network begins with.
  private let clientStart: [UInt8]
  /// Every spelling that a code has.
  private let codes: [[UInt8]]
  private let type: [UInt8]?
  private let ruleGlobs: [[UInt8]]
  /// Milliseconds since 1970.
  let since: Int64?
  let until: Int64?

  init(_ filter: LogFilter) {
    server = filter.server.map { Array($0.utf8) }
    decision = filter.decision.map { Array($0.lowercased().utf8) }
    // An address is compared as the log has it, however it is written.
    glob = filter.name.map { Array((IPAddress($0)?.description ?? Self.withoutRoot($0.lowercased())).utf8) }
    client = filter.client
    clientText =
      switch filter.client {
      case .of(let network)? where network.address == network.last: Array(network.address.description.utf8)
      case .several?: [UInt8(ascii: "*")]
      default: nil
      }
    clientStart = Self.start(of: filter.client)
    codes = filter.codes.flatMap(\.spellings)
    type = filter.type.map { Array($0.uppercased().utf8) }
    ruleGlobs = filter.rule.map(Self.ruleGlobs) ?? []
    since = filter.since.map { Int64(($0.timeIntervalSince1970 * 1000).rounded()) }
    until = filter.until.map { Int64(($0.timeIntervalSince1970 * 1000).rounded()) }
  }

  /// The log has names without the dot of the root behind them. One that is escaped belongs to a label.
  private static func withoutRoot(_ name: String) -> String {
    name.utf8.count > 1 && name.hasSuffix(".") && !name.hasSuffix("\\.") ? String(name.dropLast()) : name
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
    case LogLine.Member.code.rawValue:
      return !codes.isEmpty && !(isString && codes.contains { Self.isEqual($0, octets, value) })
    case LogLine.Member.client.rawValue: return client != nil && !(isString && isClient(octets, value))
    case LogLine.Member.type.rawValue: return type.map { !isString || !Self.isEqual($0, octets, value) } ?? false
    default: return false
    }
  }

  /// What is left to ask of an event of which no member was refused.
  func matches(_ ranges: EventMemberRanges, _ octets: RawSpan) -> Bool {
    if server != nil, ranges[.server] == nil { return false }
    if !codes.isEmpty, ranges[.code] == nil { return false }
    if client != nil, ranges[.client] == nil { return false }
    if type != nil, ranges[.type] == nil { return false }
    if !ruleGlobs.isEmpty, !ruleGlobs.contains(where: { Self.matches($0, octets, ranges[.rule]) }) { return false }
    guard let glob else { return true }
    return Self.matches(glob, octets, ranges[.destination]) || Self.matches(glob, octets, ranges[.address])
      || Self.matchesAny(glob, octets, ranges[.addresses])
  }

  private func isClient(_ octets: RawSpan, _ value: Range<Int>) -> Bool {
    if let clientText { return Self.isEqual(clientText, octets, value) }
    // Reading an address costs more than reading the rest of its line.
    guard case .of(let network)? = client, Self.hasEscapes(octets, value) || begins(octets, value),
      let address = IPAddress(String(decoding: JSONEscapes.undo(Self.copy(octets, value)[...]), as: UTF8.self))
    else { return false }
    return network.contains(address)
  }

  private func begins(_ octets: RawSpan, _ value: Range<Int>) -> Bool {
    value.count >= clientStart.count
      && clientStart.indices.allSatisfy { Self.octet(octets, value.lowerBound + $0) == clientStart[$0] }
  }

  /// The octets or groups that are the network's whole, up to the first group that `::` may stand for (RFC 5952 section 4.2).
  private static func start(of client: LogFilter.Client?) -> [UInt8] {
    guard case .of(let network)? = client else { return [] }
    let isV4 = network.address.family == .v4
    let parts = network.address.description.split(separator: isV4 ? "." : ":", omittingEmptySubsequences: false)
    let whole = parts.prefix(network.length / (isV4 ? 8 : 16)).prefix { isV4 || !["", "0"].contains($0) }
    return Array(whole.map { "\($0)\(isV4 ? "." : ":")" }.joined().utf8)
  }

  /// A path may begin at any of its folders; without a line every line of the file is meant.
  private static func ruleGlobs(_ rule: String) -> [[UInt8]] {
    let rule = rule.lowercased()
    let line = rule.split(separator: ":", omittingEmptySubsequences: false).last ?? ""
    let hasLine = rule.contains(":") && !line.isEmpty && line.allSatisfy { $0.isNumber || $0 == "*" }
    let ends = hasLine ? [rule] : [rule, rule + ":*"]
    return ends.flatMap { [$0, "*/" + $0] }.map { Array($0.utf8) }
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

  private static func matchesAny(_ glob: [UInt8], _ octets: RawSpan, _ array: Range<Int>?) -> Bool {
    guard let array else { return false }
    var items = JSONStrings(array)
    while let item = items.next(octets) {
      if matches(glob, octets, item) { return true }
    }
    return false
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
