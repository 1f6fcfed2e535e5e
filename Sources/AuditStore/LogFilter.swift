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
struct CompiledFilter {
  private let needles: [[UInt8]]
  private let server: [UInt8]?
  private let decision: [UInt8]?
  private let glob: [UInt8]?
  private let since: Int64?
  private let until: Int64?

  init(_ filter: LogFilter) {
    server = filter.server.map { Array($0.utf8) }
    decision = filter.decision.map { Array($0.lowercased().utf8) }
    glob = filter.name.map { Array($0.lowercased().utf8) }
    since = filter.since.map { Int64($0.timeIntervalSince1970 * 1000) }
    until = filter.until.map { Int64($0.timeIntervalSince1970 * 1000) }
    needles = [server.map { ("server", $0) }, decision.map { ("decision", $0) }].compactMap { pair in
      pair.map { Array("\"\($0.0)\":\"".utf8) + $0.1 + [UInt8(ascii: "\"")] }
    }
  }

  /// Whether a line can match at all, by its octets alone: most lines end here.
  func mayMatch(_ line: ArraySlice<UInt8>) -> Bool {
    needles.allSatisfy { Self.contains(line, $0) }
  }

  func matches(_ line: LogLine) -> Bool {
    if let server, line[.server].map({ $0.elementsEqual(server) }) != true { return false }
    if let decision, line[.decision].map({ $0.elementsEqual(decision) }) != true { return false }
    if since != nil || until != nil {
      guard let time = line.time else { return false }
      if let since, time < since { return false }
      if let until, time > until { return false }
    }
    guard let glob else { return true }
    return [LogLine.Member.destination, .address].contains { member in
      line[member].map { Self.matches(glob, JSONScan.unescape($0)) } ?? false
    }
  }

  private static func contains(_ line: ArraySlice<UInt8>, _ needle: [UInt8]) -> Bool {
    unsafe line.withUnsafeBytes { hay in
      unsafe needle.withUnsafeBytes { needle in
        guard let base = hay.baseAddress, let wanted = needle.baseAddress, let first = unsafe needle.first else {
          return false
        }
        var at = 0
        while at + needle.count <= hay.count {
          // at + needle.count <= hay.count
          guard let found = unsafe memchr(base + at, Int32(first), hay.count - needle.count - at + 1) else {
            return false
          }
          if unsafe memcmp(found, wanted, needle.count) == 0 { return true }
          at = unsafe UnsafeRawPointer(found) - base + 1
        }
        return false
      }
    }
  }

  /// Glob matching with one point to go back to: time is the product of the lengths at most.
  static func matches(_ glob: [UInt8], _ text: [UInt8]) -> Bool {
    var at = 0
    var place = 0
    var star: (glob: Int, text: Int)?
    while place < text.count {
      if at < glob.count, glob[at] == UInt8(ascii: "*") {
        star = (at, place)
        at += 1
      } else if at < glob.count, glob[at] == lowercased(text[place]) {
        at += 1
        place += 1
      } else if let back = star {
        star = (back.glob, back.text + 1)
        at = back.glob + 1
        place = back.text + 1
      } else {
        return false
      }
    }
    return glob[at...].allSatisfy { $0 == UInt8(ascii: "*") }
  }

  private static func lowercased(_ octet: UInt8) -> UInt8 {
    octet &- 65 < 26 ? octet | 0x20 : octet
  }
}
