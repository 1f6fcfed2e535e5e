/// What a server's events become when it is over its share of the log.
extension Coalescer {
  /// Codes that a summary counts by themselves: more than are registered.
  static let summaryCodes = 96
  private static let summaryOctets = summaryCodes * 8

  /// Counts a record in its server's line of this minute, with the records of its code; the window of that line.
  mutating func summarize(_ record: borrowing AuditRecord, _ server: Int, _ now: UInt64) -> Window {
    key.set(.summary, record, code: .summary)
    let window: Window
    if let entry = areas[WindowSpan.minute.rawValue].find(key) {
      window = Window(.minute, entry)
    } else {
      window = openCounts(Self.summaryOctets, now)
      store(digests.begin(window.entry, server: server, isOfServer: true), window, Field.distinct)
    }
    let code = min(Int(record.header.code.rawValue), Self.summaryCodes - 1)
    let field = areas[window.span].extraField(of: window.entry) + code * 8
    let counted: UInt64 = load(window, field)
    store(counted &+ 1, window, field)
    count(record, in: window)
    return window
  }

  /// Opens the minute's window of `key` with fields of 8 octets for counts, all 0.
  mutating func openCounts(_ octets: Int, _ now: UInt64) -> Window {
    let window = open(key, .minute, now: now, extra: octets)
    areas[window.span].setMembers([UInt8](repeating: 0, count: octets).span, of: window.entry)
    return window
  }

  /// The count in a field of a window whose octets are in `extraOctets`.
  func counted(at field: Int) -> UInt64 {
    (0..<8).reduce(0) { $0 | UInt64(extraOctets[field + $1]) << UInt64($1 * 8) }
  }

  /// `,"codes":{"not-listed":812}` of the summary whose counts are in `extraOctets`.
  func appendCodes(to output: inout [UInt8]) {
    output.append(key: AuditMembers.Shaped.codes)
    output.append(UInt8(ascii: "{"))
    var isFirst = true
    for code in 0..<min(Self.summaryCodes, extraOctets.count / 8) {
      let counted = counted(at: code * 8)
      guard counted > 0 else { continue }
      if !isFirst { output.append(UInt8(ascii: ",")) }
      output.append(UInt8(ascii: "\""))
      output.append(ascii: AuditCode(rawValue: UInt8(code)).token)
      output.append(UInt8(ascii: "\""))
      output.append(UInt8(ascii: ":"))
      output.append(decimal: counted)
      isFirst = false
    }
    output.append(UInt8(ascii: "}"))
  }

  /// Notes that a record of a server is told more coarsely than it would be: the hour's event says from when to when.
  mutating func noteQuota(_ record: borrowing AuditRecord, _ now: UInt64) {
    key.set(.quota, record, code: .logQuota)
    let entry = areas[WindowSpan.hour.rawValue].find(key)
    let window = entry.map { Window(.hour, $0) } ?? open(key, .hour, now: now, extra: 0)
    let counted: UInt64 = load(window, Field.count)
    if counted == 0 {
      areas[window.span].pending += 1
      store(record.header.wallClock, window, Field.first)
      store(UInt8.max, window, Field.transport)
    }
    store(record.header.wallClock, window, Field.last)
    store(counted &+ 1, window, Field.count)
  }
}
