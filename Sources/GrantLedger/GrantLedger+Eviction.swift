/// Making room: what ends soonest goes first, and never what a live answer promises.
extension GrantLedger {
  /// At least this part of a server's elements goes at once, so that looking for them is paid for seldom.
  private static let evictedPart = 64

  /// Closes what has to go so that `adding` new elements of `key` fit; changes nothing when that cannot be.
  mutating func makeRoom(
    for key: Key, _ wanted: Set<GrantElement>, adding: Int, now: UInt64
  ) throws(Refusal) -> [GrantElement] {
    let ofName = try surplus(of: key, wanted, now: now)
    let count = elementsByServer[key.server]?.count ?? 0
    let keyCount = keysByServer[key.server]?.count ?? 0
    let isNewName = holdings[key] == nil
    var victims = ofName.closed
    let overElements = count - victims.count + adding - maxElementsPerServer
    let overNames = keyCount + (isNewName ? 1 : 0) - maxElementsPerServer
    if overElements > 0 {
      victims += try soonest(
        overElements, server: key.server, sparing: wanted.union(victims), now: now)
    }
    let names = overNames > 0 ? try idleNames(overNames, server: key.server, sparing: key, now: now) : []
    for element in ofName.dropped { drop(element, from: key) }
    for element in victims { evict(element) }
    for name in names { victims += end(name, sparing: wanted) }
    return victims
  }

  /// What of a question's earlier addresses has to go, so that it holds no more than one question may.
  private func surplus(
    of key: Key, _ wanted: Set<GrantElement>, now: UInt64
  ) throws(Refusal) -> (closed: [GrantElement], dropped: [GrantElement]) {
    guard wanted.count <= maxElementsPerName else { throw .setFull }
    guard let held = holdings[key]?.elements else { return ([], []) }
    let former = held.filter { !wanted.contains($0.key) && openings[$0.key] != nil }
    let over = former.count + wanted.count - maxElementsPerName
    guard over > 0 else { return ([], []) }
    let promised = isAlive(promises[key], now) ? Set(promises[key]?.elements ?? []) : []
    let free = former.filter { !promised.contains($0.key) && (openings[$0.key]?.committedUntil ?? 0) > 0 }
    guard free.count >= over else { throw .setFull }
    let going = free.sorted { $0.value.until < $1.value.until }.prefix(over).map(\.key)
    let shared = going.filter { (holders[$0]?.count ?? 0) > 1 }
    return (going.filter { (holders[$0]?.count ?? 0) <= 1 }, shared)
  }

  /// The elements of a server that end soonest and that no live answer promises.
  private func soonest(
    _ over: Int, server: UInt16, sparing wanted: Set<GrantElement>, now: UInt64
  ) throws(Refusal) -> [GrantElement] {
    var promised = wanted
    for key in keysByServer[server] ?? [] where isAlive(promises[key], now) {
      promised.formUnion(promises[key]?.elements ?? [])
    }
    let free = (elementsByServer[server] ?? []).filter {
      // What is on its way to the kernel has an answer waiting for it.
      !promised.contains($0) && (openings[$0]?.committedUntil ?? 0) > 0
    }
    guard free.count >= over else { throw .setFull }
    let count = max(over, min(free.count, maxElementsPerServer / Self.evictedPart))
    let sorted = free.sorted { (openings[$0]?.requestedUntil ?? 0) < (openings[$1]?.requestedUntil ?? 0) }
    return Array(sorted.prefix(count))
  }

  /// Questions of a server without a live answer, those that end soonest first.
  private func idleNames(_ over: Int, server: UInt16, sparing key: Key, now: UInt64) throws(Refusal) -> [Key] {
    let idle = (keysByServer[server] ?? []).filter { candidate in
      guard candidate != key, !isAlive(promises[candidate], now) else { return false }
      let held = holdings[candidate]?.elements.keys.map { $0 } ?? []
      return held.allSatisfy { (openings[$0]?.committedUntil ?? 1) > 0 }
    }
    guard idle.count >= over else { throw .setFull }
    let count = max(over, min(idle.count, maxElementsPerServer / Self.evictedPart))
    let sorted = idle.sorted { (holdings[$0]?.until ?? 0) < (holdings[$1]?.until ?? 0) }
    return Array(sorted.prefix(count))
  }

  private func isAlive(_ promise: Promise?, _ now: UInt64) -> Bool {
    promise.map { $0.answerUntil > now } ?? false
  }

  /// Takes an element from a question that others hold, too.
  private mutating func drop(_ element: GrantElement, from key: Key) {
    holdings[key]?.elements[element] = nil
    release(element, key)
    unname(key, [element])
    if promises[key]?.elements.contains(element) == true { promises[key] = nil }
  }

  private mutating func evict(_ element: GrantElement) {
    for key in holders[element] ?? [] {
      drop(element, from: key)
      if holdings[key]?.elements.isEmpty == true { forget(key) }
    }
    close(element)
  }

  /// Ends a question; returns what nobody else holds or is about to hold.
  private mutating func end(_ key: Key, sparing wanted: Set<GrantElement>) -> [GrantElement] {
    let held = holdings[key]?.elements.keys.map { $0 } ?? []
    forget(key)
    let free = held.filter { holders[$0] == nil && openings[$0] != nil && !wanted.contains($0) }
    for element in free { close(element) }
    return free
  }
}
