/// Who holds how much of something that is bounded for all together.
///
/// No holding is touched while there is room. Without room the oldest entry of the greediest owner goes, so that an
/// owner below its share is always served, however many others hold all they may. While two or more are active a share is
/// the capacity divided among them, and never more than a quarter of it: what is left serves those who come next.
///
/// A pure data structure: `admission` says what has to go, and the caller makes it go. Times are nanoseconds and come in.
package struct Shares<Owner: Hashable & Sendable>: Sendable {
  /// Names an entry; never used again for another one.
  package typealias Place = UInt64

  package enum Admission: Equatable, Sendable {
    case free
    /// There is room once this entry has left; then ask again.
    case displacing(Place)
    case refused
  }

  private struct Entry: Sendable {
    var owner: Owner
    var weight: Int
    /// When it entered, or was used last.
    var since: UInt64
    /// Its place in the owner's order.
    var stamp: UInt64
  }

  private struct Account: Sendable {
    var weight = 0
    var count = 0
    /// Entries by age; those that left or were used since are passed over.
    var order: [(place: Place, stamp: UInt64)] = []
    var first = 0
  }

  package let capacity: Int
  /// Nanoseconds that an entry is sure of against others of its owner.
  private let leastAge: UInt64
  private var entries: [Place: Entry] = [:]
  private var accounts: [Owner: Account] = [:]
  private var weight = 0
  private var stamps: UInt64 = 0

  /// - Parameter leastAge: nanoseconds. An owner at its share gets another entry in exchange for its oldest, unless that
  ///   is younger: otherwise a fast one would never see anything through.
  package init(capacity: Int, leastAge: UInt64) {
    self.capacity = capacity
    self.leastAge = leastAge
  }

  /// Entries over all owners.
  package var count: Int { entries.count }

  /// Owners that hold something.
  package var activeOwners: Int { accounts.count }

  /// What an owner holds, by weight.
  package func held(by owner: Owner) -> Int { accounts[owner]?.weight ?? 0 }

  /// How much an owner may hold now.
  package func share(of owner: Owner) -> Int {
    let active = accounts.count + (accounts[owner] == nil ? 1 : 0)
    return active == 1 ? capacity : max(min(capacity / active, capacity / 4), 1)
  }

  /// Whether an owner may have one more entry.
  ///
  /// - Parameter limit: what it may hold whatever its share is.
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
  package mutating func enter(_ owner: Owner, weight: Int = 1, now: UInt64) -> Place {
    stamps += 1
    entries[stamps] = Entry(owner: owner, weight: weight, since: now, stamp: stamps)
    accounts[owner, default: Account()].weight += weight
    accounts[owner]?.count += 1
    accounts[owner]?.order.append((stamps, stamps))
    self.weight += weight
    return stamps
  }

  /// An entry was used: it is its owner's youngest now.
  package mutating func use(_ place: Place, now: UInt64) {
    guard let owner = entries[place]?.owner else { return }
    stamps += 1
    entries[place]?.since = now
    entries[place]?.stamp = stamps
    accounts[owner]?.order.append((place, stamps))
    trim(owner)
  }

  package mutating func leave(_ place: Place) {
    guard let entry = entries.removeValue(forKey: place) else { return }
    weight -= entry.weight
    guard let count = accounts[entry.owner]?.count, count > 1 else {
      accounts[entry.owner] = nil
      return
    }
    accounts[entry.owner]?.count = count - 1
    accounts[entry.owner]?.weight -= entry.weight
    trim(entry.owner)
  }

  private mutating func oldest(of owner: Owner) -> Place? {
    guard let account = accounts[owner] else { return nil }
    for index in account.order.indices.dropFirst(account.first) {
      let (place, stamp) = account.order[index]
      guard entries[place]?.stamp == stamp else { continue }
      accounts[owner]?.first = index
      return place
    }
    return nil
  }

  /// Takes out what is passed over once it is most of the order, so that an old entry does not let it grow.
  private mutating func trim(_ owner: Owner) {
    guard let account = accounts[owner], account.order.count > 2 * account.count + 32 else { return }
    accounts[owner]?.order.removeAll { entries[$0.place]?.stamp != $0.stamp }
    accounts[owner]?.first = 0
  }
}
