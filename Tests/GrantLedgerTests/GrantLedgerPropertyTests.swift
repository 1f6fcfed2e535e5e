import DNSWire
import IPNetwork
import TestSupport
import Testing

@testable import GrantLedger

/// A ledger, a kernel behind a queue, and clients that rely on what they were told.
private struct World: ~Copyable {
  enum Order {
    case open([GrantCommit], flight: Int?)
    case close([GrantElement])
  }

  struct Flight {
    var key: GrantLedger.Key
    var plan: GrantLedger.Plan
    var askedAt: UInt64
    var epoch: UInt64
    var ttl: UInt64
    var isTaken: Bool
  }

  struct Answer {
    var key: GrantLedger.Key
    var elements: [GrantElement]
    var until: UInt64
    var liveUntil: UInt64
    var epoch: UInt64
  }

  var random: SeededRandom
  var ledger: GrantLedger
  let lifetimes: GrantLedger.Lifetimes
  let (maxElements, maxPerName, maxHolds): (Int, Int, Int)
  let keys: [GrantLedger.Key]
  var (now, epoch) = (second, UInt64(1))
  var kernel: [GrantElement: (ends: UInt64, caps: UInt16)] = [:]
  var queue: [Order] = []
  var flights: [Int: Flight] = [:]
  var flightCount = 0
  var answers: [Answer] = []
  var (refusals, judged, evicted, shortened, promised) = (0, 0, 0, 0, 0)

  init(seed: UInt64) throws {
    random = SeededRandom(seed: seed)
    let minimum = UInt64.random(in: 1...60, using: &random) * second
    let maximum = minimum + UInt64.random(in: 0...200, using: &random) * second
    lifetimes = .init(
      minimum: minimum, grace: UInt64.random(in: 0...20, using: &random) * second, maximum: maximum)
    maxElements = Int.random(in: 5...12, using: &random)
    maxPerName = Int.random(in: 4...7, using: &random)
    maxHolds = Int.random(in: 8...30, using: &random)
    ledger = GrantLedger(
      lifetimes: lifetimes, maxElementsPerServer: maxElements, maxElementsPerName: maxPerName,
      maxHoldsPerServer: maxHolds)
    ledger.expirySlice = [1, 3, 128].randomElement(using: &random) ?? 1
    keys = try (0..<20).map { try key("n\($0).example", server: UInt16($0 % 2)) }
  }

  func caps(of key: GrantLedger.Key) -> UInt16 {
    UInt16(keys.firstIndex(of: key) ?? 0) / 2
  }

  mutating func step() throws {
    now += UInt64.random(in: 1...(random.next() % 12 == 0 ? 20 * second : second / 8), using: &random)
    let key = keys[Int.random(in: 0..<keys.count, using: &random)]
    switch Int.random(in: 0..<240, using: &random) {
    case 0:
      (epoch, kernel) = (epoch + 1, [:])
    case 1..<4:
      end {
        $0 == key
      } servers: {
        [key.server]
      }
    case 4:
      end {
        $0.name.wire[2] % 2 == key.name.wire[2] % 2
      } servers: {
        nil
      }
    case 5..<20: takeOver(key)
    case 20..<40: extend()
    case 40..<44: replay()
    case 44..<80: try plan(key)
    case 80..<160: applyOrder()
    default: finishFlight()
    }
    check()
  }

