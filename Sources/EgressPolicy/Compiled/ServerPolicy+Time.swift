/// Rules that hold for a time only.
extension ServerPolicy {
  /// The policy without the rules whose time is over at `seconds` since 1970.
  package func inForce(at seconds: UInt64) -> ServerPolicy {
    let kept = rules.profiles.map { Self.isInForce($0.until, at: seconds) }
    let prefixes = prefixes.filter { Self.isInForce($0.until, at: seconds) }
    guard kept.contains(false) || prefixes.count < self.prefixes.count else { return self }
    return reaching(kept.contains(false) ? rules.filtered(kept) : rules, prefixes)
  }

  /// When the next of its rules ends, in seconds since 1970; nil when none ends after `seconds`.
  package func nextEnd(after seconds: UInt64) -> UInt64? {
    (rules.profiles.compactMap(\.until) + prefixes.compactMap(\.until)).filter { $0 > seconds }.min()
  }

  private static func isInForce(_ until: UInt64?, at seconds: UInt64) -> Bool {
    until.map { seconds < $0 } ?? true
  }
}
