package import DNSWire
package import IPNetwork

/// The state of record of what is open: which addresses each server may reach, for which names, and until when.
///
/// A pure value on the resolver's thread. Times are nanoseconds of the monotonic clock, passed in; the kernel's own
/// timers start later than ours, so an element never ends before the ledger believes it does.
package struct GrantLedger: ~Copyable {
  struct Opening {
    /// Never before `committedUntil`.
    var requestedUntil: UInt64
    var committedUntil: UInt64
    var epoch: UInt64
    /// Of all names that it was asked for; a bound is not undone by a name that has none.
    var caps: UInt16
    /// When it was asked for first.
    var opened: UInt64
  }

  /// What the last answer of a question promised.
  struct Promise {
    var elements: [GrantElement]
    var until: UInt64
    /// Until when a client may go by the answer.
    var answerUntil: UInt64
  }

  /// What was asked for on behalf of a question.
  struct Held {
    var until: UInt64
    var caps: UInt16
  }

  /// Everything asked for on behalf of a question that may still be open, by earlier answers too: a name whose
  /// addresses rotate must take all of them with it when policy drops it.
  struct Holding {
    var elements: [GrantElement: Held]
    var until: UInt64
  }

  struct Place: Hashable {
    var server: UInt16
    var address: IPAddress
  }

  let lifetimes: Lifetimes
  let maxElementsPerServer: Int
  let maxElementsPerName: Int
  var openings: [GrantElement: Opening] = [:]
  var promises: [Key: Promise] = [:]
  var holdings: [Key: Holding] = [:]
  /// The questions that opened an address, the latest last; each of them has a holding.
  var names: [Place: [Key]] = [:]
  /// The questions that hold an element: the keys of `holdings`, the other way round.
  var holders: [GrantElement: Set<Key>] = [:]
  var elementsByServer: [UInt16: Set<GrantElement>] = [:]
  var keysByServer: [UInt16: Set<Key>] = [:]
  var history = AddressHistory()
  private var dueOpenings = ExpiryHeap<GrantElement>()
  private var dueHoldings = ExpiryHeap<Key>()

  /// Names remembered for one address, for PTR answers: shared hosting puts thousands on one.
  private static let maxNamesPerAddress = 8
  /// A client goes by an answer for this long even if its TTL says less: it has to connect first.
  private static let leastAnswer: UInt64 = 10_000_000_000

  /// - Parameters:
  ///   - maxElementsPerServer: also the number of names that a server may have open, since any number of names under
  ///     a wildcard may lead to one address.
  ///   - maxElementsPerName: elements that one question may hold, those of earlier answers among them.
  package init(lifetimes: Lifetimes, maxElementsPerServer: Int, maxElementsPerName: Int = 1024) {
    self.lifetimes = lifetimes
    self.maxElementsPerServer = maxElementsPerServer
    self.maxElementsPerName = maxElementsPerName
  }

  /// How many elements are open or asked for.
  package var elementCount: Int { openings.count }

  /// Plans what has to be committed before the answer of `key` may leave.
  ///
  /// Where the server or the name has too much open, what ends soonest and no live answer promises makes room.
  ///
  /// - Parameters:
  ///   - targets: transport and port pairs to open for each address; (0, 0) opens every port.
  ///   - caps: the bounds of the rule that allowed it.
  ///   - ttl: the answer's TTL in nanoseconds.
  ///   - epoch: the firewall epoch; what was committed in another one counts as absent.
  /// - Throws: `Refusal.setFull`, having changed nothing.
  package mutating func plan(
    _ key: Key, addresses: [IPAddress], targets: [(transport: UInt8, port: UInt16)], caps: UInt16 = 0, ttl: UInt64,
    now: UInt64, epoch: UInt64
  ) throws(Refusal) -> Plan {
    expire(now)
    var plan = Plan(elements: [], commits: [])
    var seen: Set<GrantElement> = []
    var added = 0
    for address in addresses {
      for target in targets {
        let element = GrantElement(
          server: key.server, address: address, transport: target.transport, port: target.port)
        guard seen.insert(element).inserted else { continue }
        plan.elements.append(element)
        if openings[element] == nil {
          added += 1
        }
      }
    }
    plan.evictions = try makeRoom(for: key, seen, adding: added, now: now)
    for element in plan.elements {
      if let commit = need(element, caps: caps, ttl: ttl, now: now, epoch: epoch) {
        plan.commits.append(commit)
      }
    }
    hold(key, seen, caps: caps, until: now + lifetimes.lifetime(ofTTL: ttl))
    return plan
  }

  /// Records the kernel's ack of commits that were asked for in `epoch`.
  package mutating func committed(_ commits: [GrantCommit], askedAt: UInt64, epoch: UInt64) {
    for commit in commits {
      guard var opening = openings[commit.element], opening.epoch <= epoch else { continue }
      // The kernel got whole milliseconds, rounded up; the ledger believes in no more than was meant.
      let until = min(askedAt + UInt64(commit.lifetimeMilliseconds) * 1_000_000, opening.requestedUntil)
      opening.committedUntil = opening.epoch == epoch ? max(opening.committedUntil, until) : until
      opening.epoch = epoch
      openings[commit.element] = opening
    }
  }

  /// Records that an answer was promised; returns when its grant ends, or nil if something is not committed.
  ///
  /// - Parameter answerUntil: when the answer's TTL will have run out; until then nothing of it is evicted.
  package mutating func promise(
    _ key: Key, elements: [GrantElement], answerUntil: UInt64 = .max, now: UInt64, epoch: UInt64
  ) -> UInt64? {
    var until = UInt64.max
    for element in elements {
      guard let opening = openings[element], opening.epoch == epoch, opening.committedUntil > now,
        let held = holdings[key]?.elements[element]
      else { return nil }
      // What another name keeps open for longer is not this name's to promise.
      until = min(until, opening.committedUntil, held.until)
    }
    guard until != .max else { return nil }
    for address in Set(elements.map(\.address)) {
      name(Place(server: key.server, address: address), key)
    }
    promises[key] = Promise(
      elements: elements, until: until, answerUntil: min(until, max(answerUntil, now + Self.leastAnswer)))
    return until
  }

  mutating func name(_ place: Place, _ key: Key) {
    var keys = names[place, default: []]
    keys.removeAll { $0 == key }
    if keys.count == Self.maxNamesPerAddress { keys.removeFirst() }
    names[place] = keys + [key]
    history.resolved(place.address, server: key.server, name: key.name)
  }

  /// The commits that bring elements which were promised before into the current epoch.
  package func renewal(of elements: [GrantElement], now: UInt64, epoch: UInt64) -> [GrantCommit] {
    elements.compactMap { element in
      guard let opening = openings[element], opening.epoch != epoch, opening.committedUntil > now else { return nil }
      // What somebody else has asked for meanwhile is not shortened.
      return commit(element, opening, now: now)
    }
  }

  /// The commits that bring a forgetful kernel back to what live answers promised, server by server: a batch that
  /// touches few sets costs the kernel a fraction of one that touches many.
  package mutating func replay(now: UInt64) -> [GrantCommit] {
    expire(now)
    var commits: [GrantCommit] = []
    commits.reserveCapacity(openings.count)
    for elements in elementsByServer.values {
      for element in elements {
        guard let opening = openings[element], opening.committedUntil > now else { continue }
        commits.append(commit(element, opening, now: now))
      }
    }
    return commits
  }

  /// The elements that the answer of `key` promised, if it is still alive.
  package func elements(of key: Key, now: UInt64) -> [GrantElement]? {
    guard let promise = promises[key], promise.until > now else { return nil }
    return promise.elements
  }

  /// The name that an address was opened for last, if it is still open for that server.
  package func name(of address: IPAddress, server: UInt16, now: UInt64) -> (name: Name, until: UInt64)? {
    for key in names[Place(server: server, address: address), default: []].reversed() {
      let held = holdings[key]?.elements.keys.filter { $0.address == address } ?? []
      let until = held.compactMap { openings[$0]?.committedUntil }.max() ?? 0
      if until > now { return (key.name, until) }
    }
    return nil
  }

  /// Ends everything held for the questions that `condition` selects.
  ///
  /// - Parameters:
  ///   - now: what ended by itself until then holds nothing back.
  ///   - servers: the servers whose questions are looked at; all of them when nil.
  /// - Returns: the elements that no other question of that server holds, and commits that shorten those that others
  ///   hold, but not for as long.
  package mutating func end(
    now: UInt64 = 0, servers: Set<UInt16>? = nil, where condition: (Key) -> Bool
  ) -> (closed: [GrantElement], shortened: [GrantCommit]) {
    expire(now)
    var freed: Set<GrantElement> = []
    for server in servers ?? Set(keysByServer.keys) {
      for key in keysByServer[server, default: []] where condition(key) {
        freed.formUnion(holdings[key]?.elements.keys.map { $0 } ?? [])
        forget(key)
      }
    }
    var closed: [GrantElement] = []
    var shortened: [GrantCommit] = []
    for element in freed {
      guard var opening = openings[element] else { continue }
      let held = holders[element, default: []].compactMap { holdings[$0]?.elements[element] }.filter { $0.until > now }
      guard let longest = held.map(\.until).max() else {
        close(element)
        closed.append(element)
        continue
      }
      opening.caps = held.reduce(0) { $0 | $1.caps }
      if longest < opening.requestedUntil {
        opening.requestedUntil = longest
        opening.committedUntil = min(opening.committedUntil, longest)
        shortened.append(commit(element, opening, now: now))
      }
      openings[element] = opening
    }
    return (closed, shortened)
  }

  /// Adds to what is held for a question.
  ///
  /// - Parameter end: until when this question needs them; others may keep them open for longer.
  mutating func hold(_ key: Key, _ elements: Set<GrantElement>, caps: UInt16, until end: UInt64) {
    guard !elements.isEmpty else { return }
    var holding = holdings[key] ?? Holding(elements: [:], until: 0)
    let isNew = holding.elements.isEmpty
    let gone = holding.elements.keys.filter { openings[$0] == nil }
    for element in gone {
      holding.elements[element] = nil
      release(element, key)
    }
    unname(key, gone)
    for element in elements {
      let own = min(end, openings[element]?.requestedUntil ?? 0)
      let until = max(own, holding.elements[element]?.until ?? 0)
      holding.elements[element] = Held(until: until, caps: caps)
      holding.until = max(holding.until, until)
      holders[element, default: []].insert(key)
    }
    holdings[key] = holding
    guard isNew else { return }
    keysByServer[key.server, default: []].insert(key)
    dueHoldings.insert(key, due: holding.until)
  }

  mutating func forget(_ key: Key) {
    promises[key] = nil
    guard let holding = holdings.removeValue(forKey: key) else { return }
    keysByServer[key.server]?.remove(key)
    for element in holding.elements.keys { release(element, key) }
    unname(key, holding.elements.keys)
  }

  mutating func release(_ element: GrantElement, _ key: Key) {
    holders[element]?.remove(key)
    if holders[element]?.isEmpty == true { holders[element] = nil }
  }

  mutating func unname(_ key: Key, _ elements: some Collection<GrantElement>) {
    for element in elements {
      let place = Place(server: element.server, address: element.address)
      names[place]?.removeAll { $0 == key }
      if names[place]?.isEmpty == true { names[place] = nil }
    }
  }

  private mutating func need(
    _ element: GrantElement, caps: UInt16, ttl: UInt64, now: UInt64, epoch: UInt64
  ) -> GrantCommit? {
    let wanted = now + lifetimes.lifetime(ofTTL: ttl)
    guard var opening = openings[element] else {
      let opening = Opening(requestedUntil: wanted, committedUntil: 0, epoch: epoch, caps: caps, opened: now)
      open(element, opening)
      return commit(element, opening, now: now)
    }
    let isBounded = opening.caps | caps == opening.caps
    if opening.epoch == epoch && opening.committedUntil >= now + lifetimes.required(byTTL: ttl) && isBounded {
      return nil
    }
    // An element is never shortened: another answer may have promised it for longer.
    opening.requestedUntil = max(opening.requestedUntil, wanted)
    opening.caps |= caps
    openings[element] = opening
    return commit(element, opening, now: now)
  }

  mutating func open(_ element: GrantElement, _ opening: Opening) {
    openings[element] = opening
    elementsByServer[element.server, default: []].insert(element)
    dueOpenings.insert(element, due: opening.requestedUntil)
  }

  mutating func expire(_ now: UInt64) {
    while let key = dueHoldings.takeDue(now) {
      guard let holding = holdings[key] else { continue }
      if holding.until > now {
        dueHoldings.insert(key, due: holding.until)
      } else {
        forget(key)
      }
    }
    while let element = dueOpenings.takeDue(now) {
      guard let opening = openings[element] else { continue }
      if opening.requestedUntil > now {
        dueOpenings.insert(element, due: opening.requestedUntil)
      } else {
        close(element)
      }
    }
  }

  mutating func close(_ element: GrantElement) {
    guard openings.removeValue(forKey: element) != nil else { return }
    elementsByServer[element.server]?.remove(element)
  }

  func commit(_ element: GrantElement, _ opening: Opening, now: UInt64) -> GrantCommit {
    GrantCommit(
      element: element,
      lifetimeMilliseconds: Self.milliseconds(opening.requestedUntil - min(now, opening.requestedUntil)),
      caps: opening.caps)
  }

  /// Whole milliseconds, rounded up, so that the kernel never ends an element before the ledger.
  private static func milliseconds(_ nanoseconds: UInt64) -> UInt32 {
    UInt32(clamping: (nanoseconds + 999_999) / 1_000_000)
  }
}
