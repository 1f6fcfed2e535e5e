import DNSWire

/// Making and breaking the records and their links.
extension ServerGrants {
  mutating func addQuestion(_ key: GrantLedger.Key) -> Slot {
    let slot = questions.insert(Question(key: key, until: 0))
    questionSlots[key] = slot
    return slot
  }

  mutating func addOpening(_ element: GrantElement, until: UInt64, now: UInt64, epoch: UInt64) -> Slot {
    let addressSlot = addressTable.open(element.address)
    let slot = openings.insert(
      Opening(
        element: element, addressSlot: addressSlot, nextOfAddress: addressTable[addressSlot].firstOpening,
        requestedUntil: until, epoch: epoch,
        since: now, opened: now))
    addressTable[addressSlot].firstOpening = slot
    dueOpenings.set(slot, due: until)
    return slot
  }

  mutating func addHold(of question: Slot, on opening: Slot, until: UInt64, caps: UInt16) -> Slot {
    let next = questions[question].firstHold
    let slot = holds.insert(
      Hold(question: question, opening: opening, until: until, caps: caps, nextOfQuestion: next))
    if next != .none { holds[next].previousOfQuestion = slot }
    questions[question].firstHold = slot
    questions[question].holdCount += 1
    let first = openings[opening].firstHold
    holds[slot].nextOfOpening = first
    openings[opening].firstHold = slot
    if first == .none {
      openings[opening].lastHold = slot
    } else {
      holds[first].previousOfOpening = slot
    }
    extendQuestion(question, until: until)
    return slot
  }

  mutating func extendQuestion(_ question: Slot, until: UInt64) {
    guard until > questions[question].until else { return }
    questions[question].until = until
    if !dueQuestions.contains(question) { dueQuestions.set(question, due: until) }
  }

  /// Makes a hold the latest of its element.
  mutating func moveToEnd(_ hold: Slot) {
    let opening = holds[hold].opening
    guard openings[opening].lastHold != hold else { return }
    unlinkFromOpening(hold)
    let last = openings[opening].lastHold
    holds[hold].previousOfOpening = last
    holds[hold].nextOfOpening = .none
    if last == .none {
      openings[opening].firstHold = hold
    } else {
      holds[last].nextOfOpening = hold
    }
    openings[opening].lastHold = hold
  }

  private mutating func unlinkFromOpening(_ hold: Slot) {
    let (opening, next, previous) = (holds[hold].opening, holds[hold].nextOfOpening, holds[hold].previousOfOpening)
    if next == .none { openings[opening].lastHold = previous } else { holds[next].previousOfOpening = previous }
    if previous == .none { openings[opening].firstHold = next } else { holds[previous].nextOfOpening = next }
  }

  /// Ends a hold, and its question with the last one. What becomes of the element is the caller's care.
  mutating func removeHold(_ hold: Slot) {
    let (question, opening) = (holds[hold].question, holds[hold].opening)
    if openings[opening].lastHold == hold {
      addressTable[openings[opening].addressSlot].name = questions[question].key.name
    }
    land(hold)
    unlinkFromOpening(hold)
    let (next, previous) = (holds[hold].nextOfQuestion, holds[hold].previousOfQuestion)
    if next != .none { holds[next].previousOfQuestion = previous }
    if previous == .none { questions[question].firstHold = next } else { holds[previous].nextOfQuestion = next }
    holds.remove(hold)
    questions[question].holdCount -= 1
    guard questions[question].holdCount == 0 else { return }
    answered.remove(question)
    questionSlots[questions[question].key] = nil
    dueQuestions.remove(question)
    questions[question] = Question(key: GrantLedger.Key(server: server, name: .root, type: .A), until: 0)
    questions.remove(question)
  }

  /// Notes that an answer which needs a hold is on its way.
  mutating func launch(_ hold: Slot) {
    guard !holds[hold].isPlanned else { return }
    holds[hold].isPlanned = true
    openings[holds[hold].opening].inFlight += 1
    questions[holds[hold].question].inFlight += 1
    answered.remove(holds[hold].question)
  }

  /// Notes that it arrived, or never will.
  mutating func land(_ hold: Slot) {
    guard holds[hold].isPlanned else { return }
    let question = holds[hold].question
    holds[hold].isPlanned = false
    openings[holds[hold].opening].inFlight -= 1
    questions[question].inFlight -= 1
    if questions[question].inFlight == 0 { answered.set(question, due: questions[question].answerUntil) }
  }

  /// Notes until when a client may rely on an answer.
  mutating func protect(_ hold: Slot, until: UInt64) {
    let (opening, question) = (holds[hold].opening, holds[hold].question)
    holds[hold].answerUntil = max(holds[hold].answerUntil, until)
    openings[opening].protectedUntil = max(openings[opening].protectedUntil, until)
    questions[question].answerUntil = max(questions[question].answerUntil, until)
    if questions[question].inFlight == 0 { answered.set(question, due: questions[question].answerUntil) }
  }

  /// Ends everything that a question holds.
  mutating func forget(_ question: Slot) {
    var hold = questions[question].firstHold
    while hold != .none {
      let (next, opening) = (holds[hold].nextOfQuestion, holds[hold].opening)
      removeHold(hold)
      enqueue(opening)
      hold = next
    }
  }

  /// Forgets an element and whatever is still linked to it.
  mutating func close(_ slot: Slot) {
    // The latest hold goes last and leaves its name with the address.
    while case let hold = openings[slot].firstHold, hold != .none {
      removeHold(hold)
    }
    promised.remove(slot)
    evictable.remove(slot)
    dueOpenings.remove(slot)
    let (addressSlot, next) = (openings[slot].addressSlot, openings[slot].nextOfAddress)
    var before = addressTable[addressSlot].firstOpening
    if before == slot {
      addressTable[addressSlot].firstOpening = next
    } else {
      while openings[before].nextOfAddress != slot { before = openings[before].nextOfAddress }
      openings[before].nextOfAddress = next
    }
    openings.remove(slot)
    if addressTable[addressSlot].firstOpening == .none { addressTable.close(addressSlot) }
  }
}
