extension ServerGrants {
  /// Open elements that end within `limit` nanoseconds and were first opened less than `bound` ago.
  func due(within limit: UInt64, bound: UInt64, now: UInt64) -> [GrantElement] {
    let last = now.addingSaturating(limit)
    return dueOpenings.slots(dueBy: last).compactMap { slot in
      let opening = openings[slot]
      guard opening.committedUntil > now, opening.requestedUntil <= last,
        opening.opened.addingSaturating(bound) > opening.requestedUntil
      else { return nil }
      return opening.element
    }
  }

  mutating func extend(_ element: GrantElement, by: UInt64, bound: UInt64, now: UInt64) -> GrantCommit? {
    let slot = opening(of: element)
    guard slot != .none, openings[slot].committedUntil > now else { return nil }
    let until = min(now.addingSaturating(by), openings[slot].opened.addingSaturating(bound))
    guard until > openings[slot].requestedUntil else { return nil }
    // It stays open for its holders of now: the release of the last one closes it.
    var (hold, isHeld) = (openings[slot].lastHold, false)
    for _ in 0..<Self.maxHoldsSearched where hold != .none {
      if holds[hold].until > now {
        holds[hold].until = max(holds[hold].until, until)
        extendQuestion(holds[hold].question, until: until)
        isHeld = true
      }
      hold = holds[hold].previousOfOpening
    }
    guard isHeld else { return nil }
    openings[slot].requestedUntil = until
    enqueue(slot)
    return commit(slot, now: now)
  }
}

extension UInt64 {
  func addingSaturating(_ other: UInt64) -> UInt64 {
    let (sum, isOver) = addingReportingOverflow(other)
    return isOver ? .max : sum
  }
}
