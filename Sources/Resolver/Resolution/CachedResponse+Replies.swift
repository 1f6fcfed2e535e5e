import AuditLog
import DNSWire
import ResponseCache
import Zones

/// What a finished question is answered with.
extension CachedResponse {
  private static var second: UInt64 { 1_000_000_000 }

  /// SERVFAIL that nothing remembers.
  static func servfail(now: UInt64) -> CachedResponse {
    CachedResponse(responseCode: .SERVFAIL, expires: now, extendedError: .otherError)
  }

  /// NXDOMAIN or NODATA with the SOA of denials, and the extended error *Blocked*.
  ///
  /// - Parameter cause: why, where it is remembered.
  static func sinkhole(
    _ code: ResponseCode, _ question: PendingQuery, now: UInt64, cause: AuditCode? = nil
  ) -> CachedResponse {
    let soa = question.snapshot.zones.sinkholeSOA
    var writer = SectionWriter(question: question.name)
    writer.append(owner: [0], .SOA, ttl: soa.ttl, rdata: soa.rdata)
    let ttl = UInt64(min(question.snapshot.rules.sinkholeTTL, soa.ttl))
    return CachedResponse(
      responseCode: code, authorityCount: 1, sections: writer.octets, ttlOffsets: writer.ttlOffsets,
      expires: now + ttl * second, extendedError: .blocked, cause: cause?.rawValue ?? 0)
  }

  /// PTR of an address that is open for the question's server.
  ///
  /// - Parameters:
  ///   - name: for which it was opened: canonical wire octets.
  ///   - until: when it ends; nanoseconds of the monotonic clock.
  static func pointer(to name: [UInt8], _ question: PendingQuery, until: UInt64) -> CachedResponse {
    var writer = SectionWriter(question: question.name)
    writer.append(.PTR, ttl: 0, rdata: name)
    return CachedResponse(
      responseCode: .NOERROR, answerCount: 1, sections: writer.octets, ttlOffsets: writer.ttlOffsets, expires: until)
  }

  /// What was taken of an upstream's answer.
  ///
  /// - Parameters:
  ///   - grantExpires: until when its addresses are open, in nanoseconds of the monotonic clock, in this epoch of the
  ///     firewall.
  init(_ answer: ScrubbedAnswer, to question: PendingQuery, grantExpires: UInt64, epoch: UInt64, now: UInt64) {
    self.init(
      responseCode: answer.responseCode, answerCount: answer.answerCount, authorityCount: answer.authorityCount,
      sections: answer.sections, ttlOffsets: answer.ttlOffsets, expires: now + UInt64(answer.ttl) * Self.second,
      grantExpires: grantExpires, epoch: epoch, lead: Self.lead(of: answer, question))
  }

  /// For how long before its end an answer is asked for anew: a tenth of its time, and not less than a second.
  private static func lead(of answer: ScrubbedAnswer, _ question: PendingQuery) -> UInt32 {
    if case .local = question.kind { return 0 }
    guard question.snapshot.rules.prefetches, answer.ttl >= 10, answer.responseCode == .NOERROR, answer.answerCount > 0
    else { return 0 }
    return UInt32(clamping: (UInt64(answer.ttl) * second / 10) >> CachedHead.leadShift)
  }
}
