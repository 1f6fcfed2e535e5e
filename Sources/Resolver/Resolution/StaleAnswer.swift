package import DNSWire
package import ResponseCache

/// An answer that is given beyond its end, because no upstream has another one (RFC 8767).
///
/// The grant behind it is not renewed: it is given only while its addresses are open all the same, for the time of its TTL
/// and what policy adds to that, and never after a change in the firewall.
package enum StaleAnswer {
  /// How long such an answer may be kept, and for how long upstream is not asked again: nanoseconds (sections 4 and 5).
  package static let lifetime: UInt64 = 30_000_000_000
  /// How long upstream has before a client is given such an answer (section 5): milliseconds.
  package static let patience: UInt64 = 1_800
  /// Less is no use to a client.
  private static let least: UInt64 = 1_000_000_000

  /// What may be given of an answer that is held; nil where nothing may.
  ///
  /// - Parameters:
  ///   - code: the number of `answered-stale`.
  ///   - most: nanoseconds after its end.
  ///   - now: on the clock of the cache.
  package static func of(
    _ held: CachedResponse, code: UInt8, most: UInt64, now: UInt64, epoch: UInt64
  ) -> CachedResponse? {
    let isStale = held.cause == code
    guard isStale || held.cause == 0, held.responseCode == .NOERROR, held.answerCount > 0,
      held.epoch == epoch || held.epoch == CachedResponse.anyEpoch
    else { return nil }
    let ended =
      isStale ? held.expires - min(UInt64(held.head.lead) << CachedHead.leadShift, held.expires) : held.expires
    let expires = min(now + lifetime, ended + min(most, .max - ended), held.grantExpires)
    guard expires >= now + least else { return nil }
    var stale = held
    stale.head.expires = expires
    stale.head.lead = UInt32(clamping: (expires - min(ended, expires)) >> CachedHead.leadShift)
    (stale.head.extendedError, stale.head.cause) = (.staleAnswer, code)
    return stale
  }
}

extension ExtendedErrorCode {
  /// RFC 8914 section 4.4.
  package static let staleAnswer = ExtendedErrorCode(rawValue: 3)
}