  private mutating func plan(_ key: GrantLedger.Key) throws {
    // The engine asks one question once at a time.
    guard !flights.values.contains(where: { $0.key == key }) else { return }
    let addresses = (1...12).shuffled(using: &random).prefix(Int.random(in: 1...2, using: &random)).map(address)
    let ports = [443, 80].prefix(Int.random(in: 1...2, using: &random)).map { (UInt8(6), UInt16($0)) }
    let ttl = UInt64.random(in: 0...90, using: &random) * second
    let before = ledger.dump().filter { $0.until > now }
    let asked = Set(
      addresses.flatMap { a in ports.map { GrantElement(server: key.server, address: a, transport: $0.0, port: $0.1) } }
    )
    let commits = Set(ledger.replay(now: now))
    guard
      let plan = try? ledger.plan(
        GrantLedger.Answer(key: key, addresses: addresses, targets: ports, caps: caps(of: key), ttl: ttl), now: now,
        epoch: epoch)
    else {
      refusals += 1
      #expect(ledger.dump().filter { $0.until > now } == before && Set(ledger.replay(now: now)) == commits)
      expectFull(key, asked, before)
      return
    }
    #expect(Set(plan.elements) == asked && plan.elements.count == asked.count)
    let open = Set(before.map(\.element))
    for element in plan.evictions {
      #expect(open.contains(element) && !asked.contains(element))
      #expect(!answers.contains { $0.liveUntil > now && $0.elements.contains(element) }, "evicted what is promised")
      let holders = Set(before.filter { $0.element == element }.map(\.key))
      #expect(
        !flights.values.contains { $0.plan.elements.contains(element) && holders.contains($0.key) },
        "evicted what is on its way")
      answers.removeAll { $0.elements.contains(element) }
    }
    evicted += plan.evictions.count
    let wanted = now + lifetimes.lifetime(ofTTL: ttl)
    let after = ledger.dump()
    for commit in plan.commits {
      let union = after.filter { $0.element == commit.element && $0.until > now }.reduce(0) { $0 | $1.caps }
      // Who made room for this name is bounded for the last time.
      let former = before.filter { $0.element == commit.element }.reduce(union) { $0 | $1.caps }
      #expect(
        union & ~commit.caps == 0 && commit.caps & ~former == 0
          && now + UInt64(commit.lifetimeMilliseconds) * 1_000_000 >= wanted)
    }
    for element in asked {
      let hold = after.first { $0.key == key && $0.element == element }
      #expect(hold.map { $0.until >= now + min(ttl + lifetimes.grace, lifetimes.maximum) } == true)
    }
    let holding = Set(after.map(\.key))
    for record in before where record.key != key && !plan.evictions.contains(record.element) {
      guard holding.contains(record.key) else {
        // A name left as a whole, for the new one.
        #expect(!answers.contains { $0.key == record.key && $0.liveUntil > now })
        #expect(!flights.values.contains { $0.key == record.key })
        #expect(after.contains { $0.element == record.element && $0.until >= record.until })
        continue
      }
      #expect(after.contains { $0.key == record.key && $0.element == record.element && $0.until >= record.until })
    }
    answers.removeAll { $0.key != key && !holding.contains($0.key) }
    queue.append(.close(plan.evictions))
    queue.append(.open(plan.commits, flight: flightCount))
    flights[flightCount] = Flight(key: key, plan: plan, askedAt: now, epoch: epoch, ttl: ttl, isTaken: false)
    flightCount += 1
  }

  /// A refusal is right only if live answers leave no room. What is on its way or was lost there is not looked at.
  private mutating func expectFull(_ key: GrantLedger.Key, _ asked: Set<GrantElement>, _ before: Set<HoldRecord>) {
    guard ledger.isSettled else { return }
    judged += 1
    let live = Set(answers.filter { $0.liveUntil > now }.flatMap(\.elements))
    let mine = Set(answers.filter { $0.liveUntil > now && $0.key == key }.flatMap(\.elements))
    let open = Set(before.filter { $0.key.server == key.server }.map(\.element))
    let names = Set(ledger.dump().map(\.key).filter { $0.server == key.server })
    let liveNames = Set(answers.filter { $0.liveUntil > now }.map(\.key))
    let kept = ledger.dump().filter { $0.key.server == key.server && ($0.key == key || liveNames.contains($0.key)) }
    let new = asked.subtracting(kept.filter { $0.key == key }.map(\.element))
    #expect(
      open.filter { live.contains($0) }.union(asked).count > maxElements || mine.union(asked).count > maxPerName
        || asked.count > maxPerName || kept.count + new.count > maxHolds
        || names.isSubset(of: liveNames) && names.count == maxElements,
      "room could have been made")
  }

  private mutating func applyOrder() {
    guard !queue.isEmpty else { return }
    switch queue.removeFirst() {
    case .close(let elements):
      for element in elements { kernel[element] = nil }
    case .open(let commits, let flight):
      guard flight == nil || Int.random(in: 0..<100, using: &random) > 0 else {
        flights[flight ?? 0] = nil
        return
      }
      for commit in commits {
        kernel[commit.element] = (now + UInt64(commit.lifetimeMilliseconds) * 1_000_000, commit.caps)
      }
      if let flight { flights[flight]?.isTaken = true }
    }
  }

  private mutating func finishFlight() {
    guard let (number, flight) = flights.filter({ $0.value.isTaken }).min(by: { $0.key < $1.key }) else { return }
    flights[number] = nil
    ledger.committed(flight.plan.commits, askedAt: flight.askedAt, epoch: flight.epoch)
    let answerUntil = flight.askedAt + flight.ttl
    let promise = ledger.promise(
      flight.key, elements: flight.plan.elements, answerUntil: answerUntil, now: now, epoch: epoch)
    guard let until = promise else { return }
    promised += 1
    #expect(ledger.elements(of: flight.key, now: now) == flight.plan.elements)
    for element in flight.plan.elements { #expect(ledger.names(of: element, now: now).last == flight.key.name) }
    answers.append(
      Answer(
        key: flight.key, elements: flight.plan.elements, until: until,
        liveUntil: min(until, answerUntil + ServerGrants.connectTime), epoch: epoch))
  }

  private mutating func end(
    _ condition: (GrantLedger.Key) -> Bool, servers: () -> Set<UInt16>?
  ) {
    let before = ledger.dump().filter { $0.until > now }
    let outcome = ledger.end(now: now, servers: servers(), where: condition)
    let (closed, short) = (outcome.closed, outcome.shortened)
    let ended = before.filter { condition($0.key) }
    var expected: (closed: Set<GrantElement>, short: [GrantElement: UInt64]) = ([], [:])
    for element in Set(ended.map(\.element)) {
      let all = before.filter { $0.element == element }
      let left = all.subtracting(ended)
      guard let until = left.map(\.until).max() else {
        expected.closed.insert(element)
        continue
      }
      if until < all.map(\.until).max() ?? 0 { expected.short[element] = until }
    }
    // What ended by itself meanwhile is over in the kernel too, and may be named.
    #expect(Set(closed) == expected.closed)
    #expect(Set(short.map(\.element)) == Set(expected.short.keys))
    for commit in short {
      let ends = now + UInt64(commit.lifetimeMilliseconds) * 1_000_000
      let until = expected.short[commit.element] ?? 0
      #expect(ends >= until && ends < until + 1_000_000)
    }
    shortened += short.count
    queue.append(.close(closed))
    queue.append(.open(short, flight: nil))
    answers.removeAll { condition($0.key) }
    flights = flights.filter { !condition($0.value.key) }
  }

  private mutating func takeOver(_ key: GrantLedger.Key) {
    let element = element(Int.random(in: 1...12, using: &random), server: key.server)
    guard queue.isEmpty, flights.isEmpty, let known = kernel[element], known.ends > now else { return }
    let had = ledger.holds(element, now: now)
    let isTaken = ledger.takeOver(
      GrantLedger.Inherited(
        key: key, element: element, until: known.ends, caps: known.caps & caps(of: key), answerUntil: now), now: now,
      epoch: epoch)
    #expect(!isTaken || ledger.holds(element, now: now) && ledger.names(of: element, now: now).last == key.name)
    #expect(
      isTaken || had || ledger.elements(ofServer: key.server, now: now).count == maxElements
        || ledger.dump().count { $0.key == key } >= maxPerName
        || ledger.dump().count { $0.key.server == key.server } >= maxHolds)
  }

  private mutating func extend() {
    let bound = 300 * second
    let due = ledger.due(within: 30 * second, bound: bound, now: now)
    let requested = Dictionary(grouping: ledger.dump(), by: \.element).mapValues { $0.map(\.until).max() ?? 0 }
    for element in due { #expect((requested[element] ?? 0) <= now + 30 * second) }
    let commits = ledger.extend(due, by: 60 * second, bound: bound, now: now)
    for commit in commits {
      let ends = now + UInt64(commit.lifetimeMilliseconds) * 1_000_000
      #expect(due.contains(commit.element) && ends > requested[commit.element] ?? 0 && ends <= now + 60 * second)
    }
    queue.append(.open(commits, flight: nil))
  }

  private mutating func replay() {
    queue.append(.open(ledger.replay(now: now), flight: nil))
  }

  private func check() {
    ledger.checkConsistency(now: now)
    var open: Set<GrantElement> = []
    for server: UInt16 in 0...1 {
      let elements = ledger.elements(ofServer: server, now: now)
      #expect(elements.count <= maxElements && Set(elements).count == elements.count)
      open.formUnion(elements)
    }
    let dump = ledger.dump()
    #expect(Set(dump.filter { $0.until > now }.map(\.element)) == open)
    for element in open { #expect(ledger.holds(element, now: now) == true) }
    for key in keys { #expect(dump.count { $0.key == key } <= maxPerName) }
    for server: UInt16 in 0...1 { #expect(dump.count { $0.key.server == server } <= maxHolds) }
    for server: UInt16 in 0...1 { #expect(Set(dump.map(\.key)).count { $0.server == server } <= maxElements) }
    for answer in answers where answer.epoch == epoch && answer.until > now {
      for element in answer.elements {
        let held = kernel[element]
        #expect((held?.ends ?? 0) >= answer.until, "the kernel ends what is promised")
        #expect(caps(of: answer.key) & ~(held?.caps ?? 0) == 0, "a cap is missing")
      }
    }
  }
}

@Suite("The grant ledger: limits, ends and promises over random histories")
struct GrantLedgerPropertyTests {
  @Test("limits hold, promises are kept, ends are exact", arguments: 0..<100)
  func histories(seed: UInt64) throws {
    var world = try World(seed: seed)
    for _ in 0..<500 { try world.step() }
    #expect(world.promised > 3)
  }
}
