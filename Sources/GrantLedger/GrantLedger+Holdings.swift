package import DNSWire

extension GrantLedger {
  /// Whether an element is open or asked for.
  package func holds(_ element: GrantElement, now: UInt64) -> Bool {
    guard let index = index(of: element.server) else { return false }
    return servers[index].requestedUntil(of: element) > now
  }

  /// Whether the kernel acknowledged an element in `epoch` for longer than now, and the element has been there since
  /// `since` or longer.
  package func isCommitted(_ element: GrantElement, since: UInt64, now: UInt64, epoch: UInt64) -> Bool {
    guard let index = index(of: element.server) else { return false }
    return servers[index].isCommitted(element, since: since, now: now, epoch: epoch)
  }

  /// How many servers ever had anything.
  package var serverCount: Int { servers.count }

  /// How many elements of a server are open or asked for.
  package func elementCount(ofServer server: UInt16) -> Int {
    index(of: server).map { servers[$0].elementCount } ?? 0
  }

  /// What is open or asked for, of one server.
  package func elements(ofServer server: UInt16, now: UInt64) -> [GrantElement] {
    guard let index = index(of: server) else { return [] }
    return servers[index].dueOpenings.slots(dueBy: .max).compactMap { slot in
      let opening = servers[index].openings[slot]
      return opening.requestedUntil > now ? opening.element : nil
    }
  }

  /// The names that hold an element, the latest last.
  package func names(of element: GrantElement, now: UInt64) -> [Name] {
    guard let index = index(of: element.server) else { return [] }
    return servers[index].names(of: element, now: now)
  }

  /// Visits every open element once for each question that holds it.
  ///
  /// - Parameter body: gets until when it is open for that question, and when it was opened first.
  package func forEachHolding(
    now: UInt64, _ body: (_ key: Key, _ element: GrantElement, _ until: UInt64, _ opened: UInt64) -> Void
  ) {
    for index in servers.indices {
      servers[index].forEachHolding(now: now, body)
    }
  }

  /// How far a visit in slices has come.
  package struct HoldingCursor: Sendable {
    fileprivate var server = 0
    fileprivate var question: Slot = 0

    package init() {}

    fileprivate init(server: Int) {
      self.server = server
    }
  }

  /// The same in slices: what is open all the while is visited once, what comes or goes meanwhile perhaps. `body` gets what the
  /// question wants of the element.
  ///
  /// - Parameter count: visits after which the slice ends, with the name that it is at; names that hold nothing open count
  ///   like visits.
  /// - Returns: whether anything is left.
  package func forEachHolding(
    now: UInt64, from cursor: inout HoldingCursor, atMost count: Int,
    _ body: (_ key: Key, _ element: GrantElement, _ wish: Wish) -> Void
  ) -> Bool {
    var left = count
    while cursor.server < servers.count {
      let grants = servers[cursor.server]
      while cursor.question < grants.questions.numbers.upperBound {
        guard left > 0 else { return true }
        left -= 1
        grants.forEachOpenHold(of: cursor.question, now: now) { key, hold, opening in
          left -= 1
          body(key, opening.element, Wish(hold, opening))
        }
        cursor.question += 1
      }
      cursor = HoldingCursor(server: cursor.server + 1)
    }
    return false
  }

  /// What a question wants of the elements of those that it holds.
  package func wanted(_ elements: [GrantElement], by key: Key) -> [(element: GrantElement, wish: Wish)] {
    guard let index = index(of: key.server) else { return [] }
    // By the array itself all that is open for the server would be copied.
    return servers.span[index].wanted(elements, by: key)
  }

  /// The questions that hold an element now, and what each wants of it: of more than are worth looking through, the latest.
  package func holders(of element: GrantElement, now: UInt64) -> [(key: Key, wish: Wish)] {
    guard let index = index(of: element.server) else { return [] }
    return servers[index].holders(of: element, now: now)
  }

  /// The same as `forEachHolding` for one question.
  package func forEachHolding(
    of key: Key, now: UInt64, _ body: (_ key: Key, _ element: GrantElement, _ until: UInt64, _ opened: UInt64) -> Void
  ) {
    guard let index = index(of: key.server) else { return }
    servers[index].forEachHolding(of: key, now: now, body)
  }
}

extension ServerGrants {
  func isCommitted(_ element: GrantElement, since: UInt64, now: UInt64, epoch: UInt64) -> Bool {
    let slot = opening(of: element)
    return slot != .none && openings[slot].epoch == epoch && openings[slot].committedUntil > now
      && openings[slot].opened <= since
  }

