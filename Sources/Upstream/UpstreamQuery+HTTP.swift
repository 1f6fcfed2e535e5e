import DNSWire

/// What answers by HTTP have besides (RFC 8484).
extension UpstreamQuery {
  /// Whether an answer repeats the question of a query of ours octet for octet, or is a header and nothing else.
  static func repeats(_ answer: [UInt8], questionOf query: [UInt8]) -> Bool {
    guard answer.count > Header.octetCount else { return true }
    var end = Header.octetCount
    while query[end] != 0 { end += 1 + Int(query[end]) }
    end += 5
    return answer.count >= end && answer[Header.octetCount..<end] == query[Header.octetCount..<end]
  }

  /// Takes the seconds for which an answer was kept on the way off its TTLs (RFC 8484 section 5.1), of an SOA also off the time
  /// for which a name is not there (RFC 2308 section 5). What cannot be read is left: nothing of such an answer is used.
  static func age(_ message: inout [UInt8], by seconds: UInt32) {
    guard seconds > 0 else { return }
    for (place, ttl) in lifetimes(of: message.span) {
      let left = ttl - min(ttl, seconds)
      for octet in 0..<4 { message[place + octet] = UInt8(truncatingIfNeeded: left >> UInt32(24 - 8 * octet)) }
    }
  }

  /// Where the TTLs of records stand, and for how many seconds each of these counts.
  private static func lifetimes(of message: Span<UInt8>) -> [(place: Int, ttl: UInt32)] {
    var found: [(Int, UInt32)] = []
    do throws(FormatError) {
      var reader = try ResponseReader(message)
      while let record = try reader.next(message) {
        guard record.type != .OPT else { continue }
        // Time to live and length stand before the data, the minimum at their end.
        let minimum = record.type == .SOA ? message.read32(record.rdata.upperBound - 4) : nil
        found.append((record.rdata.lowerBound - 6, min(record.ttl, minimum ?? .max)))
      }
    } catch {
      return found
    }
    return found
  }
}
