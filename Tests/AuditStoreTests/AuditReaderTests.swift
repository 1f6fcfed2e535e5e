import Foundation
import Glibc
import Synchronization
import Testing

@testable import AuditStore

@Suite struct AuditReaderTests {
  private func line(_ number: Int, server: String = "s1", decision: String = "block", name: String = "evil.example.com")
    -> String
  {
    let second = String(format: "%02d", number % 60)
    let minute = String(format: "%02d", number / 60 % 60)
    return
      #"{"ts":"2026-11-20T09:\#(minute):\#(second).000Z","server":"\#(server)","destination":"\#(name)","decision":"\#(decision)","#
      + #""reason":"r","payload_size":45,"id":"\#(number)","code":"not-listed","client":"10.77.1.2","client_port":1,"#
      + #""transport":"udp","type":"A","rcode":"NXDOMAIN","count":\#(number % 3 + 1)}"# + "\n"
  }

  private func ids(_ path: String, _ filter: LogFilter) throws -> [String] {
    var reader = AuditReader(path: path, filter: filter)
    var ids: [String] = []
    try reader.read { event in
      ids.append(
        String(decoding: event.octets, as: UTF8.self).firstMatch(of: /"id":"(\d+)"/).map { String($0.1) } ?? "?")
    }
    return ids
  }

  private func log(_ files: [[Int]]) throws -> Scratch {
    let scratch = Scratch()
    for (number, lines) in files.reversed().enumerated() {
      let name = number == 0 ? scratch.log : "\(scratch.log).\(number)"
      try lines.map {
        line($0, server: "s\($0 % 2)", decision: $0 % 5 == 0 ? "allow" : "block", name: "N\($0).Evil.example")
      }
      .joined().write(toFile: name, atomically: false, encoding: .utf8)
    }
    return scratch
  }

  @Test("rotated files are read oldest first, newest event last")
  func order() throws {
    let scratch = try log([[1, 2, 3], [4, 5], [6]])
    #expect(try ids(scratch.log, LogFilter()) == ["1", "2", "3", "4", "5", "6"])
  }

  @Test("a limit gives the last so many, across files", arguments: 0...8)
  func limit(count: Int) throws {
    let scratch = try log([[1, 2, 3], [4, 5], [6]])
    #expect(try ids(scratch.log, LogFilter(limit: count)) == ["1", "2", "3", "4", "5", "6"].suffix(count))
  }

  @Test("a member that is looked for is read in the last line too, however that one ends", arguments: 0...20)
  func lastOctets(length: Int) throws {
    let text = String(repeating: "x", count: length)
    let endings = [
      #""remedy":"\#(text)""#, #""addresses":["\#(text)"]"#, #""\#(text)":0"#, #""a":{"\#(text)":["\#(text)"]}"#,
    ]
    for ending in endings {
      let scratch = Scratch()
      let line = #"{"ts":"2026-11-20T09:00:00.000Z","decision":"block",\#(ending)}"#
      try "\(line)\n".write(toFile: scratch.log, atomically: false, encoding: .utf8)
      for limit in [nil, 1] {
        var times: [ClosedRange<Int64>?] = []
        func note(_ line: LogLine) { times.append(line.interval) }
        var reader = AuditReader(path: scratch.log, filter: LogFilter(limit: limit))
        var order = LogOrder()
        try reader.read { line in
          note(line)
          order.add(line, note)
        }
        order.end(note)
        #expect(times == Array(repeating: 1_795_165_200_000...1_795_165_200_000, count: 2), "\(line) \(limit ?? -1)")
      }
    }
  }

