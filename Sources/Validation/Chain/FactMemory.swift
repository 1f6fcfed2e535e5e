import Sharing

/// What was found out about a zone.
enum Fact: Sendable {
  case keys(ZoneKeys)
  case delegated([DelegationSigner])
  /// No zone begins there.
  case noCut
  /// Nothing is signed from there on.
  case unsigned
  case failed(ValidationFault)
}

/// Keeps it for as long as it holds, shared out among the servers (P8).
struct FactMemory {
  /// Over all servers; each has some hundred octets, with keys up to some thousand.
  private static let capacity = 8_192
  private static let second: UInt64 = 1_000_000_000

  private struct Entry {
    var fact: Fact
    /// Nanoseconds.
    var until: UInt64
    var slot: Shares<ChainOfTrust.Owner>.Slot
  }

  private var entries: [ChainOfTrust.Step: Entry] = [:]
  private var shares = Shares<ChainOfTrust.Owner>(capacity: Self.capacity, leastAge: 0)
  private var holders: [Shares<ChainOfTrust.Owner>.Slot: ChainOfTrust.Step] = [:]

  func fact(of step: ChainOfTrust.Step, now: UInt64) -> Fact? {
    guard let entry = entries[step], now < entry.until else { return nil }
    return entry.fact
  }

  mutating func keep(_ fact: Fact, of step: ChainOfTrust.Step, seconds: UInt32, now: UInt64) {
    remove(step)
    guard seconds > 0 else { return }
    while case .displacing(let slot) = shares.admission(of: step.owner, now: now) {
      guard let other = holders[slot] else { break }
      remove(other)
    }
    guard case .free = shares.admission(of: step.owner, now: now) else { return }
    let slot = shares.enter(step.owner, now: now)
    holders[slot] = step
    entries[step] = Entry(fact: fact, until: now + UInt64(seconds) * Self.second, slot: slot)
  }

  private mutating func remove(_ step: ChainOfTrust.Step) {
    guard let entry = entries.removeValue(forKey: step) else { return }
    holders[entry.slot] = nil
    shares.leave(entry.slot)
  }
}
