package import AuditLog

/// One event of the log, its known members found by a scan over its octets; nothing is decoded that is not asked for.
package struct LogLine: Sendable {
  /// Members that filters and the form for people need.
  package enum Member: Int, CaseIterable, Sendable {
    case ts, server, destination, decision, reason, code, client, transport, type, rcode, count
    case address, `protocol`, port, rule, addresses
    /// Of these no scan notes where they stand: they are looked for when they are asked for.
    case id, firstTime, lastTime, remedy

    var isNoted: Bool { rawValue < Member.id.rawValue }

    /// As it stands in the line.
    var key: String {
      switch self {
      case .firstTime: "first_ts"
      case .lastTime: "last_ts"
      default: "\(self)"
      }
    }

    var octets: [UInt8] { Self.keys[rawValue] }

    private static let keys = allCases.map { Array($0.key.utf8) }
  }

  /// The line stands among others; behind its newline are `LineBlocks.slack` octets at least, whatever they are.
  private let block: [UInt8]
  private let ranges: EventMemberRanges

  init(_ block: [UInt8], _ ranges: EventMemberRanges) {
    assert(ranges.line.upperBound + 1 + LineBlocks.slack <= block.count, "a line that is read past its end")
    self.block = block
    self.ranges = ranges
  }

  /// A line by itself; nil for what is not one JSON object of members as the log has them.
  package init?(_ octets: ArraySlice<UInt8>) {
    guard octets.count <= LineBlocks.maxLine, !octets.contains(10) else { return nil }
    let line: [UInt8] = Array(octets) + [10] + [UInt8](repeating: 0, count: LineBlocks.slack)
    var ranges = EventMemberRanges()
    var at = 0
    guard unsafe EventScan().scan(line.span.bytes, &at, CompiledFilter(LogFilter()), into: &ranges) == .event else {
      return nil
    }
    block = line
    self.ranges = ranges
  }

  /// Copies the line and its newline to the end of `octets`; where its members are then.
  func moved(to octets: inout [UInt8]) -> EventMemberRanges {
    var moved = ranges
    moved.line = octets.count..<(octets.count + ranges.line.count)
    octets.append(contentsOf: block[ranges.line.lowerBound...ranges.line.upperBound])
    return moved
  }

  /// The same event, without what it stood among.
  func alone() -> LogLine {
    var octets: [UInt8] = []
    octets.reserveCapacity(ranges.line.count + 1 + LineBlocks.slack)
    let ranges = moved(to: &octets)
    octets.append(contentsOf: repeatElement(0, count: LineBlocks.slack))
    return LogLine(octets, ranges)
  }

  /// The line without its newline.
  package var octets: ArraySlice<UInt8> { block[ranges.line] }

  /// The value as it stands in the line: of a string, what is between the quotes; nil where it is null.
  package subscript(member: Member) -> ArraySlice<UInt8>? {
    range(member).map { block[$0] }
  }

  /// The value as text, JSON escapes undone, control characters shown as `?`: safe to print.
  package func text(_ member: Member) -> String {
    guard let raw = self[member], !raw.isEmpty else { return "-" }
    return Self.text(raw)
  }

  static func text(_ raw: ArraySlice<UInt8>) -> String {
    let isPlain = raw.allSatisfy { $0 != UInt8(ascii: "\\") && $0 >= 0x20 && $0 != 0x7F }
    if isPlain { return String(decoding: raw, as: UTF8.self) }
    return String(
      decoding: JSONEscapes.undo(raw).map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: "?") : $0 }, as: UTF8.self)
  }

  /// What was asked for or connected to beside the destination: a type, or `443/tcp`; `-` for neither.
  package var typeOrPort: String {
    if self[.type] != nil { return text(.type) }
    let transport = self[.protocol] != nil ? text(.protocol) : text(.transport)
    return self[.port] != nil ? "\(text(.port))/\(transport)" : transport
  }

  /// How many records the event stands for.
  package var count: UInt64 {
    guard let range = ranges[.count], !range.isEmpty else { return 1 }
    var value: UInt64 = 0
    for index in range {
      let digit = block[index] &- 0x30
      let (product, isTooLarge) = value.multipliedReportingOverflow(by: 10)
      guard digit < 10, !isTooLarge, product <= .max - UInt64(digit) else { return 1 }
      value = product + UInt64(digit)
    }
    return value
  }

  /// Milliseconds since 1970.
  package var time: Int64? { time(.ts) }

  /// The time of the first and of the last record that the event stands for, in milliseconds since 1970.
  package var interval: ClosedRange<Int64>? {
    guard let time else { return nil }
    let first = self.time(.firstTime) ?? time
    return first...max(self.time(.lastTime) ?? time, first)
  }

  private func range(_ member: Member) -> Range<Int>? {
    member.isNoted ? ranges[member] : unsafe EventScan.find(member, in: block.span.bytes, ranges.line)
  }

  private func time(_ member: Member) -> Int64? {
    range(member).flatMap { LogTime.rfc3339(unsafe block.span.bytes.extracting($0)) }
  }

  /// The run that wrote the event, of its `id`; nil where that is none.
  package var run: UInt64? {
    guard let id = self[.id], id.count > Self.runDigits else { return nil }
    return UInt64(String(decoding: id.prefix(Self.runDigits), as: UTF8.self), radix: 16)
  }

  private static let runDigits = 10

  /// The texts of an array of strings, safe to print; none where the member is none.
  package func texts(_ member: Member) -> [String] {
    guard let array = range(member) else { return [] }
    var texts: [String] = []
    var items = JSONStrings(array)
    while let item = unsafe items.next(block.span.bytes) { texts.append(Self.text(block[item])) }
    return texts
  }
}

extension LogLine {
  /// Nil for a code that this version does not know.
  package var code: AuditCode? { self[.code].flatMap { AuditCode(token: $0) } }

  /// The code as this version writes it, safe to print; one that it does not know as it stands there.
  package var codeText: String { code?.token.description ?? text(.code) }

  /// The event as a value; nil where it is none that this version writes.
  package var event: AuditEvent? {
    do throws(AuditEventError) {
      return try AuditEvent(line: Array(octets))
    } catch {
      return nil
    }
  }

  /// A question that an operator asked in a client's name, by the control API.
  package var isByOperator: Bool { self[.transport]?.elementsEqual("control".utf8) ?? false }
}