  @Test("server, decision, name and time each narrow, and together")
  func filters() throws {
    let scratch = try log([Array(1...20), Array(21...40)])
    #expect(try ids(scratch.log, LogFilter(server: "s1")) == stride(from: 1, through: 39, by: 2).map { "\($0)" })
    #expect(try ids(scratch.log, LogFilter(decision: "allow")) == stride(from: 5, through: 40, by: 5).map { "\($0)" })
    #expect(try ids(scratch.log, LogFilter(name: "n1*.EVIL.*")) == ["1"] + (10...19).map { "\($0)" })
    let base = try #require(LogTime.parse("2026-11-20T09:00:00Z"))
    #expect(try ids(scratch.log, LogFilter(since: base + 10, until: base + 12)) == ["10", "11", "12"])
    #expect(try ids(scratch.log, LogFilter(server: "s0", decision: "allow", limit: 2)) == ["30", "40"])
    #expect(try ids(scratch.log, LogFilter(server: "s")).isEmpty)
  }

  @Test("lines that are no event are counted and left out, a torn last one is not yet a line")
  func badLines() throws {
    let scratch = Scratch()
    let text = line(1) + "garbage\n{\"ts\":1\n\n[]\n" + line(2) + "{\"ts\":\"2026-" + String(repeating: "x", count: 100)
    try text.write(toFile: scratch.log, atomically: false, encoding: .utf8)
    var reader = AuditReader(path: scratch.log, filter: LogFilter())
    var count = 0
    try reader.read { _ in count += 1 }
    #expect(count == 2)
    #expect(reader.badLines == 4)
  }

  @Test("a line without an end is passed over in bounded memory")
  func endless() throws {
    let scratch = Scratch()
    let long = String(repeating: "y", count: 3 << 20)
    try (line(1) + long + "\n" + line(2)).write(toFile: scratch.log, atomically: false, encoding: .utf8)
    #expect(try ids(scratch.log, LogFilter()) == ["1", "2"])
  }

  @Test("no log is no event, an unreadable one an error")
  func missing() throws {
    let scratch = Scratch()
    #expect(try ids(scratch.log, LogFilter()).isEmpty)
    Files.makeDirectory(scratch.log)
    #expect(throws: AuditStoreError.self) { try ids(scratch.log, LogFilter()) }
  }

  @Test(
    "globs match as people expect, without exploding",
    arguments: [
      ("*", "a.b", true), ("evil.example.com", "EVIL.example.com", true), ("*.com", "evil.example.com", true),
      ("*.com", "com", false), ("e*l.*", "evil.com", true), ("e*l.*", "evix.com", false), ("", "", true),
      ("", "a", false),
      ("**", "x", true), ("a*a*a*a*a*a*a*a*b", String(repeating: "a", count: 5000), false),
    ])
  func globs(glob: String, text: String, expected: Bool) {
    #expect(CompiledFilter.matches(Array(glob.utf8), Array(text.utf8)) == expected)
  }

  @Test("following sees everything once, across rotations under load")
  func follow() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log, maxSize: 65_536, keep: 500)
    for number in 0..<10 { push(store, number) }
    #expect(eventually { store.counters.records == 10 })
    let follower = Follower(scratch.log)
    follower.start()
    for number in 10..<6000 {
      while !push(store, number) { usleep(100) }
      if number % 1000 == 0 { usleep(250_000) }
    }
    #expect(eventually { follower.seen.count >= 6000 })
    follower.end()
    #expect(eventually { follower.hasEnded })
    store.stop()
    #expect(store.counters.rotations > 10)
    #expect(follower.seen == (0..<6000).map { "n\($0).example.com" })
  }

  @Test("following goes on after the file was truncated")
  func truncated() throws {
    let scratch = Scratch()
    try (line(1) + line(2)).write(toFile: scratch.log, atomically: false, encoding: .utf8)
    let follower = Follower(scratch.log)
    follower.start()
    #expect(eventually { follower.seen.count == 2 })
    try line(3, name: "after").write(toFile: scratch.log, atomically: false, encoding: .utf8)
    #expect(eventually { follower.seen.last == "after" })
    follower.end()
    #expect(eventually { follower.hasEnded })
    #expect(follower.seen.count == 3)
  }
}

/// Reads a log and follows it on another thread.
final class Follower: Sendable {
  private let path: String
  private let names = Mutex<[String]>([])
  private let isOver = Atomic<Bool>(false)
  private let ended = Atomic<Bool>(false)

