import TestSupport
import Testing

@testable import Sharing

@Suite("Shares")
struct SharesTests {
  /// Enters as often as it is admitted without another's leaving, `count` times at most.
  private func fill(_ shares: inout Shares<String>, _ owner: String, _ count: Int, at now: UInt64 = 0) -> Int {
    for entered in 0..<count {
      guard case .free = shares.admission(of: owner, now: now) else { return entered }
      _ = shares.enter(owner, now: now)
    }
    return count
  }

  @Test("one that is alone may have all of it")
  func alone() {
    var shares = Shares<String>(capacity: 100, leastAge: 10)
    #expect(fill(&shares, "a", 200) == 100)
    #expect(shares.admission(of: "a", now: 0) == .refused)
  }

  @Test("an owner at its share whose oldest entry is younger than the clock is refused")
  func clock() {
    var shares = Shares<String>(capacity: 1, leastAge: 10)
    _ = shares.enter("a", now: 100)
    #expect(shares.admission(of: "a", now: 50) == .refused)
    #expect(shares.admission(of: "a", now: 109) == .refused)
    #expect(shares.admission(of: "a", now: 110) != .refused)
  }

  @Test("where others hold all there is, the oldest entry of the greediest goes for one who has less")
  func displacing() throws {
    var shares = Shares<String>(capacity: 100, leastAge: 10)
    let oldest = shares.enter("a", now: 0)
    #expect(fill(&shares, "a", 100) == 99)
    #expect(shares.admission(of: "b", now: 0) == .displacing(oldest))
    shares.leave(oldest)
    #expect(shares.admission(of: "b", now: 0) == .free)
  }

  @Test("two that took all while they were alone do not keep a third and a fourth out", arguments: 2...40)
  func late(hostile: Int) {
    var shares = Shares<String>(capacity: 120, leastAge: 10)
    for index in 0..<120 { _ = shares.enter("hostile\(index % hostile)", now: 0) }
    for guest in ["c", "d"] {
      for _ in 0..<2 {
        while case .displacing(let slot) = shares.admission(of: guest, now: 0) { shares.leave(slot) }
        #expect(shares.admission(of: guest, now: 0) == .free)
        _ = shares.enter(guest, now: 0)
      }
    }
    #expect(shares.count == 120)
  }

  @Test("beside others no owner gets more than a quarter, and its own oldest goes for its next")
  func quarter() {
    var shares = Shares<String>(capacity: 100, leastAge: 10)
    _ = shares.enter("b", now: 0)
    let oldest = shares.enter("a", now: 0)
    #expect(fill(&shares, "a", 100, at: 5) == 24)
    #expect(shares.admission(of: "a", now: 9) == .refused, "it is younger than it takes to see it through")
    #expect(shares.admission(of: "a", now: 10) == .displacing(oldest))
  }

  @Test("an entry that is used is its owner's youngest")
  func use() {
    var shares = Shares<String>(capacity: 2, leastAge: 10)
    let (first, second) = (shares.enter("a", now: 0), shares.enter("a", now: 1))
    shares.use(first, now: 5)
    #expect(shares.admission(of: "b", now: 6) == .displacing(second))
  }

  @Test("an owner's own limit holds below its share")
  func limit() {
    var shares = Shares<String>(capacity: 100, leastAge: .max)
    for _ in 0..<3 { _ = shares.enter("a", now: 0) }
    #expect(shares.admission(of: "a", limit: 3, now: 0) == .refused)
    #expect(shares.admission(of: "a", limit: 4, now: 0) == .free)
  }

  @Test(
    "whatever happens: never more than there is, and one below its share is served",
    arguments: 1...20 as ClosedRange<UInt64>)
  func property(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let capacity = Int.random(in: 8...200, using: &random)
    var shares = Shares<Int>(capacity: capacity, leastAge: 20)
    var held: [UInt64: (owner: Int, weight: Int)] = [:]
    var given: [UInt64] = []
    for now in 0..<3_000 as Range<UInt64> {
      let owner = Int.random(in: 0..<12, using: &random) % Int.random(in: 1...12, using: &random)
      let weight = Int.random(in: 1...max(1, capacity / 32), using: &random)
      switch Int.random(in: 0..<8, using: &random) {
      case 0:
        if let slot = held.keys.sorted().randomElement(using: &random) {
          shares.leave(slot)
          held[slot] = nil
        }
      case 1:
        if let slot = held.keys.sorted().randomElement(using: &random) { shares.use(slot, now: now) }
      default:
        let own = held.values.filter { $0.owner == owner }.reduce(0) { $0 + $1.weight }
        let isDue = own + weight <= shares.share(of: owner)
        var answer = shares.admission(of: owner, weight: weight, now: now)
        while case .displacing(let slot) = answer {
          #expect(held[slot] != nil)
          shares.leave(slot)
          held[slot] = nil
          answer = shares.admission(of: owner, weight: weight, now: now)
        }
        #expect(!isDue || answer == .free)
        if answer == .free {
          given.append(shares.enter(owner, weight: weight, now: now))
          held[given.last ?? 0] = (owner, weight)
        }
      }
      // What has left leaves once, whoever has its place now.
      if let gone = given.randomElement(using: &random), held[gone] == nil {
        shares.leave(gone)
        shares.use(gone, now: now)
      }
      #expect(held.values.reduce(0) { $0 + $1.weight } <= capacity)
      #expect(shares.count == held.count && shares.activeOwners == Set(held.values.map(\.owner)).count)
      #expect(Set(held.keys.map { Shares<Int>.place(of: $0) }).count == held.count)
      #expect(held.keys.allSatisfy { Shares<Int>.place(of: $0) < capacity })
    }
    #expect(Set(given).count == given.count)
  }
}

@Suite("Turns")
struct TurnsTests {
  @Test("one piece of each owner after the other, an owner's own in their order")
  func order() {
    var turns = Turns<String, Int>()
    for number in 0..<4 { turns.append(number, of: "a") }
    turns.append(10, of: "b")
    #expect(turns.next() == 0)
    turns.append(20, of: "c")
    turns.append(11, of: "b")
    var rest: [Int] = []
    while let item = turns.next() { rest.append(item) }
    #expect(rest == [10, 1, 20, 11, 2, 3])
    #expect(turns.isEmpty && turns.count == 0)
  }

  @Test("ten thousand pieces of one owner are before no other's next")
  func flood() {
    var turns = Turns<String, Int>()
    for number in 0..<10_000 { turns.append(number, of: "flood") }
    turns.append(-1, of: "neighbour")
    #expect(turns.next() == 0)
    #expect(turns.next() == -1)
    for number in 1..<10_000 { #expect(turns.next() == number) }
    #expect(turns.next() == nil)
  }
}
