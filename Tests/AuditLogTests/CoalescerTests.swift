import DNSWire
import IPNetwork
import TestSupport
import Testing

@testable import AuditLog

@Suite struct CoalescerTests {
  @Test("the first event of a kind is written at once, its repeats as one when 10 s are over")
  func repeats() throws {
    var coalescer = makeCoalescer(windows())
    var output: [UInt8] = []
    for number in 0..<6 as Range<UInt64> {
      #expect(coalescer.absorb(record(header(wall: number * second)), now: number * second, into: &output))
    }
    #expect(try sum(events(output)) == 1)
    output = []
    coalescer.retire(now: 9 * second, into: &output, limit: 1000)
    #expect(output.isEmpty)
    #expect(coalescer.nextDeadline() == 10 * second)
    coalescer.retire(now: 10 * second, into: &output, limit: 1000)
    let event = try #require(events(output).first)
    #expect(event["count"] as? Int == 5)
    #expect(event["destination"] as? String == "evil.example.com")
    #expect(event["first_ts"] as? String == "1970-01-01T00:00:01.000Z")
    #expect(event["last_ts"] as? String == "1970-01-01T00:00:05.000Z")
    #expect(keys(output).suffix(3) == ["count", "first_ts", "last_ts"])
    coalescer.commit()
    #expect(coalescer.nextDeadline() == nil)
    output = []
    _ = coalescer.absorb(record(), now: 11 * second, into: &output)
    #expect(try sum(events(output)) == 1)
  }