  init(_ path: String) { self.path = path }

  var seen: [String] { names.withLock { $0 } }

  func end() { isOver.store(true, ordering: .relaxed) }

  var hasEnded: Bool { ended.load(ordering: .relaxed) }

  func start() {
    Thread.detachNewThread { [self] in
      var reader = AuditReader(path: path, filter: LogFilter())
      if let position = try? reader.read(collect) {
        try? reader.follow(from: position, collect) { isOver.load(ordering: .relaxed) }
      }
      ended.store(true, ordering: .relaxed)
    }
  }

  private func collect(_ event: LogLine) {
    names.withLock { $0.append(event.text(.destination)) }
  }
}

@Suite struct LogTimeTests {
  private let now = Date(timeIntervalSince1970: 1_700_000_000)  // 2023-11-14 22:13:20 UTC, a Tuesday

  private func read(_ text: String, zone: TimeZone = .gmt) -> Double? {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = zone
    return LogTime.parse(text, now: now, calendar: calendar)?.timeIntervalSince1970
  }

  @Test(
    "times as people write them",
    arguments: [
      ("now", 1_700_000_000), ("10m", 1_699_999_400), ("10min", 1_699_999_400), ("2h", 1_699_992_800),
      ("3d", 1_699_740_800), ("1w", 1_699_395_200), ("1h30m", 1_699_994_600), ("1h30m5s ago", 1_699_994_595),
      ("90s", 1_699_999_910), ("today", 1_699_920_000), ("yesterday", 1_699_833_600),
      ("yesterday 14:00", 1_699_884_000), ("Today 9:05", 1_699_952_700), ("14:00", 1_699_970_400),
      ("14:00:05.5", 1_699_970_405.5), ("22:13:20", 1_700_000_000), ("22:13:21", 1_699_913_601),
      ("2023-11-14", 1_699_920_000), ("2023-11-14 14:00", 1_699_970_400),
      ("2023-11-14T14:00", 1_699_970_400), ("2023-11-14_14:00:05", 1_699_970_405),
      ("2023-11-14T22:13:20", 1_700_000_000), ("2023-11-14T22:13:20Z", 1_700_000_000),
      ("2023-11-14t22:13:20z", 1_700_000_000), ("2023-11-14 22:13:20 UTC", 1_700_000_000),
      ("2023-11-14T23:13:20.5+01:00", 1_700_000_000.5), ("2023-11-14 23:13 +0100", 1_699_999_980),
      ("2023-11-14T17:13:20-05", 1_700_000_000), ("2000-02-29t00:00:00z", 951_782_400),
      ("@1763629200", 1_763_629_200), ("@1763629200.25", 1_763_629_200.25), (" 10m ", 1_699_999_400),
    ] as [(String, Double)])
  func times(text: String, expected: Double) {
    #expect(read(text) == expected)
  }

  @Test(
    "what is no time is refused",
    arguments: [
      "", "m", "-1h", "10x", "10", "1m1h", "1h1h", "1h ago ago", "2023-13-01", "2023-02-29", "2023-04-31",
      "2023-11-14T25:00:00Z", "2023-11-14T22:60:00Z", "2023-11-14T22:13:20+25:00", "2023-11-14T", "2023-11-14 x",
      "99999999999999999999d", "tomorrow", "yesterday x", "yesterday 14:00Z", "today 14:00 15:00", "24:00", "1:2", "14",
      "@", "@x", "@-1", "@1.", "@1763629200x", "@1.5s", "2023-02-30T00:00:00Z", "2023-11-14T22:13:20.Z", "١٠m",
      "2023-11-14 09x14", "2023-11x14", "2023-11-14x", "2023-11-14 09:14 5", "2023-11-14 09:14 x01",
      "2023-11-14 09:14+01:000",
    ])
  func noTimes(text: String) {
    #expect(read(text) == nil)
  }

