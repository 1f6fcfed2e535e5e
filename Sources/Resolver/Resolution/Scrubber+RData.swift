import DNSWire

extension Scrubber {
  /// Record data that may be handed out: names uncompressed, unknown types opaque (RFC 3597), SVCB without anything
  /// that carries an address or hides the name. Nil: the record is left out.
  func rebuilt(_ message: Span<UInt8>, _ record: RecordHeader) throws(ScrubError) -> [UInt8]? {
    do {
      if record.type == .SVCB || record.type == .HTTPS { return try serviceBinding(message, record) }
      guard let names = DataNames(message, record) else { return octets(message, record.rdata) }
      return try expanded(names, message, record)
    } catch {
      throw .invalid
    }
  }

  /// The data with its names written out, and whatever is before and behind them.
  private func expanded(
    _ names: DataNames, _ message: Span<UInt8>, _ record: RecordHeader
  ) throws(FormatError) -> [UInt8] {
    var budget = 128
    var at = min(record.rdata.lowerBound + names.head, record.rdata.upperBound)
    var result = octets(message, record.rdata.lowerBound..<at)
    for _ in 0..<names.count {
      result += try readName(message, &at, &budget)
    }
    guard at <= record.rdata.upperBound else {
      return result
    }
    return result + octets(message, at..<record.rdata.upperBound)
  }

  /// RFC 9460: hints (keys 4 and 6) are addresses that no commit opened, and ECH (key 5) hides the name from every
  /// inspector behind us; they go. A record that makes one of them mandatory, or that leads to a name which is not
  /// listed, goes as a whole.
  private func serviceBinding(_ message: Span<UInt8>, _ record: RecordHeader) throws(FormatError) -> [UInt8]? {
    var budget = 128
    var at = record.rdata.lowerBound + 2
    var result = octets(message, record.rdata.lowerBound..<min(at, record.rdata.upperBound))
    let target = try readName(message, &at, &budget)
    guard target == [0] || lists(target) else { return nil }
    result += target
    while at + 4 <= record.rdata.upperBound {
      let key = UInt16(message[at]) << 8 | UInt16(message[at + 1])
      let length = Int(message[at + 2]) << 8 | Int(message[at + 3])
      let end = at + 4 + length
      guard end <= record.rdata.upperBound else { return nil }
      if key == 0 {
        guard !makesMandatory(message, (at + 4)..<end) else { return nil }
      }
      if !Self.strippedKeys.contains(key) {
        result += octets(message, at..<end)
      }
      at = end
    }
    return result
  }

  private static let strippedKeys: [UInt16] = [4, 5, 6]

  private func makesMandatory(_ message: Span<UInt8>, _ range: Range<Int>) -> Bool {
    stride(from: range.lowerBound, to: range.upperBound - 1, by: 2).contains { at in
      Self.strippedKeys.contains(UInt16(message[at]) << 8 | UInt16(message[at + 1]))
    }
  }

  private func octets(_ message: Span<UInt8>, _ range: Range<Int>) -> [UInt8] {
    guard range.lowerBound >= 0, range.upperBound <= message.count else { return [] }
    return [UInt8](capacity: range.count) { out in
      for index in range {
        out.append(message[index])
      }
    }
  }
}
