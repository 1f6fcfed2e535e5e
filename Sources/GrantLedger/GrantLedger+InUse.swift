/// Addresses that carry connections and are about to end.
extension GrantLedger {
  /// The elements that end within `lead` and were opened first less than `bound` ago; nanoseconds.
  package mutating func due(within lead: UInt64, openedWithin bound: UInt64, now: UInt64) -> [GrantElement] {
    expire(now)
    return openings.compactMap { element, opening in
      let isEnding = opening.committedUntil > now && opening.committedUntil - now <= lead
      return isEnding && now - min(opening.opened, now) < bound ? element : nil
    }
  }

  /// The commits that keep elements open for `time` from now, no longer than `bound` after their first opening.
  package mutating func extend(
    _ elements: [GrantElement], by time: UInt64, openedWithin bound: UInt64, now: UInt64, epoch: UInt64
  ) -> [GrantCommit] {
    expire(now)
    return elements.compactMap { element in
      guard var opening = openings[element], opening.epoch == epoch, opening.committedUntil > now else { return nil }
      let until = min(now + time, opening.opened + bound)
      guard until > opening.requestedUntil else { return nil }
      opening.requestedUntil = until
      openings[element] = opening
      for key in holders[element] ?? [] {
        guard var holding = holdings[key], var held = holding.elements[element] else { continue }
        held.until = max(held.until, until)
        holding.elements[element] = held
        holding.until = max(holding.until, until)
        holdings[key] = holding
      }
      return commit(element, opening, now: now)
    }
  }
}