  @Test("a time of an event is a whole one, and nothing follows it")
  func eventTimes() {
    func read(_ text: String) -> Int64? {
      let octets = Array(text.utf8)
      return unsafe LogTime.rfc3339(octets.span.bytes)  // every octet is read within the span
    }
    #expect(read("2023-11-14T22:13:20.481Z") == 1_700_000_000_481)
    #expect(read("2023-11-14T23:13:20+01:00") == 1_700_000_000_000)
    for text in ["2023-11-14T22:13:20Zx", "2023-11-14T22:13:20.481Z ", "2023-11-14T23:13:20+01:000"] {
      #expect(read(text) == nil)
    }
  }

  @Test("a time without an offset is local, one with an offset is not")
  func zones() throws {
    let berlin = try #require(TimeZone(identifier: "Europe/Berlin"))
    #expect(read("2023-11-14 23:13:20", zone: berlin) == 1_700_000_000)
    #expect(read("2023-07-14 23:13:20", zone: berlin) == 1_689_369_200)
    #expect(read("2023-11-14 22:13:20Z", zone: berlin) == 1_700_000_000)
    #expect(read("today", zone: berlin) == 1_699_916_400)
    #expect(read("yesterday 14:00", zone: berlin) == 1_699_880_400)
    #expect(read("14:00", zone: berlin) == 1_699_966_800)
  }

  @Test("columns are aligned, the day is said once, control characters are not printed")
  func table() throws {
    let text =
      #"{"ts":"2026-11-20T09:14:22.481Z","server":"github-mcp","destination":"a\\032\u001b[31m","decision":"block","reason":"r","code":"not-listed","client":"10.77.1.2","type":"A","count":3}"#
    let event = try #require(LogLine(Array(text.utf8)[...]))
    var table = LogTable(timeZone: .gmt)
    let heading = table.heading()
    let lines = table.line(event).split(separator: "\n")
    #expect(lines.first == "-- 2026-11-20 (UTC)")
    #expect(lines.last?.contains("09:14:22  github-mcp") == true)
    #expect(lines.last?.contains(#"a\032?[31m"#) == true)
    let column = heading.range(of: "CODE").map { heading.distance(from: heading.startIndex, to: $0.lowerBound) }
    let row = table.line(event)
    #expect(row.range(of: "not-listed").map { row.distance(from: row.startIndex, to: $0.lowerBound) } == column)
    #expect(!row.contains("\n"))
  }

  @Test("the day is said with the zone's offset, again where that changes within a day")
  func offsets() throws {
    let berlin = try #require(TimeZone(identifier: "Europe/Berlin"))
    func line(_ time: String) throws -> LogLine {
      try #require(LogLine(Array(#"{"ts":"\#(time)","decision":"block"}"#.utf8)[...]))
    }
    var table = LogTable(timeZone: berlin)
    // The clocks are set back at 01:00 UTC: 02:30 comes twice.
    #expect(try table.line(line("2026-10-25T00:30:00.000Z")).hasPrefix("-- 2026-10-25 (UTC+02:00)\n02:30:00"))
    #expect(try table.line(line("2026-10-25T01:30:00.000Z")).hasPrefix("-- 2026-10-25 (UTC+01:00)\n02:30:00"))
    #expect(try table.line(line("2026-10-25T01:31:00.000Z")).hasPrefix("02:31:00"))
  }

  @Test("a time that is shown is read back as the same, in any zone")
  func shownTimes() throws {
    for (zone, text) in [
      ("GMT", "2023-11-14 22:13:20Z"), ("Europe/Berlin", "2023-11-14 23:13:20+01:00"),
      ("America/New_York", "2023-11-14 17:13:20-05:00"), ("Asia/Kolkata", "2023-11-15 03:43:20+05:30"),
      ("Pacific/Marquesas", "2023-11-14 12:43:20-09:30"),
    ] {
      let zone = try #require(TimeZone(identifier: zone))
      #expect(LogTime.text(1_700_000_000_999, in: zone) == text)
      #expect(read(text) == 1_700_000_000)
    }
    #expect(LogTime.text(-1, in: .gmt) == "1969-12-31 23:59:59Z")
  }
}
