import DNSWire

extension Scrubber {
  /// Record data that may be handed out: names uncompressed, unknown types opaque (RFC 3597). That of SVCB and HTTPS is
  /// `bindings`' to make.
  func rebuilt(_ message: Span<UInt8>, _ record: RecordHeader) throws(ScrubError) -> [UInt8] {
    do {
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

  private func octets(_ message: Span<UInt8>, _ range: Range<Int>) -> [UInt8] {
    guard range.lowerBound >= 0, range.upperBound <= message.count else { return [] }
    return [UInt8](message.extracting(range))
  }
}
