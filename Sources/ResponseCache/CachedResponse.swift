package import DNSWire

/// What an answer is and how long it may be handed out, without its records.
///
/// All times are nanoseconds of the monotonic clock that the caller reads once per batch of queries.
package struct CachedHead: BitwiseCopyable, Sendable {
  package var responseCode: ResponseCode
  /// Records of the answer section.
  package var answerCount: UInt16
  /// Records of the authority section.
  package var authorityCount: UInt16
  /// What an OPT of the reply says about a failure (RFC 8914), if anything.
  package var extendedError: ExtendedErrorCode?
  /// Why it is no answer, in the resolver's own numbers; 0 for an answer.
  package var cause: UInt8 = 0
  /// For how long before its end a client's question has it asked for anew, in units of 2^20 ns; 0 for never. Of an answer
  /// that is given beyond its end, how long that is before `expires`.
  package var lead: UInt32 = 0
  /// End of the answer's TTL.
  package var expires: UInt64
  /// End of the grant behind the answer's addresses; `.max` when the answer opens nothing.
  package var grantExpires: UInt64
  /// The firewall epoch in which the grant was committed; `CachedResponse.anyEpoch` when the answer opens nothing.
  package var epoch: UInt64

  /// Seconds of TTL that may be handed out at `now`: the answer's, begun seconds counted, but never beyond the grant
  /// behind it (P3).
  package func remainingTTL(at now: UInt64) -> UInt32 {
    guard expires > now, grantExpires > now else { return 0 }
    let second: UInt64 = 1_000_000_000
    let answer = (expires - now - 1) / second + 1
    return UInt32(min(answer, (grantExpires - now) / second, UInt64(Int32.max)))
  }

  /// Nanoseconds in a unit of `lead`, as a binary logarithm: a million.
  package static let leadShift: UInt64 = 20

  /// Whether it ends so soon that it is to be asked for anew; `now` is before its end.
  @inline(__always)
  func isDue(at now: UInt64) -> Bool { (expires &- now) >> Self.leadShift < UInt64(lead) && cause == 0 }

  /// Whether the answer may be handed out at `now` without asking the firewall again (P2).
  package func isServable(at now: UInt64, epoch current: UInt64) -> Bool {
    expires > now && grantExpires > now && (epoch == current || epoch == CachedResponse.anyEpoch)
  }
}

/// Everything needed to answer one question again: the sections of a reply, and how long they may be handed out.
package struct CachedResponse: Sendable {
  package var head: CachedHead
  /// Answer and authority records as they stand in a message whose uncompressed question starts at octet 12.
  package var sections: [UInt8]
  /// Where the 32-bit TTL of each record stands in `sections`.
  package var ttlOffsets: [UInt16]

  package var responseCode: ResponseCode { head.responseCode }
  package var answerCount: UInt16 { head.answerCount }
  package var authorityCount: UInt16 { head.authorityCount }
  package var extendedError: ExtendedErrorCode? { head.extendedError }
  package var cause: UInt8 { head.cause }
  package var expires: UInt64 {
    get { head.expires }
    set { head.expires = newValue }
  }
  package var grantExpires: UInt64 {
    get { head.grantExpires }
    set { head.grantExpires = newValue }
  }
  package var epoch: UInt64 {
    get { head.epoch }
    set { head.epoch = newValue }
  }

  /// The epoch of answers that hold no address that the firewall must know.
  package static let anyEpoch = UInt64.max

  package init(
    responseCode: ResponseCode, answerCount: UInt16 = 0, authorityCount: UInt16 = 0, sections: [UInt8] = [],
    ttlOffsets: [UInt16] = [], expires: UInt64, grantExpires: UInt64 = .max, epoch: UInt64 = CachedResponse.anyEpoch,
    extendedError: ExtendedErrorCode? = nil, cause: UInt8 = 0, lead: UInt32 = 0
  ) {
    head = CachedHead(
      responseCode: responseCode, answerCount: answerCount, authorityCount: authorityCount,
      extendedError: extendedError, cause: cause, lead: lead, expires: expires, grantExpires: grantExpires, epoch: epoch
    )
    self.sections = sections
    self.ttlOffsets = ttlOffsets
  }

  init(_ head: CachedHead, sections: Span<UInt8>, ttlOffsets: Span<UInt16>) {
    self.head = head
    self.sections = [UInt8](capacity: sections.count) { $0.append(contentsOf: sections) }
    self.ttlOffsets = ttlOffsets.indices.map { ttlOffsets[$0] }
  }

  /// Seconds of TTL that may be handed out at `now` (P3), as `CachedHead` says.
  package func remainingTTL(at now: UInt64) -> UInt32 { head.remainingTTL(at: now) }

  /// Whether it may be handed out at `now` without asking the firewall again (P2), as `CachedHead` says.
  package func isServable(at now: UInt64, epoch current: UInt64) -> Bool {
    head.isServable(at: now, epoch: current)
  }
}