  func requestedUntil(of element: GrantElement) -> UInt64 {
    let slot = opening(of: element)
    return slot == .none ? 0 : openings[slot].requestedUntil
  }

  func forEachHolding(now: UInt64, _ body: (GrantLedger.Key, GrantElement, UInt64, UInt64) -> Void) {
    for key in questionSlots.keys { forEachHolding(of: key, now: now, body) }
  }

  func forEachHolding(
    of key: GrantLedger.Key, now: UInt64, _ body: (GrantLedger.Key, GrantElement, UInt64, UInt64) -> Void
  ) {
    if let question = questionSlots[key] { forEachHolding(of: question, now: now, body) }
  }

  func forEachHolding(
    of question: Slot, now: UInt64, _ body: (GrantLedger.Key, GrantElement, UInt64, UInt64) -> Void
  ) {
    forEachOpenHold(of: question, now: now) { key, hold, opening in
      body(key, opening.element, min(hold.until, opening.committedUntil), opening.opened)
    }
  }

  /// Of the number of a question that is gone nothing is held.
  func forEachOpenHold(of question: Slot, now: UInt64, _ body: (GrantLedger.Key, Hold, Opening) -> Void) {
    let key = questions[question].key
    var hold = questions[question].firstHold
    while hold != .none {
      let opening = openings[holds[hold].opening]
      if min(holds[hold].until, opening.committedUntil) > now { body(key, holds[hold], opening) }
      hold = holds[hold].nextOfQuestion
    }
  }

  func wanted(_ elements: [GrantElement], by key: GrantLedger.Key) -> [(element: GrantElement, wish: GrantLedger.Wish)]
  {
    guard let question = questionSlots[key] else { return [] }
    let chosen: Set<GrantElement>? = elements.count > 8 ? Set(elements) : nil
    var wanted: [(element: GrantElement, wish: GrantLedger.Wish)] = []
    var hold = questions[question].firstHold
    while hold != .none {
      let opening = openings[holds[hold].opening]
      if chosen?.contains(opening.element) ?? elements.contains(opening.element) {
        wanted.append((opening.element, GrantLedger.Wish(holds[hold], opening)))
      }
      hold = holds[hold].nextOfQuestion
    }
    return wanted
  }

  func holders(of element: GrantElement, now: UInt64) -> [(key: GrantLedger.Key, wish: GrantLedger.Wish)] {
    let slot = opening(of: element)
    guard slot != .none else { return [] }
    var holders: [(key: GrantLedger.Key, wish: GrantLedger.Wish)] = []
    var hold = openings[slot].lastHold
    for _ in 0..<Self.maxHoldsSearched where hold != .none {
      if holds[hold].until > now {
        holders.append((questions[holds[hold].question].key, GrantLedger.Wish(holds[hold], openings[slot])))
      }
      hold = holds[hold].previousOfOpening
    }
    return holders
  }

  func promisedElements(of key: GrantLedger.Key, now: UInt64) -> [GrantElement]? {
    guard let question = questionSlots[key], questions[question].promisedUntil > now else { return nil }
    let elements = questions[question].promise
    // What was evicted since cannot be renewed: the answer must be asked for again.
    return elements.allSatisfy { opening(of: $0) != .none } ? elements : nil
  }

  func renewal(of element: GrantElement, now: UInt64, epoch: UInt64?) -> GrantCommit? {
    let slot = opening(of: element)
    guard slot != .none, openings[slot].epoch != epoch, openings[slot].committedUntil > now else { return nil }
    // What another name has asked for meanwhile is not shortened.
    return commit(slot, now: now)
  }

  func shortening(of element: GrantElement, now: UInt64) -> GrantCommit? {
    let slot = opening(of: element)
    guard slot != .none, openings[slot].requestedUntil > now else { return nil }
    var commit = commit(slot, now: now)
    commit.shortens = true
    return commit
  }

  func replay(now: UInt64) -> [GrantCommit] {
    let open = dueOpenings.slots(dueBy: .max).filter { openings[$0].committedUntil > now }
    let promised = open.filter { openings[$0].protectedUntil > now }
    let rest = open.filter { openings[$0].protectedUntil <= now }
    return (promised + rest).map { commit($0, now: now) }
  }
}

extension GrantLedger.Wish {
  fileprivate init(_ hold: ServerGrants.Hold, _ opening: ServerGrants.Opening) {
    self.init(until: hold.until, opened: opening.opened, terms: hold.terms)
  }
}
