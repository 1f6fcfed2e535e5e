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
  /// Names an entry; never used again for another one. Its lower bits are the entry's place.
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
    /// 0 in a place that is free.
    @usableFromInline var slot: Slot
    /// The place of the owner's account.
    @usableFromInline var account: Int
    @usableFromInline var weight: Int
    /// When it entered, or was used last.
    @usableFromInline var since: UInt64
    /// Its position in the owner's order.
    @usableFromInline var stamp: UInt64

    @inlinable
    init(slot: Slot, account: Int, weight: Int, since: UInt64, stamp: UInt64) {
      self.slot = slot
      self.account = account
      self.weight = weight
      self.since = since
      self.stamp = stamp
    }
  }

  @frozen @usableFromInline
  struct Account: Sendable {
    @usableFromInline var owner: Owner
    @usableFromInline var weight = 0
    /// 0 in a place that is free.
    @usableFromInline var count = 0
    /// Entries by age; those that left or were used since are passed over.
    @usableFromInline var order: [(slot: Slot, stamp: UInt64)] = []
    @usableFromInline var first = 0

    @inlinable
    init(_ owner: Owner) { self.owner = owner }
  }

  @usableFromInline package let capacity: Int
  /// Nanoseconds that an entry is sure of against others of its owner.
  @usableFromInline let leastAge: UInt64
  @usableFromInline var entries: [Entry] = []
  @usableFromInline var freeEntries: [Int] = []
  @usableFromInline var accounts: [Account] = []
  @usableFromInline var freeAccounts: [Int] = []
  /// Where the accounts of those are that hold something.
  @usableFromInline var places: [Owner: Int] = [:]
  /// The account that was entered last: mostly it is the next one's too, and nothing has to be hashed.
  @usableFromInline var recent = -1
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
  package var count: Int { entries.count - freeEntries.count }

  /// Owners that hold something.
  @inlinable
  package var activeOwners: Int { places.count }

  /// What an owner holds, by weight.
  @inlinable
  package func held(by owner: Owner) -> Int { place(of: owner).map { accounts[$0].weight } ?? 0 }

  /// How much an owner may hold now.
  @inlinable
  package func share(of owner: Owner) -> Int {
    share(among: places.count + (place(of: owner) == nil ? 1 : 0))
  }

  /// A number of an entry that no other one has while it is there; less than there ever were at a time.
  @inlinable
  package static func place(of slot: Slot) -> Int { Int(truncatingIfNeeded: slot & (1 << placeBits - 1)) }

  /// A million entries at a time, and a hundred thousand new ones a second for five years.
  @inlinable
  static var placeBits: UInt64 { 20 }

  @inlinable
  func share(among active: Int) -> Int { active == 1 ? capacity : max(min(capacity / active, capacity / 4), 1) }

  @inlinable
  func place(of owner: Owner) -> Int? {
    if recent >= 0, accounts[recent].owner == owner { return recent }
    return places[owner]
  }

  /// Whether an owner may have one more entry.
  ///
  /// - Parameter limit: what it may hold whatever its share is.
  @inlinable
  package mutating func admission(
    of owner: Owner, weight: Int = 1, limit: Int = .max, now: UInt64
  ) -> Admission {
    // One entry is each owner's due, however large it is.
    if let place = place(of: owner), accounts[place].weight + weight > min(share(among: places.count), limit) {
      guard let oldest = oldest(of: place), case let entry = entries[Self.place(of: oldest)], now >= entry.since,
        now - entry.since >= leastAge
      else { return .refused }
      return .displacing(oldest)
    }
    guard self.weight + weight > capacity else { return .free }
    guard let greediest = places.values.max(by: { accounts[$0].weight < accounts[$1].weight }),
      accounts[greediest].owner != owner, let oldest = oldest(of: greediest)
    else { return .refused }
    return .displacing(oldest)
  }

  /// Enters what was admitted.
  @inlinable
  package mutating func enter(_ owner: Owner, weight: Int = 1, now: UInt64) -> Slot {
    let account = place(of: owner) ?? open(owner)
    recent = account
    stamps += 1
    let place = freeEntries.popLast() ?? entries.count
    precondition(place < 1 << Self.placeBits)
    let slot = stamps << Self.placeBits | UInt64(place)
    let entry = Entry(slot: slot, account: account, weight: weight, since: now, stamp: stamps)
    if place == entries.count { entries.append(entry) } else { entries[place] = entry }
    accounts[account].weight += weight
    accounts[account].count += 1
    accounts[account].order.append((slot, stamps))
    self.weight += weight
    return slot
  }

  @inlinable
  mutating func open(_ owner: Owner) -> Int {
    let place = freeAccounts.popLast() ?? accounts.count
    if place == accounts.count { accounts.append(Account(owner)) } else { accounts[place] = Account(owner) }
    places[owner] = place
    return place
  }

  /// An entry was used: it is its owner's youngest now.
  @inlinable
  package mutating func use(_ slot: Slot, now: UInt64) {
    let place = Self.place(of: slot)
    guard isHeld(slot) else { return }
    stamps += 1
    entries[place].since = now
    entries[place].stamp = stamps
    let account = entries[place].account
    accounts[account].order.append((slot, stamps))
    trim(account)
  }

  /// The entry in a slot is gone; nothing happens for one that holds none.
  @inlinable
  package mutating func leave(_ slot: Slot) {
    guard isHeld(slot) else { return }
    let place = Self.place(of: slot)
    let (account, weight) = (entries[place].account, entries[place].weight)
    entries[place].slot = 0
    freeEntries.append(place)
    self.weight -= weight
    accounts[account].count -= 1
    accounts[account].weight -= weight
    guard accounts[account].count == 0 else { return trim(account) }
    places[accounts[account].owner] = nil
    accounts[account].order = []
    freeAccounts.append(account)
    if recent == account { recent = -1 }
  }

  @inlinable
  func isHeld(_ slot: Slot) -> Bool {
    let place = Self.place(of: slot)
    return place < entries.count && entries[place].slot == slot && slot != 0
  }

  /// Whether a position in an owner's order is that of an entry that is there.
  @inlinable
  func isCurrent(_ position: (slot: Slot, stamp: UInt64)) -> Bool {
    let entry = entries[Self.place(of: position.slot)]
    return entry.slot == position.slot && entry.stamp == position.stamp
  }

  @inlinable
  mutating func oldest(of account: Int) -> Slot? {
    for index in accounts[account].order.indices.dropFirst(accounts[account].first) {
      let position = accounts[account].order[index]
      guard isCurrent(position) else { continue }
      accounts[account].first = index
      return position.slot
    }
    return nil
  }

  /// Takes out what is passed over once it is most of the order, so that an old entry does not let it grow.
  @inlinable
  mutating func trim(_ account: Int) {
    guard accounts[account].order.count > 2 * accounts[account].count + 32 else { return }
    accounts[account].order = accounts[account].order.filter { isCurrent($0) }
    accounts[account].first = 0
  }
}
