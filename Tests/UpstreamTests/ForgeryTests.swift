import DNSWire
import LinuxIO
import TestSupport
import Testing

@testable import Upstream

@Suite("Forged answers")
struct ForgeryTests {
  @Test("wrong answers are counted and ignored, and the good one after them is taken")
  func wrongThenGood() throws {
    let upstream = try FakeUpstream { arrival in
      let good = arrival.answer(answers: 0, [1])
      func changed(_ index: Int, _ bits: UInt8) -> [UInt8] {
        var message = good
        message[index] ^= bits
        message[message.count - 1] = 0xFF
        return message
      }
      let end = good.count - 1
      // Id, QR, opcode, a letter of the name, type, class, the number of questions.
      let wrong = [(1, 1), (2, 0x80), (2, 0x08), (14, 0x01), (end - 3, 1), (end - 1, 2), (5, 2)] as [(Int, UInt8)]
      return [.fromElsewhere(arrival.answer([0xEE]))] + wrong.map { .message(changed($0.0, $0.1)) } + [.message(good)]
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    #expect(try asker.ask().mark == 1)
    // That of another source never reached the connected socket.
    #expect(asker.pool.statistics.wrongAnswers == 7)
    #expect(upstream.arrivals.count == 1)
  }

  @Test("a flood of wrong answers turns the question to TCP, and to another port beside it")
  func flood() throws {
    let upstream = try FakeUpstream { arrival in
      if arrival.overStream { return [.message(arrival.answer([2]))] }
      let wrong = Array(arrival.answer().dropFirst())
      return (0..<8).map { _ in .message(wrong) } + [.message(arrival.answer([1]))]
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    #expect(try asker.ask().mark == 2)
    #expect(upstream.count(overStream: true) == 1)
    try asker.until { _ in upstream.count(overStream: false) == 2 }
    #expect(Set(upstream.arrivals.map(\.port)).count == 3, "each has a port of its own")
    #expect((8...16).contains(asker.pool.statistics.wrongAnswers))
  }

  @Test(
    "wrong answers are counted over all exchanges: a guess for each of many names turns the server to TCP, once told")
  func floodOverNames() throws {
    let upstream = try FakeUpstream { arrival in
      if arrival.overStream { return [.message(arrival.answer([2]))] }
      // Fewer than what turns one exchange.
      let wrong = Array(arrival.answer().dropFirst())
      return (0..<4).map { _ in .message(wrong) } + [.message(arrival.answer([1]))]
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    var told: [String] = []
    asker.pool.onMismatch = { told.append($0) }
    var marks: [UInt8?] = []
    for index in 0..<24 { marks.append(try asker.ask("n\(index).example").mark) }
    // 64 wrong ones are taken, four a name; the exchange that brings the next is turned as well.
    #expect(marks == [UInt8?](repeating: 1, count: 16) + [UInt8?](repeating: 2, count: 8))
    #expect(told == ["udp://127.0.0.1:\(upstream.port)"])
    #expect(asker.pool.statistics.mismatches == 1)
    #expect(asker.pool.states.map(\.isByStream) == [true])
  }

  @Test("what turns the question and the server to TCP at once turns it once")
  func bothTurns() throws {
    let upstream = try FakeUpstream { arrival in
      if arrival.overStream { return [.message(arrival.answer([2]))] }
      let wrong = Array(arrival.answer().dropFirst())
      // 57 for fifteen names, and the eighth of the last one is the first that is too many for the server.
      let count = arrival.asks("last") ? 8 : arrival.asks("n0") ? 1 : 4
      return (0..<count).map { _ in .message(wrong) } + (arrival.asks("last") ? [] : [.message(arrival.answer([1]))])
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    for index in 0..<15 { #expect(try asker.ask("n\(index).example").mark == 1) }
    #expect(asker.pool.statistics.wrongAnswers == 57 && asker.pool.states.map(\.isByStream) == [false])
    #expect(try asker.ask("last.example").mark == 2)
    #expect(asker.pool.statistics.mismatches == 1 && asker.pool.states.map(\.isByStream) == [true])
    #expect(upstream.arrivals.count { $0.overStream && $0.asks("last") } == 1)
  }

  @Test("a window's wrong answers are forgotten, and so is the distrust after its time")
  func watch() {
    var watch = MismatchWatch()
    let limits = UpstreamLimits()
    let second: UInt64 = 1_000_000_000
    let told = [(64, 1), (64, 12), (1, 13), (100, 14)].map { watch.wrong($0.0, now: $0.1 * second, limits) }
    #expect(told == [false, false, true, false], "told once, when the second window is over its bound")
    #expect(watch.asksByStream(now: 72 * second))
    #expect(!watch.asksByStream(now: 73 * second))
  }

  @Test("ids and source ports are those of chance: 10,000 queries, each from a port of its own")
  func entropy() throws {
    let upstream = try FakeUpstream { [.message($0.answer(code: 3))] }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    let queries = 10_000
    var (asked, ended) = (0, 0)
    // Sixty-four at a time, as under load.
    func next() {
      guard asked < queries else { return }
      asked += 1
      asker.pool.ask(name: Messages.name("n\(asked).example").span, type: .A, for: 1) { _ in
        ended += 1
        if ended == queries { asker.reactor.stop() }
        next()
      }
    }
    for _ in 0..<64 { next() }
    asker.run()
    let arrivals = upstream.arrivals
    #expect(arrivals.count >= queries)
    let ports = arrivals.map { Int($0.port) }
    let (low, high) = try #require(ports.min().flatMap { low in ports.max().map { (low, $0 + 1) } })
    // The kernel's default range has 28,232 ports.
    #expect(high - low > 10_000)
    #expect(chiSquare(arrivals.map(\.id), in: 0..<65_536) < 150)
    #expect(chiSquare(ports, in: low..<high) < 150)
    #expect(Set(arrivals.map { $0.id << 16 | Int($0.port) }).count > arrivals.count - 5)
    // Neither follows from the one before: steps are as spread as the values.
    let steps = zip(arrivals, arrivals.dropFirst()).map { (($1.id - $0.id) + 65_536) % 65_536 }
    #expect(chiSquare(steps, in: 0..<65_536) < 150)
  }

  /// Over 64 classes: 63 expected, standard deviation 11; 150 has a chance of less than 10^-8.
  private func chiSquare(_ values: [Int], in range: Range<Int>) -> Double {
    var counts = [Double](repeating: 0, count: 64)
    for value in values { counts[(value - range.lowerBound) * 64 / range.count] += 1 }
    let expected = Double(values.count) / 64
    return counts.reduce(0) { $0 + ($1 - expected) * ($1 - expected) / expected }
  }

  @Test("a question is in flight once, whichever client asks it")
  func joined() throws {
    let upstream = try FakeUpstream { [.message($0.answer([3]))] }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    var marks: [UInt8?] = []
    let name = Messages.name("www.example.com")
    for index in 0..<50 {
      asker.pool.ask(name: name.span, type: .A, for: 1) {
        marks.append($0.mark)
        if index == 49 { asker.reactor.stop() }
      }
    }
    // Another type is another question.
    asker.pool.ask(name: name.span, type: .AAAA, for: 1) { _ in }
    asker.run()
    #expect(marks == [UInt8?](repeating: 3, count: 50))
    #expect(asker.pool.statistics.joined == 49)
    #expect(upstream.arrivals.count { $0.type == .A } == 1)
  }

  @Test("an unreachable port, which ICMP may lie about, neither ends the question nor hurries it")
  func unreachable() throws {
    let upstream = try FakeUpstream { _ in [] }
    let asker = try Asker([upstream], limits: Asker.impatient)
    upstream.stop()
    let start = MonotonicTime.now()
    #expect(try asker.ask().failure == .timeout)
    // The whole was waited for, though the kernel knew better at once.
    #expect(MonotonicTime.now() >= start.adding(milliseconds: Asker.impatient.total))
  }

  @Test("the answer to the first try is taken where it was asked from, after the second was sent as well")
  func late() throws {
    let first = Synchronized<Arrival>()
    let upstream = try FakeUpstream { arrival in
      guard !arrival.isProbe else { return [.message(arrival.answer())] }
      guard let earlier = first.take() else {
        first.put(arrival)
        return []
      }
      // With the first one's id to the second one's port: no answer there.
      return [.message(earlier.answer([9])), .message(arrival.answer([4]))]
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream], limits: Asker.steady)
    #expect(try asker.ask().mark == 4)
    #expect(asker.pool.statistics.wrongAnswers == 1)
  }

  @Test("a server that folds case is found out by TCP, remembered, and heard by its datagrams from then on")
  func folding() throws {
    let upstream = try FakeUpstream { [.message($0.folded([1]))] }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    for _ in 0..<3 { #expect(try asker.ask("name-of-many-letters.example").mark == 1) }
    #expect(upstream.arrivals.map(\.overStream) == [false, true, false, false])
    let lower = Messages.name("name-of-many-letters.example")
    #expect(upstream.arrivals.map { $0.name == lower } == [false, false, true, true])
    #expect(asker.pool.statistics.wrongAnswers == 0)
  }

  /// As filters on the way do that know lower case alone.
  private func isMixed(_ arrival: Arrival) -> Bool { arrival.name != arrival.name.map(NameWire.lowercased) }

  @Test("a server that is silent to letters of chance is found out by questions of our own, and asked in lower case")
  func silentToLetters() throws {
    let upstream = try FakeUpstream { [isMixed] in isMixed($0) && !$0.overStream ? [] : [.message($0.answer([1]))] }
    defer { upstream.stop() }
    let asker = try Asker([upstream], limits: Asker.limits(first: 40, longest: 120, total: 20_000))
    #expect(try asker.ask("name-of-many-letters.example").mark == 1)
    #expect(upstream.arrivals.count { $0.isProbeOfLetters } == 2 * CaseMemory.silences)
    #expect(upstream.arrivals.last?.overStream == true, "what was in flight is asked by TCP")
    let former = upstream.arrivals.count
    for _ in 0..<3 { #expect(try asker.ask("name-of-many-letters.example").mark == 1) }
    #expect(upstream.arrivals.dropFirst(former).map { isMixed($0) || $0.overStream } == [false, false, false])
  }

  @Test("names without an answer, and those answered in lower case alone, do not make a server that keeps case lose it")
  func silentNames() throws {
    let upstream = try FakeUpstream { [isMixed] arrival in
      if arrival.isProbe { return [.message(arrival.answer([2]))] }
      return isMixed(arrival) ? [] : [.message(arrival.answer([1]))]
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream], limits: Asker.impatient)
    for number in 0..<4 { #expect(try asker.ask("n\(number).attacker.example").failure == .timeout) }
    try asker.settle()
    #expect(upstream.arrivals.filter { !$0.isProbe }.allSatisfy { isMixed($0) })
    #expect(upstream.arrivals.count { $0.isProbeOfLetters } == 1)
  }

  @Test("letters are those of chance, and others in each question")
  func letters() throws {
    let upstream = try FakeUpstream { [.message($0.answer([1]))] }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    let name = "abcdefghij.klmnopqrst.example"
    for _ in 0..<64 { #expect(try asker.ask(name).mark == 1) }
    let names = upstream.arrivals.map(\.name)
    #expect(Set(names).count == 64)
    let upper = names.joined().count { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
    // 27 letters in each of 64 names: half of 1,728, and six standard deviations of 21.
    #expect((738...990).contains(upper), "\(upper)")
  }

  @Test("the cookie that a server gives comes back to it, and without it nothing is taken of its datagrams")
  func cookie() throws {
    let given: [UInt8] = Array(1...16)
    let isForging = Synchronized<Bool>()
    let upstream = try FakeUpstream { arrival in
      let good = arrival.answer(cookie: Array(arrival.cookie.prefix(8)) + given)
      guard !arrival.overStream, isForging.take() != nil else { return [.message(good)] }
      return [.message(arrival.answer([0xEE]))]
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    for _ in 0..<2 { #expect(try asker.ask().mark == 16) }
    let cookies = upstream.arrivals.map(\.cookie)
    #expect(cookies[0].count == 8 && cookies[1] == cookies[0] + given)
    isForging.put(true)
    #expect(try asker.ask().mark == 16)
    #expect(upstream.arrivals.map(\.overStream) == [false, false, false, true])
    #expect(asker.pool.statistics.wrongAnswers == 1)
    #expect(try asker.ask().mark == 16)
    #expect(upstream.count(overStream: true) == 1, "it gives them still")
  }

  @Test(
    "of 100,000 forged answers with random ids at the right port none is taken, and the true one is not waited for longer than for one question more"
  )
  func floodOfIDs() throws {
    let upstream = try FakeUpstream { arrival in
      // It has no TCP: the true answer comes by a datagram, or not at all.
      if arrival.overStream { return [.reset] }
      guard !arrival.isProbe, arrival.number == 0 else { return [.message(arrival.answer([1]))] }
      var random = SeededRandom(seed: 20)
      let guesses = (0..<100_000).map { index -> Reaction in
        var guess = arrival.answer([0xEE])
        (guess[0], guess[1]) = (UInt8(truncatingIfNeeded: random.next()), UInt8(truncatingIfNeeded: random.next()))
        if index < 8, guess[0] == arrival.octets[0] { guess[0] ^= 1 }
        // One in 65,536 guesses the id, and has the letters still to guess.
        for index in 12..<(12 + arrival.name.count) where Self.isLetter(guess[index]) && random.next() & 1 == 0 {
          guess[index] ^= 0x20
        }
        return .message(guess)
      }
      return guesses + [.message(arrival.answer([2]))]
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    // By the port that was not guessed at: the question went out again as soon as eight guesses had come, and what comes to
    // the first port, the true answer too, is not read any more.
    #expect(try asker.ask("a-name-of-many-letters.example").mark == 1)
    #expect(asker.pool.statistics.wrongAnswers == 8)
    #expect(upstream.count(overStream: false) == 2)
    #expect(asker.pool.statistics.failures == 0)
    #expect(asker.pool.states[0].isByStream == false)
  }

  private static func isLetter(_ octet: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(octet | 0x20)
  }
}
