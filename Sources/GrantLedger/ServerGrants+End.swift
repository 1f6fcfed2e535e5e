import DNSWire

extension ServerGrants {
  /// Ends what is held for the questions that `condition` selects, but for what `keeping` says.
  mutating func end(
    now: UInt64, _ ended: inout GrantLedger.Ended,
    where condition: (GrantLedger.Key) -> Bool, keeping: (GrantLedger.Key, GrantElement) -> Bool
  ) {
    expire(now)
    let ending = questionSlots.filter { condition($0.key) }.values
    guard !ending.isEmpty else { return }
    let pass = nextPass()
    var freed: [Slot] = []
    for question in ending {
      let key = questions[question].key
      // What is kept was promised with what is not: that answer is not committed again.
      questions[question].promise = []
      questions[question].promisedUntil = 0
      var hold = questions[question].firstHold
      while hold != .none {
        let (opening, next) = (holds[hold].opening, holds[hold].nextOfQuestion)
        if !keeping(key, openings[opening].element) {
          if openings[opening].mark != pass {
            openings[opening].mark = pass
            freed.append(opening)
          }
          ended.released.append((key, openings[opening].element))
          removeHold(hold)
          enqueue(opening)
        }
        hold = next
      }
    }
    for slot in freed {
      let rest = rest(of: slot, now: now)
      guard rest.until > now else {
        ended.closed.append(openings[slot].element)
        close(slot)
        continue
      }
      openings[slot].protectedUntil = rest.answerUntil
      if rest.until < openings[slot].requestedUntil {
        // Nothing that was promised to others ends before: a promise reaches no further than its own holds.
        openings[slot].requestedUntil = rest.until
        openings[slot].committedUntil = min(openings[slot].committedUntil, rest.until)
        // Acks of what was asked for before say nothing about what the kernel holds after this.
        openings[slot].since = now
        openings[slot].requestCaps(rest.caps, now: now)
        dueOpenings.set(slot, due: rest.until)
        if let commit = shortening(of: openings[slot].element, now: now) { ended.shortened.append(commit) }
      }
      enqueue(slot)
    }
  }

  /// What the holds of an element that are left add up to.
  private func rest(of slot: Slot, now: UInt64) -> (until: UInt64, answerUntil: UInt64, caps: UInt16) {
    var (until, answerUntil, caps) = (UInt64(0), UInt64(0), UInt16(0))
    var hold = openings[slot].firstHold
    while hold != .none {
      if holds[hold].until > now {
        until = max(until, holds[hold].until)
        answerUntil = max(answerUntil, holds[hold].answerUntil)
        caps |= holds[hold].caps
      }
      hold = holds[hold].nextOfOpening
    }
    return (until, answerUntil, caps)
  }
}
