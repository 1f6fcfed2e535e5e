import IPNetwork

/// The state of record of what is open: which addresses each server may reach, for which names, and until when.
///
/// A pure value on the resolver's thread. Times are nanoseconds of the monotonic clock, passed in; the kernel's own
/// timers start later than the ledger's, so an element never ends before the ledger believes it does. Servers share
/// nothing but an index of addresses, so that nothing done for one costs more because of another.
package struct GrantLedger: ~Copyable {
  let limits: ServerGrants.Limits
  /// By the server's index.
  var servers: [ServerGrants] = []
  /// What was open for each of them.
  var histories: [AddressHistory] = []
  var addresses = AddressIndex()
  /// What is over ends in slices of so many records: some 10 µs that a question of another server waits for.
  var expirySlice = 128
  /// The server that is looked at next for what is over by itself.
  private var nextExpired = 0

  /// - Parameters:
  ///   - maxElementsPerServer: also the number of names that a server may have open, since any number of names under a
  ///     wildcard may lead to one address.
  ///   - maxElementsPerName: a name whose addresses rotate gives up its oldest ones.
  ///   - maxHoldsPerServer: how many times the elements of a server may be held by its names, all together.
  package init(
    lifetimes: Lifetimes, maxElementsPerServer: Int, maxElementsPerName: Int = 1024, maxHoldsPerServer: Int = 131_072
  ) {
    limits = ServerGrants.Limits(
      lifetimes: lifetimes, elements: maxElementsPerServer, elementsPerName: maxElementsPerName,
      holds: maxHoldsPerServer)
  }

  /// How many elements are open or asked for; what is over by itself may be counted until the server is swept.
  package var elementCount: Int { servers.reduce(0) { $0 + $1.elementCount } }

  /// How many times an element is held by a question: what `forEachHolding` visits.
  package var holdingCount: Int { servers.reduce(0) { $0 + $1.holds.count } }

  /// Plans what has to be committed before the answer of `key` may leave. A question is planned for one answer at a
  /// time.
  ///
  /// - Parameter epoch: the firewall epoch; what was committed in another one counts as absent.
  /// - Throws: `CapacityError.setFull`, having changed nothing.
  package mutating func plan(_ answer: Answer, now: UInt64, epoch: UInt64) throws(CapacityError) -> Plan {
    let index = prepare(answer.key.server, now: now)
    let request = ServerGrants.Request(
      key: answer.key, caps: answer.caps, portCaps: answer.portCaps, ttl: answer.ttl, now: now, epoch: epoch,
      notAfter: answer.notAfter, terms: answer.terms)
    let plan = try servers[index].plan(
      request, addresses: answer.addresses, targets: answer.targets, limits: limits)
    for element in plan.evictions { histories[index].ended(element, .room, now: now) }
    noteArrivals(index)
    return plan
  }

  /// Records the kernel's ack of commits that were asked for in `epoch`.
  package mutating func committed(_ commits: [GrantCommit], askedAt: UInt64, epoch: UInt64) {
    for commit in commits {
      guard let index = index(of: commit.element.server) else { continue }
      servers[index].committed(commit, askedAt: askedAt, epoch: epoch)
    }
  }

  /// Records that an answer was promised; returns when its grant ends, or nil if something is not committed.
  ///
  /// - Parameter answerUntil: the end of the answer's TTL, until which its elements are not evicted; never later than
  ///   the grant.
  package mutating func promise(
    _ key: Key, elements: [GrantElement], answerUntil: UInt64 = .max, now: UInt64, epoch: UInt64
  ) -> UInt64? {
    guard let index = index(of: key.server) else { return nil }
    let until = servers[index].promise(key, elements: elements, answerUntil: answerUntil, now: now, epoch: epoch)
    if until != nil { note(key, elements, index: index, from: nil, now: now) }
    return until
  }

  /// The commits that bring elements which were promised before into an epoch; nil asks for all of them.
  package func renewal(of elements: [GrantElement], now: UInt64, epoch: UInt64?) -> [GrantCommit] {
    elements.compactMap { element in
      guard let index = index(of: element.server) else { return nil }
      return servers[index].renewal(of: element, now: now, epoch: epoch)
    }
  }

  /// Elements of one server that are brought back before another's turn.
  private static let replayShare = 64

  /// The commits that bring a forgetful kernel back to what live answers promised: of each server a share in turn, so that
  /// none waits for another's thousands; of each first what an answer still stands for in a client's cache.
  package mutating func replay(now: UInt64) -> [GrantCommit] {
    var queues: [ArraySlice<GrantCommit>] = []
    for index in servers.indices {
      servers[index].expire(now, atMost: 32 * expirySlice)
      let commits = servers[index].replay(now: now)
      if !commits.isEmpty { queues.append(commits[...]) }
    }
    var commits: [GrantCommit] = []
    commits.reserveCapacity(queues.reduce(0) { $0 + $1.count })
    while !queues.isEmpty {
      for index in queues.indices {
        commits += queues[index].prefix(Self.replayShare)
        queues[index] = queues[index].dropFirst(Self.replayShare)
      }
      queues.removeAll { $0.isEmpty }
    }
    return commits
  }

  /// Whether nothing is open or asked for of a server.
  package mutating func isEmpty(server: UInt16, now: UInt64) -> Bool {
    guard let index = index(of: server) else { return true }
    servers[index].expire(now)
    return servers[index].elementCount == 0
  }

  /// Forgets what a server had: its number is another's from now on. Nothing of it may be open.
  package mutating func forget(server: UInt16) {
    guard let index = index(of: server) else { return }
    servers[index] = ServerGrants(server: server)
    histories[index] = AddressHistory()
  }

  /// The commits that end elements as early as what still holds them; for those that are open.
  package func shortening(of elements: [GrantElement], now: UInt64) -> [GrantCommit] {
    elements.compactMap { element in
      guard let index = index(of: element.server) else { return nil }
      return servers[index].shortening(of: element, now: now)
    }
  }

  /// The elements that the answer of `key` promised, if it is still alive.
  package func elements(of key: Key, now: UInt64) -> [GrantElement]? {
    guard let index = index(of: key.server) else { return nil }
    return servers[index].promisedElements(of: key, now: now)
  }

  /// Ends everything held for the questions that `condition` selects.
  ///
  /// - Parameters:
  ///   - now: what ended by itself until then holds nothing back.
  ///   - servers: the servers whose questions are looked at; nil for all of them.
  ///   - ending: why, for the record.
  ///   - keeping: what of such a question stays open all the same.
  /// - Returns: what no other question of its server holds, to be closed in the kernel, commits for what others
  ///   hold for a shorter time, and what each of the questions held.
  package mutating func end(
    now: UInt64, servers selected: Set<UInt16>? = nil, as ending: Ending = .policy, where condition: (Key) -> Bool,
    keeping: (Key, GrantElement) -> Bool = { _, _ in false }
  ) -> Ended {
    var ended = Ended()
    // What is held and what is remembered are the same questions.
    var judged: [Key: Bool] = [:]
    func isEnding(_ key: Key) -> Bool {
      if let known = judged[key] { return known }
      let isEnding = condition(key)
      judged[key] = isEnding
      return isEnding
    }
    for index in selected?.compactMap({ index(of: $0) }) ?? Array(servers.indices) {
      servers[index].end(now: now, &ended, where: isEnding, keeping: keeping)
      histories[index].ended(ending, now: now, server: UInt16(index), where: isEnding, keeping: keeping)
    }
    return ended
  }

  /// Takes over what the kernel holds already, at start. It counts to the limits and is exempt from eviction until
  /// its `answerUntil`.
  ///
  /// - Returns: whether there was room for it; what is not taken over must be closed in the kernel.
  @discardableResult
  package mutating func takeOver(_ inherited: Inherited, now: UInt64, epoch: UInt64) -> Bool {
    let key = inherited.key
    guard inherited.until > now, inherited.element.server == key.server else { return false }
    let index = prepare(key.server, now: now)
    let isTaken = servers[index].takeOver(inherited, now: now, epoch: epoch, limits: limits)
    noteArrivals(index)
    if isTaken { note(key, [inherited.element], index: index, from: min(inherited.opened ?? now, now), now: now) }
    return isTaken
  }

  func index(of server: UInt16) -> Int? {
    Int(server) < servers.count ? Int(server) : nil
  }

  mutating func prepare(_ server: UInt16, now: UInt64) -> Int {
    let index = Int(server)
    while servers.count <= index { servers.append(ServerGrants(server: UInt16(servers.count))) }
    while histories.count < servers.count { histories.append(AddressHistory()) }
    servers[index].addressTable.maxClosed = Self.maxClosed(servers.count)
    servers[index].expire(now, atMost: expirySlice)
    // Servers that have gone quiet are looked at in turn.
    nextExpired = (nextExpired + 1) % servers.count
    servers[nextExpired].expire(now, atMost: expirySlice)
    return index
  }

  private mutating func noteArrivals(_ index: Int) {
    guard !servers[index].addressTable.arrivals.isEmpty else { return }
    for address in servers[index].addressTable.arrivals {
      addresses.record(address, server: UInt16(index))
    }
    servers[index].addressTable.arrivals.removeAll(keepingCapacity: true)
  }
}
