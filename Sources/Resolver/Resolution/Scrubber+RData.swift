import DNSWire

extension Scrubber {
  /// Record data that may be handed out: names uncompressed, unknown types opaque (RFC 3597). That of SVCB and HTTPS is
  /// `bindings`' to make.
  func rebuilt(_ message: Span<UInt8>, _ record: RecordHeader) throws(ScrubError) -> [UInt8] {
    do {
      switch record.type {
      case .CNAME, .NS, .PTR, .DNAME:
        return try names(1, message, record, fixedHead: 0)
      case .MX:
        return try names(1, message, record, fixedHead: 2)
      case .SRV:
        return try names(1, message, record, fixedHead: 6)
      case .SOA:
        return try names(2, message, record, fixedHead: 0)
      default:
        return octets(message, record.rdata)
      }
    } catch {
      throw .invalid
    }
  }

  /// `fixedHead` octets, then `count` names, then whatever is left.
  private func names(
    _ count: Int, _ message: Span<UInt8>, _ record: RecordHeader, fixedHead: Int
  ) throws(FormatError) -> [UInt8] {
    var budget = 128
    var at = min(record.rdata.lowerBound + fixedHead, record.rdata.upperBound)
    var result = octets(message, record.rdata.lowerBound..<at)
    for _ in 0..<count {
      result += try readName(message, &at, &budget)
    }
    guard at <= record.rdata.upperBound else {
      return result
    }
    return result + octets(message, at..<record.rdata.upperBound)
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
