import DNSWire
import IPNetwork

extension ServerGrants {
  /// An answer being planned.
  struct Request {
    var key: GrantLedger.Key
    var caps: UInt16
    /// The same for some TCP ports alone.
    var portCaps: (caps: UInt16, ports: [UInt16]) = (0, [])
    /// Nanoseconds.
    var ttl: UInt64
    var now: UInt64
    var epoch: UInt64
    /// When its rule's time is over: nothing is opened for longer on its account.
    var notAfter: UInt64 = .max
    var terms = GrantTerms()

    /// The caps that an element gets.
    func caps(of element: GrantElement) -> UInt16 {
      guard portCaps.caps != 0, element.transport == 6, portCaps.ports.contains(element.port) else { return caps }
      return caps | portCaps.caps
    }
  }

  /// The elements of an answer, in its order.
  struct WantedElements {
    /// Their records, marked with `pass`; `.none` for each of the `added` new ones.
    var slots: [Slot] = []
    var added = 0
    let pass: UInt64
  }

  mutating func plan(
    _ request: Request, addresses: [IPAddress], targets: [(transport: UInt8, port: UInt16)], limits: Limits
  ) throws(GrantLedger.CapacityError) -> GrantLedger.Plan {
    var plan = GrantLedger.Plan(elements: [], commits: [])
    let wanted = collect(addresses, targets, into: &plan.elements)
    let slots = wanted.slots
    guard !slots.isEmpty else { return plan }
    var question = questionSlots[request.key] ?? .none
    guard slots.count <= limits.elementsPerName, question != .none || hasRoomForQuestion(request.now, limits)
    else { throw .setFull }
    guard hasRoom(forHolds: slots.count, of: question, request.now, pass: wanted.pass, limits) else { throw .setFull }
    if let room = try makeRoom(for: wanted, question: question, now: request.now, limits) {
      plan.evictions = room
      // With its last element a question is forgotten.
      question = questionSlots[request.key] ?? .none
    }
    if question == .none { question = addQuestion(request.key) }
    let until = max(min(request.now + limits.lifetimes.lifetime(ofTTL: request.ttl), request.notAfter), request.now)
    for (index, element) in plan.elements.enumerated() {
      var slot = slots[index]
      if slot == .none { slot = addOpening(element, until: until, now: request.now, epoch: request.epoch) }
      if let commit = need(slot, wanted: until, request, limits) { plan.commits.append(commit) }
      let held = hold(slot, question, until: min(until, openings[slot].requestedUntil), caps: request.caps(of: element))
      holds[held].terms = request.terms
    }
    // By now no element of this answer depends on the question that leaves.
    while questions.count > limits.elements || holds.count > limits.holds, let first = answered.first {
      evictQuestion(first.slot, request.now, &plan.evictions)
    }
    return plan
  }

  /// Lists the elements, each once, with the records of those that exist, marked; returns how many do not.
  private mutating func collect(
    _ addresses: [IPAddress], _ targets: [(transport: UInt8, port: UInt16)], into elements: inout [GrantElement]
  ) -> WantedElements {
    var wanted = WantedElements(pass: nextPass())
    elements.reserveCapacity(addresses.count * targets.count)
    wanted.slots.reserveCapacity(addresses.count * targets.count)
    // Most answers are short: looking through them costs less than hashing.
    var seen: Set<GrantElement> = []
    let isLong = addresses.count * targets.count > 16
    for address in addresses {
      let addressSlot = addressTable.slot(of: address)
      for target in targets {
        let element = GrantElement(
          server: server, address: address, transport: target.transport, port: target.port)
        guard isLong ? seen.insert(element).inserted : !elements.contains(element) else { continue }
        let slot = addressSlot.map { opening(at: $0, transport: target.transport, port: target.port) } ?? .none
        if slot == .none {
          wanted.added += 1
        } else {
          openings[slot].mark = wanted.pass
          openings[slot].found = .none
        }
        elements.append(element)
        wanted.slots.append(slot)
      }
    }
    return wanted
  }

  private mutating func need(_ slot: Slot, wanted: UInt64, _ request: Request, _ limits: Limits) -> GrantCommit? {
    let wantedCaps = request.caps(of: openings[slot].element)
    if openings[slot].requestedUntil <= request.now { openings[slot].beginAnew(request.now) }
    let isCommitted = openings[slot].committedUntil > 0 && openings[slot].epoch == request.epoch
    let isLongEnough =
      openings[slot].committedUntil
      >= min(request.now + limits.lifetimes.required(byTTL: request.ttl), request.notAfter)
    if isCommitted && isLongEnough && wantedCaps & ~openings[slot].committedCaps == 0 { return nil }
    // An element is never shortened: another answer may have promised it for longer.
    let until = max(openings[slot].requestedUntil, wanted)
    openings[slot].requestedUntil = until
    let caps = heldCaps(slot, except: openings[slot].found, now: request.now) | wantedCaps
    openings[slot].requestCaps(caps, now: request.now)
    return commit(slot, now: request.now)
  }

  func commit(_ slot: Slot, now: UInt64) -> GrantCommit {
    GrantCommit(
      element: openings[slot].element,
      lifetimeMilliseconds: Self.milliseconds(openings[slot].requestedUntil - now), caps: openings[slot].requestedCaps)
  }

  /// The caps of every live hold; of more holds than are worth looking through, what was asked for last. A cap too
  /// many is safe.
  private func heldCaps(_ slot: Slot, except own: Slot, now: UInt64) -> UInt16 {
    guard openings[slot].requestedCaps != 0 else { return 0 }
    var caps: UInt16 = 0
    var hold = openings[slot].firstHold
    for _ in 0..<Self.maxHoldsSearched {
      guard hold != .none else { return caps }
      if hold != own && holds[hold].until > now { caps |= holds[hold].caps }
      hold = holds[hold].nextOfOpening
    }
    return hold == .none ? caps : openings[slot].requestedCaps
  }

  private mutating func hold(_ opening: Slot, _ question: Slot, until: UInt64, caps: UInt16) -> Slot {
    var hold = openings[opening].found
    if hold == .none {
      hold = addHold(of: question, on: opening, until: until, caps: caps)
    } else {
      holds[hold].until = max(holds[hold].until, until)
      holds[hold].caps = caps
      extendQuestion(question, until: until)
    }
    openings[opening].found = .none
    launch(hold)
    enqueue(opening)
    return hold
  }

  /// Names looked through at one address: shared hosting puts thousands on one.
  static let maxHoldsSearched = 64

  /// Whole milliseconds, rounded up, so that the kernel never ends an element before the ledger.
  static func milliseconds(_ nanoseconds: UInt64) -> UInt32 {
    UInt32(clamping: (nanoseconds + 999_999) / 1_000_000)
  }
}

extension ServerGrants.Opening {
  /// It was over, and not closed yet.
  mutating func beginAnew(_ now: UInt64) {
    (opened, since, committedUntil, committedCaps, requestedCaps, protectedUntil) = (now, now, 0, 0, 0, 0)
  }

  /// What is left out from now on is not relied on any more, whatever acks are on their way.
  mutating func requestCaps(_ caps: UInt16, now: UInt64) {
    if requestedCaps & ~caps != 0 { capsSince = now }
    committedCaps &= caps
    requestedCaps = caps
  }
}
