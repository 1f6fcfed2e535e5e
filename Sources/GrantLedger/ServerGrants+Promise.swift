import DNSWire

extension ServerGrants {
  mutating func committed(_ commit: GrantCommit, askedAt: UInt64, epoch: UInt64) {
    let slot = opening(of: commit.element)
    guard slot != .none, openings[slot].epoch <= epoch, openings[slot].since <= askedAt else { return }
    // The kernel got whole milliseconds, rounded up; the ledger believes in no more than was meant.
    let until = min(askedAt + UInt64(commit.lifetimeMilliseconds) * 1_000_000, openings[slot].requestedUntil)
    let isSame = openings[slot].epoch == epoch
    openings[slot].committedUntil = isSame ? max(openings[slot].committedUntil, until) : until
    if openings[slot].capsSince <= askedAt { openings[slot].committedCaps = commit.caps }
    openings[slot].epoch = epoch
    enqueue(slot)
  }

  mutating func promise(
    _ key: GrantLedger.Key, elements: [GrantElement], answerUntil: UInt64, now: UInt64, epoch: UInt64
  ) -> UInt64? {
    guard let question = questionSlots[key] else { return nil }
    let pass = nextPass()
    var missing = 0
    for element in elements {
      let slot = opening(of: element)
      guard slot != .none, openings[slot].epoch == epoch, openings[slot].committedUntil > now else { return nil }
      guard openings[slot].mark != pass else { continue }
      openings[slot].mark = pass
      missing += 1
    }
    guard missing > 0 else { return nil }
    var until = UInt64.max
    forEachMarked(of: question, pass) { hold, opening in
      // Not what others asked for: that ends with them.
      until = min(until, opening.committedUntil, hold.until)
      if hold.caps & ~opening.committedCaps == 0 { missing -= 1 }
    }
    guard missing == 0, until > now else { return nil }
    let liveUntil = answerUntil < until ? min(until, answerUntil + Self.connectTime) : until
    let stamp = nextStamp()
    var hold = questions[question].firstHold
    while hold != .none {
      if openings[holds[hold].opening].mark == pass { promise(hold, until: liveUntil, stamp: stamp) }
      hold = holds[hold].nextOfQuestion
    }
    questions[question].promise = elements
    questions[question].promisedUntil = until
    return until
  }

  private mutating func promise(_ hold: Slot, until: UInt64, stamp: UInt64) {
    holds[hold].stamp = stamp
    moveToEnd(hold)
    land(hold)
    protect(hold, until: until)
    enqueue(holds[hold].opening)
  }

  private func forEachMarked(of question: Slot, _ pass: UInt64, _ body: (Hold, Opening) -> Void) {
    var hold = questions[question].firstHold
    while hold != .none {
      if openings[holds[hold].opening].mark == pass { body(holds[hold], openings[holds[hold].opening]) }
      hold = holds[hold].nextOfQuestion
    }
  }

  /// Records what the kernel holds already; false if there is no room for it.
  mutating func takeOver(_ inherited: GrantLedger.Inherited, now: UInt64, epoch: UInt64, limits: Limits) -> Bool {
    let (element, until) = (inherited.element, inherited.until)
    var slot = opening(of: element)
    var question = questionSlots[inherited.key] ?? .none
    guard slot != .none || openings.count < limits.elements,
      question == .none ? questions.count < limits.elements : questions[question].holdCount < limits.elementsPerName,
      holds.count < limits.holds
    else { return false }
    if slot == .none { slot = addOpening(element, until: until, now: now, epoch: epoch) }
    if question == .none { question = addQuestion(inherited.key) }
    openings[slot].requestedUntil = max(openings[slot].requestedUntil, until)
    let known = openings[slot].epoch == epoch ? openings[slot].committedUntil : 0
    openings[slot].committedUntil = max(known, until)
    openings[slot].epoch = epoch
    openings[slot].opened = min(openings[slot].opened, inherited.opened ?? now)
    openings[slot].requestedCaps |= inherited.caps
    var hold = questions[question].firstHold
    while hold != .none && holds[hold].opening != slot { hold = holds[hold].nextOfQuestion }
    if hold == .none { hold = addHold(of: question, on: slot, until: until, caps: inherited.caps) }
    holds[hold].until = max(holds[hold].until, until)
    holds[hold].terms = inherited.terms
    protect(hold, until: min(inherited.answerUntil, until))
    holds[hold].stamp = nextStamp()
    moveToEnd(hold)
    extendQuestion(question, until: until)
    enqueue(slot)
    return true
  }

  /// How long a client may take from the end of an answer's TTL to its connection: TTLs are handed out in whole
  /// seconds, begun ones counted, and an answer of TTL 0 is there to be used.
  static let connectTime: UInt64 = 1_000_000_000
}