  @Test("a ring is taken in as it was filled, whatever bound ends a turn, up to where it is damaged")
  func turns() throws {
    let (ring, memory) = makeRing(32_768)
    let reader = AuditRingReader(ring)
    for number in 0..<120 { #expect(ring.push(record(name: wire("x.d\(number % 90).com"))) != .full) }
    let area = windows()
    var coalescer = makeCoalescer(area)
    var log: [UInt8] = []
    func turn(_ atMost: Int, _ limit: Int) -> Coalescer.Taken {
      var output: [UInt8] = []
      let taken = coalescer.absorb(reader, atMost: atMost, now: 0, into: &output, limit: limit)
      log += output
      return taken
    }
    var total = 0
    for (atMost, limit) in [(5, 10_000), (40, 1), (40, 2000), (17, 100_000), (200, 100_000), (200, 100_000)] {
      let taken = turn(atMost, limit)
      #expect(taken.records <= atMost && !taken.isShort && taken.corrupt == 0)
      // An event is longer than 200 octets.
      #expect(taken.records <= limit / 200 + 1)
      total += taken.records
    }
    #expect(total == 120)
    #expect(try events(log).map { $0["destination"] as? String } == (0..<90).map { "x.d\($0).com" })
    #expect(coalescer.suppressed == 30)

    log = []
    for number in 0..<10 { #expect(ring.push(record(name: wire("y.d\(number).com"))) != .full) }
    let sixth = AuditRing.overhead + Int(reader.position) + 5 * 72
    #expect(memory.region.load(sixth, as: UInt32.self) == 72)
    memory.region.store(3 as UInt32, sixth)
    let taken = [turn(200, 100_000), turn(200, 100_000)]
    #expect(taken == [Coalescer.Taken(records: 5, corrupt: 1), Coalescer.Taken()])
    #expect(try events(log).map { $0["destination"] as? String } == (0..<5).map { "y.d\($0).com" })
  }

  @Test("another server, client, name, type or code is another event")
  func distinct() throws {
    var coalescer = makeCoalescer(windows())
    var output: [UInt8] = []
    let records = [
      record(), record(header(client: 1)), record(header(type: .AAAA)), record(header(.typeNotAllowed)),
      record(server: [97]), record(name: wire("other.example.com")),
    ]
    for _ in 0..<3 {
      for one in records { _ = coalescer.absorb(one, now: 0, into: &output) }
    }
    #expect(try events(output).count == 6)
    output = []
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    #expect(try events(output).map { $0["count"] as? Int } == [2, 2, 2, 2, 2, 2])
  }

  @Test("a flood of names under one domain is 20 events and one aggregate with samples")
  func domainFlood() throws {
    var coalescer = makeCoalescer(windows())
    var output: [UInt8] = []
    for number in 0..<5000 {
      _ = coalescer.absorb(record(name: wire("x\(number).data.evil.co.uk")), now: 0, into: &output)
    }
    _ = coalescer.absorb(record(name: wire("fine.example.com")), now: 0, into: &output)
    #expect(try events(output).count == 21)
    output = []
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    let event = try #require(events(output).first)
    #expect(event["destination"] as? String == "*.evil.co.uk")
    #expect(event["count"] as? Int == 4980)
    #expect((event["samples"] as? [String])?.count == 5)
    #expect((event["samples"] as? [String])?.allSatisfy { $0.hasSuffix(".data.evil.co.uk") } == true)
    #expect(try events(output).count == 1)
  }

  @Test("a flood of domains from one client is 1,024 events, one that says so, and one aggregate")
  func clientFlood() throws {
    var coalescer = makeCoalescer(windows())
    var output: [UInt8] = []
    for number in 0..<5000 {
      let type: RRType = number.isMultiple(of: 2) ? .A : .TXT
      _ = coalescer.absorb(record(header(type: type), name: wire("d\(number).com")), now: 0, into: &output)
    }
    #expect(try events(output).count == 1025)
    output = []
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    let event = try #require(events(output).first)
    #expect(event["destination"] as? String == "*" && event["client"] as? String == "10.77.1.2")
    #expect(event["type"] as? String == "*")
    #expect(event["count"] as? Int == 5000 - 1024)
  }

  @Test("a flood of invented clients is bounded too")
  func sourceFlood() throws {
    var coalescer = makeCoalescer(windows())
    var output: [UInt8] = []
    for number in 0..<5000 as Range<UInt32> {
      _ = coalescer.absorb(record(header(client: number)), now: 0, into: &output)
    }
    #expect(try events(output).count == 1001)
    output = []
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    let lines = try events(output)
    #expect(lines.count == 17 && sum(lines) == 4000)
    let event = try #require(lines.last)
    #expect(event["client"] as? String == "*" && event["count"] as? Int == 3984)
    // Each is in a line of its own or in another's.
    #expect(coalescer.suppressed == 3984)
  }

  @Test("grants are never merged with denials, and say the addresses of all that they stand for")
  func grants() throws {
    var coalescer = makeCoalescer(windows())
    var output: [UInt8] = []
    let first = record(header(.granted), members: Array(",\"addresses\":[\"192.0.2.1\"]".utf8))
    let second = record(header(.granted), members: Array(",\"addresses\":[\"192.0.2.2\"]".utf8))
    for one in [first, second, record(), first, second, record()] { _ = coalescer.absorb(one, now: 0, into: &output) }
    for number in 0..<50 {
      let members = Array(",\"addresses\":[]".utf8)
      _ = coalescer.absorb(
        record(header(.granted), name: wire("n\(number).example.com"), members: members), now: 0, into: &output)
    }
    #expect(try events(output).map { $0["decision"] as? String }.filter { $0 == "allow" }.count == 51)
    let first50 = output.count
    _ = coalescer.retireEverything(into: &output, limit: .max)
    #expect(try sum(events(output)) == 56)
    let repeats = try events(Array(output[first50...])).first { $0["code"] as? String == "granted" }
    #expect(repeats?["count"] as? Int == 3)
    #expect(repeats?["addresses"] as? [String] == ["192.0.2.1", "192.0.2.2"])
  }

  @Test("the repeats of a grant say again what was granted; a flood of answers is an aggregate, as one of denials is")
  func allowed() throws {
    var coalescer = makeCoalescer(windows())
    var output: [UInt8] = []
    let short = record(header(.granted), members: Array(#","rule":"a.yaml:3","ttl":60"#.utf8))
    let long = record(
      header(.answered), members: Array(#","rule":"\#(String(repeating: "x", count: Coalescer.membersKept))""#.utf8))
    for one in [short, long, short, long, short] { _ = coalescer.absorb(one, now: 0, into: &output) }
    for number in 0..<150 {
      _ = coalescer.absorb(record(header(.answered), name: wire("n\(number).evil.com")), now: 0, into: &output)
    }
    #expect(try events(output).count == 22)
    output = []
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    let repeats = try events(output)
    #expect(repeats.map { $0["count"] as? Int } == [2, 1, 130])
    #expect(repeats[2]["destination"] as? String == "*.evil.com" && repeats[2]["decision"] as? String == "allow")
    #expect(repeats.first?["rule"] as? String == "a.yaml:3" && repeats.first?["ttl"] as? Int == 60)
    #expect(repeats[1]["members_omitted"] as? Bool == true)
    let first = output.prefix { $0 != UInt8(ascii: "\n") }
    #expect(keys(Array(first)).suffix(5) == ["count", "first_ts", "last_ts", "rule", "ttl"])
  }

  @Test("without room nothing is done, and retiring makes room")
  func noRoom() throws {
    var coalescer = makeCoalescer(windows(65_536))
    var output: [UInt8] = []
    var pushed = 0
    for number in 0..<10_000 as Range<UInt32> {
      let one = record(header(client: number / 4), name: wire("n\(number).example\(number).com"))
      while !coalescer.absorb(one, now: 0, into: &output) {
        coalescer.retireForRoom(into: &output, limit: .max)
        coalescer.commit()
      }
      _ = coalescer.absorb(one, now: 0, into: &output)
      pushed += 2
    }
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    #expect(try sum(events(output)) == pushed)
  }

  @Test("a grant that adds addresses waits for room as any other record does, and none is lost")
  func noRoomForAddresses() throws {
    var coalescer = makeCoalescer(windows(65_536))
    var output: [UInt8] = []
    var (pushed, waited) = (0, 0)
    for round in 0..<30 {
      let addresses = (0..<5).map {
        "\"2001:db8:1111:2222:3333:4444:5555:\(String(round * 5 + $0 + 4096, radix: 16))\""
      }
      let members = Array(",\"addresses\":[\(addresses.joined(separator: ","))]".utf8)
      for name in 0..<16 {
        let one = record(header(.granted), name: wire("n\(name).example.com"), members: members)
        while !coalescer.absorb(one, now: 0, into: &output) {
          coalescer.retireForRoom(into: &output, limit: .max)
          coalescer.commit()
          waited += 1
        }
        pushed += 1
      }
    }
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    #expect(try waited > 0 && sum(events(output)) == pushed)
  }

  /// In every third run the server is soon over its share.
  private func bounds(_ seed: UInt64) -> LogBounds? {
    seed.isMultiple(of: 3) ? LogBounds(history: 1 << 20, servers: 2) : nil
  }

  @Test("every record is counted once, in random traffic", arguments: 0..<12 as Range<UInt64>)
  func conservation(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var run = SimulatedRun(windowOctets: seed.isMultiple(of: 2) ? 65_536 : 1 << 20, bounds: bounds(seed))
    for _ in 0..<200 {
      run.push(Int.random(in: 0...60, using: &random), &random)
      run.cycle(upTo: .max)
      run.now += UInt64.random(in: 0...(4 * second), using: &random)
    }
    run.finish()
    #expect(try sum(events(run.log)) == run.pushed)
  }

  @Test(
    "a crash at any point loses no record, and repeats at most the batch under way", arguments: 0..<12 as Range<UInt64>)
  func crashes(seed: UInt64) throws {
    var random = SeededRandom(seed: seed &+ 100)
    var run = SimulatedRun(windowOctets: seed.isMultiple(of: 2) ? 65_536 : 1 << 20, bounds: bounds(seed))
    for _ in 0..<150 {
      run.push(Int.random(in: 0...60, using: &random), &random)
      if Int.random(in: 0..<5, using: &random) == 0 {
        run.crash(after: Int.random(in: 0...60, using: &random), written: Bool.random(using: &random))
      } else {
        run.cycle(upTo: .max)
      }
      run.now += UInt64.random(in: 0...(4 * second), using: &random)
    }
    run.finish()
    let sum = try sum(events(run.log))
    #expect(sum >= run.pushed)
    #expect(sum <= run.pushed + run.mayRepeat)
  }

  @Test("windows that ended but were not written are told by the next run, exactly", arguments: 0..<4 as Range<UInt64>)
  func crashBeforeWriting(seed: UInt64) throws {
    var random = SeededRandom(seed: seed &+ 200)
    var run = SimulatedRun(windowOctets: 1 << 20)
    for round in 0..<100 {
      run.push(Int.random(in: 0...60, using: &random), &random)
      run.cycle(upTo: .max)
      run.now += 4 * second
      if round % 5 == 4 { run.crash(after: 0, written: false) }
    }
    run.finish()
    #expect(try sum(events(run.log)) == run.pushed)
  }

  @Test("damaged windows never trap, and end")
  func damage() throws {
    var random = SeededRandom(seed: 8)
    for _ in 0..<1000 {
      let memory = windows(65_536)
      var coalescer = makeCoalescer(memory)
      var output: [UInt8] = []
      for number in 0..<40 {
        _ = coalescer.absorb(record(name: wire("x\(number % 30).evil.com")), now: 0, into: &output)
      }
      for _ in 0..<Int.random(in: 1...40, using: &random) {
        memory.set(.random(in: 0...255, using: &random), at: .random(in: 0..<8192, using: &random))
      }
      var next = makeCoalescer(memory)
      output = []
      #expect(next.retireEverything(into: &output, limit: .max))
      _ = try events(output)
    }
  }
}

/// The writer's protocol over memory that outlives it: absorb, retire, write, commit.
struct SimulatedRun: ~Copyable {
  private let ring: AuditRing
  private let ringMemory: HeapMemory
  private let memory: HeapMemory
  private let windowOctets: Int
  private let bounds: LogBounds?
  private var reader: AuditRingReader
  private var coalescer: Coalescer
  private var run: UInt64 = 1
  var now: UInt64 = 0
  var log: [UInt8] = []
  var pushed = 0
  var mayRepeat = 0

  init(windowOctets: Int, bounds: LogBounds? = nil) {
    self.windowOctets = windowOctets
    self.bounds = bounds
    (ring, ringMemory) = makeRing(32_768)
    memory = windows(windowOctets)
    reader = AuditRingReader(ring)
    coalescer = makeCoalescer(memory, bounds: bounds)
  }

  mutating func push(_ count: Int, _ random: inout SeededRandom) {
    for _ in 0..<count {
      let codes: [AuditCode] = [.notListed, .typeNotAllowed, .granted, .answered]
      let code = codes[Int.random(in: 0..<4, using: &random)]
      let label = UInt32.random(in: 0...UInt32.random(in: 0...3000, using: &random), using: &random)
      let one = record(
        header(
          code, client: .random(in: 0...3, using: &random), type: Bool.random(using: &random) ? .A : .AAAA, wall: now),
        name: wire("n\(label).d\(label % 40).com"),
        members: code == .granted ? Array(",\"addresses\":[\"192.0.2.\(label % 250)\"],\"ttl\":1".utf8) : [])
      if ring.push(one) != .full { pushed += 1 }
    }
  }

  /// One cycle of the writer over at most `limit` records; how many it took in.
  @discardableResult
  mutating func cycle(upTo limit: Int, written: Bool = true, commits: Bool = true) -> Int {
    var output: [UInt8] = []
    var taken = 0
    coalescer.retire(now: now, into: &output, limit: .max)
    while taken < limit {
      let step = coalescer.absorb(reader, atMost: limit - taken, now: now, into: &output, limit: .max)
      taken += step.records
      guard step.isShort else { break }
      coalescer.retireForRoom(into: &output, limit: .max)
      if !commits { break }
      log += output
      output = []
      coalescer.commit()
      reader.commit()
    }
    if written { log += output }
    guard commits else {
      mayRepeat += (try? sum(events(output))) ?? 0
      return taken
    }
    coalescer.commit()
    reader.commit()
    return taken
  }

  /// Ends in the middle of a batch, and begins again as the next run does.
  mutating func crash(after records: Int, written: Bool) {
    mayRepeat += cycle(upTo: records, written: written, commits: false)
    run += 1
    var recovering = makeCoalescer(memory, run: run)
    _ = recovering.retireEverything(into: &log, limit: .max)
    reader = AuditRingReader(ring)
    var got = AuditRecord()
    while reader.next(into: &got) == .record { recovering.pass(got, into: &log) }
    recovering.commit()
    reader.commit()
    run += 1
    coalescer = makeCoalescer(memory, run: run, bounds: bounds)
  }

  mutating func finish() {
    cycle(upTo: .max)
    _ = coalescer.retireEverything(into: &log, limit: .max)
    coalescer.commit()
  }
}
