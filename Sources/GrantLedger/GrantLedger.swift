package import DNSWire
package import IPNetwork

/// The state of record of what is open: which addresses each server may reach, for which names, and until when.
///
/// A pure value on the resolver's thread. Times are nanoseconds of the monotonic clock, passed in; the kernel's own
/// timers start later than ours, so an element never ends before the ledger believes it does.
package struct GrantLedger: ~Copyable {
  private struct Opening {
    /// Never before `committedUntil`.
    var requestedUntil: UInt64
    var committedUntil: UInt64
    var epoch: UInt64
  }

  /// What the last answer of a question promised.
  private struct Promise {
    var elements: [GrantElement]
    var until: UInt64
  }

  /// Everything asked for on behalf of a question that may still be open, by earlier answers too: a name whose
  /// addresses rotate must take all of them with it when policy drops it.
  private struct Holding {
    /// Until when each was asked for on this question's behalf.
    var elements: [GrantElement: UInt64]
    var until: UInt64
  }

  private struct Place: Hashable {
    var server: UInt16
    var address: IPAddress
  }

  private let lifetimes: Lifetimes
  private let maxElementsPerServer: Int
  private var openings: [GrantElement: Opening] = [:]
  private var promises: [Key: Promise] = [:]
  private var holdings: [Key: Holding] = [:]
  /// The questions that opened an address, the latest last; each of them has a holding.
  private var names: [Place: [Key]] = [:]
  private var elementCounts: [UInt16: Int] = [:]
  private var nameCounts: [UInt16: Int] = [:]
  private var dueOpenings = ExpiryHeap<GrantElement>()
  private var dueHoldings = ExpiryHeap<Key>()

  /// Names remembered for one address, for PTR answers: shared hosting puts thousands on one.
  private static let maxNamesPerAddress = 8

  /// - Parameter maxElementsPerServer: also the number of names that a server may have open, since any number of
  ///   names under a wildcard may lead to one address.
  package init(lifetimes: Lifetimes, maxElementsPerServer: Int) {
    self.lifetimes = lifetimes
    self.maxElementsPerServer = maxElementsPerServer
  }

  /// How many elements are open or asked for.
  package var elementCount: Int { openings.count }

  /// Plans what has to be committed before the answer of `key` may leave.
  ///
  /// - Parameters:
  ///   - targets: transport and port pairs to open for each address; (0, 0) opens every port.
  ///   - ttl: the answer's TTL in nanoseconds.
  ///   - epoch: the firewall epoch; what was committed in another one counts as absent.
  /// - Throws: `Refusal.setFull`, having changed nothing.
  package mutating func plan(
    _ key: Key, addresses: [IPAddress], targets: [(transport: UInt8, port: UInt16)], ttl: UInt64, now: UInt64,
    epoch: UInt64
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
    guard elementCounts[key.server, default: 0] + added <= maxElementsPerServer,
      holdings[key] != nil || nameCounts[key.server, default: 0] < maxElementsPerServer
    else { throw .setFull }
    for element in plan.elements {
      if let commit = need(element, ttl: ttl, now: now, epoch: epoch) {
        plan.commits.append(commit)
      }
    }
    hold(key, seen)
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
  package mutating func promise(_ key: Key, elements: [GrantElement], now: UInt64, epoch: UInt64) -> UInt64? {
    var until = UInt64.max
    for element in elements {
      guard let opening = openings[element], opening.epoch == epoch, opening.committedUntil > now else { return nil }
      until = min(until, opening.committedUntil)
    }
    guard until != .max, holdings[key] != nil else { return nil }
    for address in Set(elements.map(\.address)) {
      let place = Place(server: key.server, address: address)
      var keys = names[place, default: []]
      keys.removeAll { $0 == key }
      if keys.count == Self.maxNamesPerAddress { keys.removeFirst() }
      names[place] = keys + [key]
    }
    promises[key] = Promise(elements: elements, until: until)
    return until
  }

  /// The commits that bring elements which were promised before into the current epoch.
  package func renewal(of elements: [GrantElement], now: UInt64, epoch: UInt64) -> [GrantCommit] {
    elements.compactMap { element in
      guard let opening = openings[element], opening.epoch != epoch, opening.committedUntil > now else { return nil }
      // What somebody else has asked for meanwhile is not shortened.
      return GrantCommit(element: element, lifetimeMilliseconds: Self.milliseconds(opening.requestedUntil - now))
    }
  }

  /// The commits that bring a forgetful kernel back to what live answers promised.
  package mutating func replay(now: UInt64) -> [GrantCommit] {
    expire(now)
    return openings.compactMap { element, opening in
      guard opening.committedUntil > now else { return nil }
      return GrantCommit(element: element, lifetimeMilliseconds: Self.milliseconds(opening.requestedUntil - now))
    }
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

  /// Ends everything held for the questions that `condition` selects; returns the elements that no other question of
  /// that server holds.
  ///
  /// - Parameter now: what ended by itself until then holds nothing back.
  package mutating func end(now: UInt64 = 0, where condition: (Key) -> Bool) -> [GrantElement] {
    expire(now)
    var freed: Set<GrantElement> = []
    for (key, holding) in holdings where condition(key) {
      freed.formUnion(holding.elements.keys)
      forget(key)
    }
    freed = freed.filter { openings[$0] != nil }
    guard !freed.isEmpty else { return [] }
    for holding in holdings.values {
      for (element, until) in holding.elements where until > now { freed.remove(element) }
    }
    for element in freed {
      close(element)
    }
    return Array(freed)
  }

  /// Adds to what is held for a question.
  private mutating func hold(_ key: Key, _ elements: Set<GrantElement>) {
    guard !elements.isEmpty else { return }
    var holding = holdings[key] ?? Holding(elements: [:], until: 0)
    let isNew = holding.elements.isEmpty
    let gone = holding.elements.keys.filter { openings[$0] == nil }
    for element in gone {
      holding.elements[element] = nil
    }
    unname(key, gone)
    for element in elements {
      let until = openings[element]?.requestedUntil ?? 0
      holding.elements[element] = until
      holding.until = max(holding.until, until)
    }
    holdings[key] = holding
    guard isNew else { return }
    nameCounts[key.server, default: 0] += 1
    dueHoldings.insert(key, due: holding.until)
  }

  private mutating func forget(_ key: Key) {
    promises[key] = nil
    guard let holding = holdings.removeValue(forKey: key) else { return }
    nameCounts[key.server, default: 1] -= 1
    unname(key, holding.elements.keys)
  }

  private mutating func unname(_ key: Key, _ elements: some Collection<GrantElement>) {
    for element in elements {
      let place = Place(server: element.server, address: element.address)
      names[place]?.removeAll { $0 == key }
      if names[place]?.isEmpty == true { names[place] = nil }
    }
  }

  private mutating func need(_ element: GrantElement, ttl: UInt64, now: UInt64, epoch: UInt64) -> GrantCommit? {
    let wanted = now + lifetimes.lifetime(ofTTL: ttl)
    guard var opening = openings[element] else {
      openings[element] = Opening(requestedUntil: wanted, committedUntil: 0, epoch: epoch)
      elementCounts[element.server, default: 0] += 1
      dueOpenings.insert(element, due: wanted)
      return GrantCommit(element: element, lifetimeMilliseconds: Self.milliseconds(wanted - now))
    }
    if opening.epoch == epoch && opening.committedUntil >= now + lifetimes.required(byTTL: ttl) {
      return nil
    }
    // An element is never shortened: another answer may have promised it for longer.
    opening.requestedUntil = max(opening.requestedUntil, wanted)
    openings[element] = opening
    return GrantCommit(element: element, lifetimeMilliseconds: Self.milliseconds(opening.requestedUntil - now))
  }

  private mutating func expire(_ now: UInt64) {
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

  private mutating func close(_ element: GrantElement) {
    guard openings.removeValue(forKey: element) != nil else { return }
    elementCounts[element.server, default: 1] -= 1
  }

  /// Whole milliseconds, rounded up, so that the kernel never ends an element before the ledger.
  private static func milliseconds(_ nanoseconds: UInt64) -> UInt32 {
    UInt32(clamping: (nanoseconds + 999_999) / 1_000_000)
  }
}
