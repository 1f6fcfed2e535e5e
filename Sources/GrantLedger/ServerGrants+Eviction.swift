extension ServerGrants {
  /// Puts an element in the queue where it belongs: none while an answer that needs it is on its way, then by the end
  /// of the answers that promise it, then by its own end.
  mutating func enqueue(_ slot: Slot) {
    if openings[slot].inFlight > 0 || openings[slot].committedUntil == 0 {
      promised.remove(slot)
      evictable.remove(slot)
    } else if evictable.contains(slot) && openings[slot].protectedUntil == 0 {
      evictable.set(slot, due: openings[slot].requestedUntil)
    } else {
      evictable.remove(slot)
      promised.set(slot, due: openings[slot].protectedUntil)
    }
  }

  /// Makes room for an answer at the cost of what ends soonest and no live answer promises.
  ///
  /// - Parameters:
  ///   - wanted: the answer's elements.
  ///   - question: whose answer it is, if it holds anything yet; `found` of what it holds already is set.
  /// - Returns: what was evicted; nil if nothing had to be.
  /// - Throws: `CapacityError.setFull`, having changed nothing.
  mutating func makeRoom(
    for wanted: WantedElements, question: Slot, now: UInt64, _ limits: Limits
  ) throws(GrantLedger.CapacityError) -> [GrantElement]? {
    let (slots, pass) = (wanted.slots, wanted.pass)
    let leaving = try surplus(of: question, beside: slots.count, now: now, pass: pass, limits)
    let closing = leaving.filter { isSole($0) }
    let excess = openings.count + wanted.added - closing.count - limits.elements
    if excess > 0 {
      refreshQueues(now, upTo: excess + slots.count + closing.count)
      var kept = closing.count { evictable.contains(holds[$0].opening) }
      for slot in slots where slot != .none && evictable.contains(slot) { kept += 1 }
      guard evictable.count - kept >= excess else { throw .setFull }
    }
    guard excess > 0 || !leaving.isEmpty else { return nil }
    var evicted: [GrantElement] = []
    for hold in leaving {
      leave(hold, now, &evicted)
    }
    evict(excess, now, pass: pass, &evicted)
    return evicted
  }

  /// Which holds a name has to give up; finds at the same time what it holds already of the answer.
  private mutating func surplus(
    of question: Slot, beside count: Int, now: UInt64, pass: UInt64, _ limits: Limits
  ) throws(GrantLedger.CapacityError) -> [Slot] {
    guard question != .none else { return [] }
    var common = 0
    var hold = questions[question].firstHold
    while hold != .none {
      let opening = holds[hold].opening
      if openings[opening].mark == pass {
        openings[opening].found = hold
        common += 1
      }
      hold = holds[hold].nextOfQuestion
    }
    let surplus = questions[question].holdCount + count - common - limits.elementsPerName
    guard surplus > 0 else { return [] }
    var candidates: [Slot] = []
    hold = questions[question].firstHold
    while hold != .none {
      let opening = holds[hold].opening
      if openings[opening].mark != pass && holds[hold].answerUntil <= now && openings[opening].committedUntil > 0
        && !holds[hold].isPlanned
      {
        candidates.append(hold)
      }
      hold = holds[hold].nextOfQuestion
    }
    guard candidates.count >= surplus else { throw .setFull }
    candidates.sort { holds[$0].until < holds[$1].until }
    return Array(candidates.prefix(surplus))
  }

  private func isSole(_ hold: Slot) -> Bool {
    let opening = holds[hold].opening
    return openings[opening].firstHold == hold && openings[opening].lastHold == hold
  }

  /// Takes an element from a name; who else holds it takes over the time that it is open for.
  private mutating func leave(_ hold: Slot, _ now: UInt64, _ evicted: inout [GrantElement]) {
    let (opening, until) = (holds[hold].opening, holds[hold].until)
    guard !isSole(hold) else { return evict(opening, now, &evicted) }
    removeHold(hold)
    let heir = openings[opening].lastHold
    holds[heir].until = max(holds[heir].until, until)
    extendQuestion(holds[heir].question, until: until)
    enqueue(opening)
  }

  /// Whether one more question may hold something, if need be instead of one whose answers are over.
  func hasRoomForQuestion(_ now: UInt64, _ limits: Limits) -> Bool {
    guard questions.count >= limits.elements else { return true }
    return answered.first.map { $0.due <= now } ?? false
  }

  /// Whether so many holds of a question fit, if need be instead of those of questions whose answers are over. Of what it
  /// holds already, the elements that are marked with `pass` count once.
  mutating func hasRoom(forHolds count: Int, of question: Slot, _ now: UInt64, pass: UInt64, _ limits: Limits) -> Bool {
    var missing = holds.count + count - limits.holds
    guard missing > 0 else { return true }
    var hold = question == .none ? .none : questions[question].firstHold
    while hold != .none {
      if openings[holds[hold].opening].mark == pass { missing -= 1 }
      hold = holds[hold].nextOfQuestion
    }
    var passed: [Slot] = []
    while missing > 0, let first = answered.first, first.due <= now {
      answered.remove(first.slot)
      passed.append(first.slot)
      if first.slot != question { missing -= questions[first.slot].holdCount }
    }
    for slot in passed { answered.set(slot, due: questions[slot].answerUntil) }
    return missing <= 0
  }

  /// Forgets a question; what no other question holds is evicted with it.
  mutating func evictQuestion(_ question: Slot, _ now: UInt64, _ evicted: inout [GrantElement]) {
    var hold = questions[question].firstHold
    while hold != .none {
      let next = holds[hold].nextOfQuestion
      leave(hold, now, &evicted)
      hold = next
    }
  }

  /// Closes an element before its time; one that is over has left the kernel by itself.
  private mutating func evict(_ opening: Slot, _ now: UInt64, _ evicted: inout [GrantElement]) {
    if openings[opening].requestedUntil > now { evicted.append(openings[opening].element) }
    close(opening)
  }

  /// Evicts elements, of which there are enough beside those marked with `pass`.
  private mutating func evict(_ count: Int, _ now: UInt64, pass: UInt64, _ evicted: inout [GrantElement]) {
    var (kept, left): ([Slot], Int) = ([], count)
    while left > 0, let first = evictable.first {
      if openings[first.slot].mark == pass {
        evictable.remove(first.slot)
        kept.append(first.slot)
      } else {
        evict(first.slot, now, &evicted)
        left -= 1
      }
    }
    for slot in kept { evictable.set(slot, due: openings[slot].requestedUntil) }
  }

  /// Moves to the evictable what no live answer promises any more, as much as is needed or a slice.
  private mutating func refreshQueues(_ now: UInt64, upTo wanted: Int) {
    var left = Self.refreshSlice
    while left > 0 || evictable.count < wanted, let first = promised.first, first.due <= now {
      left -= 1
      promised.remove(first.slot)
      openings[first.slot].protectedUntil = 0
      evictable.set(first.slot, due: openings[first.slot].requestedUntil)
    }
  }

  private static let refreshSlice = 1_024
}
