import AuditLog
import Foundation
import IPNetwork
import TestSupport
import Testing

@testable import AuditStore

/// What the fast reader finds, against the same asked of each line decoded as JSON.
@Suite struct LogOracleTests {
  private static let servers = ["github-mcp", "s", "", #"a"b"#, #"back\slash"#, "github-mcp2", "ü"]
  private static let decisions = ["block", "allow", "observe", "error"]
  private static let names = [
    "evil.example.com", "EVIL.Example.com", #"","server":"github-mcp","x":""#, #"\"server\":\"s\""#, "a\u{1}\n\"b", "*",
    "*.flood.net", "", #"x","decision":"block"#, "}", "{\"ts\":\"2026-11-20T09:00:00.000Z\"", "ünïcode.😀", "null",
    String(repeating: "long.", count: 50), "198.51.100.7",
  ]
  private static let addresses = ["198.51.100.7", "10.77.1.2", "10.77.2.2", "2001:db8::1", "*", "no address", ""]
  private static let codes = ["not-listed", "granted", "enforcement-degraded", "enforcement_degraded", "later", ""]
  private static let types = ["A", "AAAA", "*", "TYPE65400", "a"]
  private static let rules = [
    "/etc/sluice/policies/github.yaml:12", "/etc/sluice/policies/github.yaml:120", "github.yaml:12", "github.yaml",
    "other.yaml:12", "c:/a:b:3", "",
  ]
  private static let globs = [
    "*", "evil*", "198.51.100.7", "2001:DB8:0::1", "2001:db8::*", "*.EXAMPLE.com", #"*"server"*"#, "198.51.*", "*😀",
    "null", "a*b", "", "*\"*",
  ]

  private static func quoted(_ text: String, _ random: inout SeededRandom) -> String {
    var result = "\""
    for unit in text.utf16 {
      switch unit {
      case 0x22, 0x5C: result += Bool.random(using: &random) ? "\\" + String(UnicodeScalar(UInt8(unit))) : escape(unit)
      case 0x20...0x7E:
        result += Int.random(in: 0..<60, using: &random) == 0 ? escape(unit) : String(UnicodeScalar(UInt8(unit)))
      default: result += escape(unit)
      }
    }
    return result + "\""
  }

  private static func escape(_ unit: UInt16) -> String { String(format: "\\u%04x", Int(unit)) }

  /// Members in any order and number, as `EventEncoder` would not write them, but without spaces.
  private static func event(_ time: Double, _ random: inout SeededRandom) -> String {
    let formatter = ISO8601DateFormatter()
    formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
    var members = ["\"ts\":\"\(formatter.string(from: Date(timeIntervalSince1970: time)))\""]
    func add(_ name: String, _ value: String, _ chance: Int) {
      if Int.random(in: 0..<100, using: &random) < chance { members.append("\"\(name)\":\(value)") }
    }
    add("server", quoted(servers.randomElement(using: &random)!, &random), 95)
    add("destination", quoted(names.randomElement(using: &random)!, &random), 95)
    add("decision", quoted(decisions.randomElement(using: &random)!, &random), 98)
    add("reason", quoted(names.randomElement(using: &random)!, &random), 80)
    add("payload_size", ["45", "-1", "0", "1.5e-3", "true", "null"].randomElement(using: &random)!, 50)
    add("type", types.map { quoted($0, &random) }.randomElement(using: &random)!, 70)
    add("code", quoted(codes.randomElement(using: &random)!, &random), 90)
    add(
      "client", ["null", quoted(addresses.randomElement(using: &random)!, &random)].randomElement(using: &random)!, 95)
    add("rule", quoted(rules.randomElement(using: &random)!, &random), 40)
    let opened = (0..<Int.random(in: 0...3, using: &random)).map { _ in
      quoted((addresses + names).randomElement(using: &random)!, &random)
    }
    add("addresses", ["[\(opened.joined(separator: ","))]", "7", "null", "{}"].randomElement(using: &random)!, 30)
    add("count", "\(Int.random(in: 0..<1000, using: &random))", 80)
    add("address", quoted(names.randomElement(using: &random)!, &random), 20)
    add("port", "443", 20)
    add("serve", quoted("github-mcp", &random), 20)
    add("samples", #"[{"server":"github-mcp","x":[1,{}]},[],"\#(random.next())"]"#, 20)
    if Int.random(in: 0..<4, using: &random) == 0 { members.shuffle(using: &random) }
    return "{" + members.joined(separator: ",") + "}"
  }

  private static func garbage(_ line: String, _ random: inout SeededRandom) -> [UInt8] {
    var octets = Array(line.utf8)
    switch Int.random(in: 0..<6, using: &random) {
    case 0: return Array(octets.prefix(Int.random(in: 0..<octets.count, using: &random)))
    case 1: return Array(octets.dropFirst(Int.random(in: 1..<octets.count, using: &random)))
    case 2: return octets + Array("x".utf8)
    case 3: return octets + octets
    case 4: return (0..<40).map { _ in UInt8.random(in: 11...255, using: &random) }
    default:
      for _ in 0..<3 {
        octets[Int.random(in: 0..<octets.count, using: &random)] = [0xFF, 0xC0, 0x01, 0x22, 0x5C].randomElement(
          using: &random)!
      }
      return octets
    }
  }

  private struct Naive {
    let line: [UInt8]
    let time: Double
    let server: String?
    let decision: String
    let names: [String]
    let count: UInt64
    let client, code, type, rule: String?

    init?(_ line: [UInt8]) {
      guard let object = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any],
        let ts = object["ts"] as? String, let decision = object["decision"] as? String
      else { return nil }
      let formatter = ISO8601DateFormatter()
      formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
      self.line = line
      time = formatter.date(from: ts)?.timeIntervalSince1970 ?? .nan
      self.decision = decision
      server = object["server"] as? String
      names =
        ["destination", "address"].compactMap { object[$0] as? String } + (object["addresses"] as? [String] ?? [])
      (client, code) = (object["client"] as? String, object["code"] as? String)
      (type, rule) = (object["type"] as? String, object["rule"] as? String)
      count = object["count"] as? UInt64 ?? 1
    }

    func passes(_ filter: LogFilter, _ isMeant: (String) -> Bool) -> Bool {
      if let wanted = filter.server, server != wanted { return false }
      if let wanted = filter.decision, decision != wanted { return false }
      if let since = filter.since, !(time >= since.timeIntervalSince1970 - 0.0001) { return false }
      if let until = filter.until, !(time <= until.timeIntervalSince1970 + 0.0001) { return false }
      switch filter.client {
      case .of(let network)?:
        guard let client, let address = IPAddress(client), network.contains(address) else { return false }
      case .several?: if client != "*" { return false }
      case nil: break
      }
      if !filter.codes.isEmpty {
        guard let code, let known = AuditCode(token: Array(code.utf8)[...]), filter.codes.contains(known) else {
          return false
        }
      }
      if let wanted = filter.type, type != wanted { return false }
      if let wanted = filter.rule {
        // The whole path or its end, with the line or without.
        guard let rule, !rule.isEmpty || wanted.isEmpty else { return false }
        let file = rule.contains(":") ? rule.split(separator: ":").dropLast().joined(separator: ":") : rule
        let hasLine =
          wanted.split(separator: ":").last.map { $0.allSatisfy(\.isNumber) } ?? false && wanted.contains(":")
        let texts = hasLine ? [rule] : [rule, file]
        guard texts.contains(where: { $0 == wanted || $0.hasSuffix("/" + wanted) }) else { return false }
      }
      return filter.name == nil || names.contains(where: isMeant)
    }

    /// What names must match for a filter.
    static func expression(_ filter: LogFilter) throws -> NSRegularExpression? {
      guard let name = filter.name else { return nil }
      let glob = IPAddress(name)?.description ?? name
      let pattern = glob.split(separator: "*", omittingEmptySubsequences: false)
        .map { NSRegularExpression.escapedPattern(for: String($0)) }.joined(separator: "[\\s\\S]*")
      return try NSRegularExpression(pattern: "^(?:\(pattern))$(?!\\n)", options: .caseInsensitive)
    }
  }

  /// The first line that differs, with how many there are; nil when all are the same.
  private static func difference(_ found: [[UInt8]], _ expected: ArraySlice<Naive>) -> String? {
    for (one, other) in zip(found, expected) where one != other.line {
      return "\(String(decoding: one, as: UTF8.self)) instead of \(String(decoding: other.line, as: UTF8.self))"
    }
    return found.count == expected.count ? nil : "\(found.count) instead of \(expected.count)"
  }

  @Test(
    "every filter over every log gives what decoding each line gives, in order, whatever strings hold",
    arguments: UInt64(0)..<12)
  func oracle(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let scratch = Scratch()
    var events: [Naive] = []
    var bad = 0
    var time = 1_763_629_200.0
    for number in (0..<3).reversed() {
      var file: [UInt8] = []
      for _ in 0..<Int.random(in: 0...1500, using: &random) {
        time += Double(Int.random(in: 0...2000, using: &random)) / 1000
        let event = Self.event(time, &random)
        let line = Int.random(in: 0..<20, using: &random) == 0 ? Self.garbage(event, &random) : Array(event.utf8)
        file += line + [10]
        if let event = Naive(line) { events.append(event) } else { bad += 1 }
      }
      if number == 0 { file += Array("{\"ts\":\"torn".utf8) }
      try Data(file).write(to: URL(filePath: number == 0 ? scratch.log : "\(scratch.log).\(number)"))
    }
    for round in 0..<25 {
      var filter = LogFilter()
      if round > 0 {
        if Bool.random(using: &random) { filter.server = Self.servers.randomElement(using: &random) }
        if Bool.random(using: &random) { filter.decision = Self.decisions.randomElement(using: &random) }
        if Bool.random(using: &random) { filter.name = Self.globs.randomElement(using: &random) }
        func isSet() -> Bool { Int.random(in: 0..<4, using: &random) == 0 }
        if isSet() {
          let clients =
            [LogFilter.Client.several]
            + ["10.77.1.2", "10.77.0.0/16", "2001:db8::/32"].compactMap { text in
              IPPrefix(text).map { .of($0) }
            }
          filter.client = clients.randomElement(using: &random)
        }
        if isSet() {
          filter.codes = Array([.granted, .enforcementDegraded].shuffled(using: &random).prefix(1 + Int(seed % 2)))
        }
        if isSet() { filter.type = ["A", "TYPE65400"].randomElement(using: &random) }
        if isSet() {
          filter.rule = ["github.yaml:12", "github.yaml", "policies/github.yaml:12", "b:3", "hub.yaml"].randomElement(
            using: &random)
        }
        if Int.random(in: 0..<3, using: &random) == 0, let event = events.randomElement(using: &random) {
          filter.since = Date(timeIntervalSince1970: event.time)
        }
        if Int.random(in: 0..<3, using: &random) == 0, let event = events.randomElement(using: &random) {
          filter.until = Date(timeIntervalSince1970: event.time)
        }
      }
      let pieceOctets = [100, 4096, 100_000, 4 << 20].randomElement(using: &random)!
      func reader(_ filter: LogFilter) -> AuditReader {
        AuditReader(path: scratch.log, filter: filter, pieceOctets: pieceOctets, threads: 3)
      }
      let name = try Naive.expression(filter)
      // The same names come again and again.
      var known: [String: Bool] = [:]
      func isMeant(_ text: String) -> Bool {
        if let verdict = known[text] { return verdict }
        let verdict = name?.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) != nil
        known[text] = verdict
        return verdict
      }
      let expected = events.filter { $0.passes(filter, isMeant) }
      var found: [[UInt8]] = []
      var all = reader(filter)
      try all.read { found.append(Array($0.octets)) }
      #expect(Self.difference(found, expected[...]) == nil, "\(filter) of seed \(seed)")
      if round == 0 { #expect(all.badLines == bad) }
      #expect(all.badLines <= bad)
      var counting = reader(filter)
      let count = try counting.count()
      #expect(count.events == UInt64(expected.count))
      #expect(count.records == expected.reduce(0) { $0 + $1.count })
      filter.limit = Int.random(in: 0...40, using: &random)
      var last: [[UInt8]] = []
      var limited = reader(filter)
      try limited.read { last.append(Array($0.octets)) }
      #expect(Self.difference(last, expected.suffix(filter.limit ?? 0)) == nil, "\(filter) of seed \(seed)")
    }
  }

  @Test("a member that stands twice, a space, and what is nested too deep are no events")
  func refused() throws {
    func isEvent(_ text: String) -> Bool { LogLine(Array(text.utf8)[...]) != nil }
    let start = #"{"ts":"2026-11-20T09:14:22.481Z","decision":"block""#
    #expect(isEvent(start + "}"))
    #expect(!isEvent(start + #","decision":"allow"}"#))
    #expect(!isEvent(start + #","server":null,"server":"x"}"#))
    #expect(!isEvent(start + " }"))
    #expect(!isEvent(start + "}}") && !isEvent(start + ",}") && !isEvent(start) && !isEvent("{}") && !isEvent(""))
    #expect(isEvent(start + #","x":"# + String(repeating: "[", count: 64) + String(repeating: "]", count: 64) + "}"))
    #expect(!isEvent(start + #","x":"# + String(repeating: "[", count: 65) + String(repeating: "]", count: 65) + "}"))
    #expect(!isEvent(start + #","x":01}"#) && !isEvent(start + #","x":1.}"#) && !isEvent(start + #","x":nul}"#))
    #expect(!isEvent(start + #","x":"\ud800"}"#) && isEvent(start + #","x":"\ud83d\ude00"}"#))
    #expect(!isEvent(#"{"ts":null,"decision":"block"}"#) && !isEvent(#"{"ts":5,"decision":"block"}"#))
  }

  @Test("top counts what decoding each line counts, and shrinks when there are too many")
  func tally() throws {
    var random = SeededRandom(seed: 7)
    let scratch = Scratch()
    var counts: [String: UInt64] = [:]
    var text = ""
    for number in 0..<5000 {
      let name = "n\(min(Int.random(in: 0..<200, using: &random), Int.random(in: 0..<200, using: &random)))"
      let count = UInt64.random(in: 1...9, using: &random)
      counts[name, default: 0] += count
      text +=
        #"{"ts":"2026-11-20T09:14:\#(10 + number % 50).000Z","destination":"\#(name)","decision":"\#(number % 2 == 0 ? "block" : "allow")","count":\#(count)}"#
        + "\n"
    }
    try text.write(toFile: scratch.log, atomically: false, encoding: .utf8)
    var reader = AuditReader(path: scratch.log, filter: LogFilter(), pieceOctets: 10_000, threads: 4)
    let tallies = try reader.fold { LogTally(by: .destination) }
    #expect(tallies.count == 4)
    let rows = tallies.reduce(into: LogTally(by: .destination)) { $0.add($1) }.first(20)
    let expected = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(20)
    #expect(rows.map(\.key) == expected.map(\.key) && rows.map(\.count) == expected.map(\.value))
    #expect(rows.first?.decisions == ["allow", "block"] && rows.first?.last != nil)
    #expect(rows.allSatisfy { ($0.last ?? 0) / 60_000 == 1_795_166_040_000 / 60_000 })

    var small = AuditReader(path: scratch.log, filter: LogFilter())
    let partial = try small.fold { LogTally(by: .destination, capacity: 50) }.reduce(
      into: LogTally(by: .destination, capacity: 50)
    ) { $0.add($1) }
    #expect(partial.isPartial && partial.first(100).count <= 50)
  }

  private static func line(_ name: String, _ code: String) -> String {
    #"{"ts":"2026-11-20T09:14:10.000Z","server":"s","destination":"\#(name)","decision":"observe","code":"\#(code)"}"#
      + "\n"
  }

  @Test("a name is found with the dot of the root behind it as well")
  func rootDot() throws {
    let scratch = Scratch()
    let text = Self.line("api.github.com", "granted") + Self.line("other.example.com", "granted")
    try text.write(toFile: scratch.log, atomically: false, encoding: .utf8)
    for (name, count) in [("api.github.com.", 1), ("*.COM.", 2), (".", 0), ("", 0)] {
      var reader = AuditReader(path: scratch.log, filter: LogFilter(name: name))
      #expect(try Int(reader.count().events) == count, "\(name)")
    }
  }

  @Test("that an operator asked is none of what servers do most")
  func operatorsTally() throws {
    var tally = LogTally(by: .server)
    for code in ["asked-by-operator", "not-listed", "asked-by-operator"] {
      tally.add(try #require(LogLine(Array(Self.line("x", code).utf8.dropLast())[...])))
    }
    #expect(tally.first(10).map(\.count) == [1])
  }

  @Test("the order of time takes any reach and any limit")
  func largestOrder() throws {
    var order = LogOrder(reach: .max)
    var count = 0
    for name in ["a", "b", "c"] {
      order.add(try #require(LogLine(Array(Self.line(name, "granted").utf8.dropLast())[...]))) { _ in count += 1 }
    }
    #expect(count == 0)
    order.end(limit: .max) { _ in count += 1 }
    #expect(count == 3)
  }

  @Test("a log is there with its rotated files alone, compressed or not")
  func isThere() throws {
    for suffix in ["", ".1", ".1.zst", ".7"] {
      let scratch = Scratch()
      let reader = AuditReader(path: scratch.log, filter: LogFilter())
      #expect(!reader.isThere)
      try "".write(toFile: scratch.log + suffix, atomically: false, encoding: .utf8)
      #expect(reader.isThere, "\(suffix)")
    }
  }

  @Test("files whose events are all too old or too new are not even read; a clock that was set back does not hide them")
  func skipped() throws {
    func line(_ day: Int, _ hour: Int, _ name: String) -> String {
      #"{"ts":"2026-11-\#(10 + day)T\#(String(format: "%02d", hour)):00:00.000Z","destination":"\#(name)","decision":"block"}"#
        + "\n"
    }
    let scratch = Scratch()
    // Damage in the midst would be counted if the file were read.
    try (line(1, 0, "a") + "damage\n" + line(2, 0, "b")).write(
      toFile: scratch.log + ".3", atomically: false, encoding: .utf8)
    try (line(2, 0, "c") + "damage\n" + line(3, 0, "d")).write(
      toFile: scratch.log + ".2", atomically: false, encoding: .utf8)
    try (line(3, 0, "e") + "damage\n" + line(9, 0, "f")).write(
      toFile: scratch.log + ".1", atomically: false, encoding: .utf8)
    try (line(4, 0, "g") + "damage\n" + line(5, 0, "h")).write(toFile: scratch.log, atomically: false, encoding: .utf8)
    func read(since: String? = nil, until: String? = nil) throws -> (String, Int) {
      var names = ""
      var reader = AuditReader(
        path: scratch.log,
        filter: LogFilter(since: since.flatMap { LogTime.parse($0) }, until: until.flatMap { LogTime.parse($0) }))
      try reader.read { names += $0.text(.destination) }
      return (names, reader.badLines)
    }
    #expect(try read() == ("abcdefgh", 4))
    #expect(try read(since: "2026-11-14T12:00:00Z") == ("fh", 2))
    #expect(try read(since: "2026-11-13T00:00:00Z") == ("defgh", 3))
    // What is a day late may stand in the next file.
    #expect(try read(until: "2026-11-11T12:00:00Z") == ("a", 2))
    #expect(try read(since: "2026-11-12T00:00:00Z", until: "2026-11-12T00:00:00Z") == ("bc", 3))
  }

  private func line(_ name: String, filler: Int = 0) -> String {
    let rest = filler > 0 ? ",\"filler\":\"" + String(repeating: "x", count: filler) + "\"" : ""
    return "{\"ts\":\"2026-11-20T09:14:22.481Z\",\"decision\":\"block\",\"destination\":\"\(name)\"\(rest)}\n"
  }

  @Test("a line that is longer than any that is written is damage, even where it is read whole")
  func overlong() throws {
    let scratch = Scratch()
    let text = line("long", filler: LineBlocks.maxLine) + line("short")
    try text.write(toFile: scratch.log, atomically: false, encoding: .utf8)
    var reader = AuditReader(path: scratch.log, filter: LogFilter())
    var names: [String] = []
    try reader.read { names.append($0.text(.destination)) }
    #expect(names == ["short"] && reader.badLines == 1)
  }

  @Test("a piece that is over reads no further block")
  func over() throws {
    let scratch = Scratch()
    let text = (0..<8_000).map { line("n\($0).example.com") }.joined()
    try text.write(toFile: scratch.log, atomically: false, encoding: .utf8)
    var source = try LogPieceReader(try #require(try LogSourceFile(path: scratch.log)))
    var scan = BlockScanner(CompiledFilter(LogFilter()))
    scan.begin(0..<10)
    var found = 0
    let isFirst = try scan.scanBlock(of: &source) { _ in found += 1 }
    let isSecond = try scan.scanBlock(of: &source) { _ in found += 1 }
    #expect(isFirst && !isSecond && found == 1)
  }
}
