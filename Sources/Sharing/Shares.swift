/// Who holds how much of something that is bounded for all together.
///
/// No holding is touched while there is room. Without room the oldest entry of the greediest owner goes, so that an
/// owner below its share is always served, however many others hold all they may. While two or more are active a share is
/// the capacity divided among them, and never more than a quarter of it: what is left serves those who come next.
///
/// Inlinable like `Turns`, and `@usableFromInline` throughout: without it the compiler gives other modules the generic form,
/// which costs the cold path a third.
///
/// A pure data structure: `admission` says what has to go, and the caller makes it go. Times are nanoseconds and come in.
@frozen @usableFromInline
package struct Shares<Owner: Hashable & Sendable>: Sendable {
  /// Names an entry; never used again for another one.
  @usableFromInline package typealias Slot = UInt64

  /// Whether there is room for another entry of an owner.
  @frozen @usableFromInline
  package enum Admission: Equatable, Sendable {
    case free
    /// There is room once this entry has left; then ask again.
    case displacing(Slot)
    case refused
  }

  @frozen @usableFromInline
  struct Entry: Sendable {
    @usableFromInline var owner: Owner
    @usableFromInline var weight: Int
    /// When it entered, or was used last.
    @usableFromInline var since: UInt64
    /// Its position in the owner's order.
    @usableFromInline var stamp: UInt64

    @inlinable
    init(owner: Owner, weight: Int, since: UInt64, stamp: UInt64) {
      self.owner = owner
      self.weight = weight
      self.since = since
      self.stamp = stamp
    }
  }

  @frozen @usableFromInline
  struct Account: Sendable {
    @usableFromInline var weight = 0
    @usableFromInline var count = 0
    /// Entries by age; those that left or were used since are passed over.
    @usableFromInline var order: [(slot: Slot, stamp: UInt64)] = []
    @usableFromInline var first = 0

    @inlinable
    init() {}

    @inlinable
    mutating func enter(_ slot: Slot, weight: Int) {
      self.weight += weight
      count += 1
      order.append((slot, slot))
    }
  }

  @usableFromInline package let capacity: Int
  /// Nanoseconds that an entry is sure of against others of its owner.
  @usableFromInline let leastAge: UInt64
  @usableFromInline var entries: [Slot: Entry] = [:]
  @usableFromInline var accounts: [Owner: Account] = [:]
  @usableFromInline var weight = 0
  @usableFromInline var stamps: UInt64 = 0

  /// - Parameter leastAge: nanoseconds. An owner at its share gets another entry in exchange for its oldest, unless that
  ///   is younger: otherwise a fast one would never see anything through.
  @inlinable
  package init(capacity: Int, leastAge: UInt64) {
    self.capacity = capacity
    self.leastAge = leastAge
  }

  /// Entries over all owners.
  @inlinable
  package var count: Int { entries.count }

  /// Owners that hold something.
  @inlinable
  package var activeOwners: Int { accounts.count }

  /// What an owner holds, by weight.
  @inlinable
  package func held(by owner: Owner) -> Int { accounts[owner]?.weight ?? 0 }

  /// How much an owner may hold now.
  @inlinable
  package func share(of owner: Owner) -> Int {
    let active = accounts.count + (accounts[owner] == nil ? 1 : 0)
    return active == 1 ? capacity : max(min(capacity / active, capacity / 4), 1)
  }

  /// Whether an owner may have one more entry.
  ///
  /// - Parameter limit: what it may hold whatever its share is.
  @inlinable
  package mutating func admission(
    of owner: Owner, weight: Int = 1, limit: Int = .max, now: UInt64
  ) -> Admission {
    let own = held(by: owner)
    // One entry is each owner's due, however large it is.
    if own > 0, own + weight > min(share(of: owner), limit) {
      guard let oldest = oldest(of: owner), let entry = entries[oldest], now >= entry.since,
        now - entry.since >= leastAge
      else { return .refused }
      return .displacing(oldest)
    }
    guard self.weight + weight > capacity else { return .free }
    guard let greediest = accounts.max(by: { $0.value.weight < $1.value.weight })?.key, greediest != owner,
      let oldest = oldest(of: greediest)
    else { return .refused }
    return .displacing(oldest)
  }

  /// Enters what was admitted.
  @inlinable
  package mutating func enter(_ owner: Owner, weight: Int = 1, now: UInt64) -> Slot {
    stamps += 1
    entries[stamps] = Entry(owner: owner, weight: weight, since: now, stamp: stamps)
    accounts[owner, default: Account()].enter(stamps, weight: weight)
    self.weight += weight
    return stamps
  }

  /// An entry was used: it is its owner's youngest now.
  @inlinable
  package mutating func use(_ slot: Slot, now: UInt64) {
    guard let owner = entries[slot]?.owner else { return }
    stamps += 1
    entries[slot]?.since = now
    entries[slot]?.stamp = stamps
    accounts[owner]?.order.append((slot, stamps))
    trim(owner)
  }

  /// The entry in a slot is gone; nothing happens for one that holds none.
  @inlinable
  package mutating func leave(_ slot: Slot) {
    guard let entry = entries.removeValue(forKey: slot) else { return }
    weight -= entry.weight
    guard let index = accounts.index(forKey: entry.owner) else { return }
    guard accounts.values[index].count > 1 else {
      accounts.remove(at: index)
      return
    }
    accounts.values[index].count -= 1
    accounts.values[index].weight -= entry.weight
    trim(entry.owner)
  }

  @inlinable
  mutating func oldest(of owner: Owner) -> Slot? {
    guard let account = accounts[owner] else { return nil }
    for index in account.order.indices.dropFirst(account.first) {
      let (slot, stamp) = account.order[index]
      guard entries[slot]?.stamp == stamp else { continue }
      accounts[owner]?.first = index
      return slot
    }
    return nil
  }

  /// Takes out what is passed over once it is most of the order, so that an old entry does not let it grow.
  @inlinable
  mutating func trim(_ owner: Owner) {
    guard let account = accounts[owner], account.order.count > 2 * account.count + 32 else { return }
    accounts[owner]?.order.removeAll { entries[$0.slot]?.stamp != $0.stamp }
    accounts[owner]?.first = 0
  }
}
