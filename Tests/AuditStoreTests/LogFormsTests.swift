import Testing

@testable import AuditStore

/// What no event has.
@Suite struct LogFormsTests {
  @Test(
    "a time in which one mark is another, or behind which something stands, is none",
    arguments: [
      "2026-11 20T09:00:00Z", "2026 11-20T09:00:00Z", "2026-11-20 09:00:00Z", "2026-11-20T09.00:00Z",
      "2026-11-20T09:00.00Z", "2026-11-20T09:00:00+02.00", "2026-11-20T09:00:00 02:00", "2026-11-20T09:00:00ZZ",
      "2026-11-20T09:00:00.Z", "2026-11-20T09:00:00+24:00", "2026-11-20T09:00:00+02:60",
    ])
  func times(text: String) {
    #expect(LogTime.milliseconds(text) == nil)
    #expect(LogTime.milliseconds("2026-11-20T09:00:00+02:00") == LogTime.milliseconds("2026-11-20T07:00:00Z"))
  }

  private static func line(_ member: String) -> [UInt8] {
    Array(#"{"ts":"2026-11-20T09:14:22.481Z","decision":"block","x":\#(member)}"#.utf8)
  }

  @Test("numbers and strings are those of JSON (RFC 8259): no number without its digits, no surrogate without its pair")
  func values() {
    for value in ["0", "-1", "1.5", "1e5", "1E+5", "-0.5e-3", #""\ud83d\ude00""#, #""\n""#, #""de00""#] {
      #expect(LogLine(Self.line(value)[...]) != nil, "\(value)")
    }
    for value in [
      "-", "1.", "1e", "1e+", "1E-", "-e5", #""\ud83d""#, #""\ud83d\nde00""#, #""\ud83d\u0041""#, #""\ud83d\ud83d""#,
      #""\ud83dxude00""#, #""\ude00""#,
      #""\u12""#,
    ] {
      #expect(LogLine(Self.line(value)[...]) == nil, "\(value)")
    }
  }

  @Test("a line is at most as long as any that is written, by itself too")
  func longest() {
    let rest = Self.line(#""""#).count
    for (count, isEvent) in [(LineBlocks.maxLine, true), (LineBlocks.maxLine + 1, false)] {
      let line = Self.line("\"" + String(repeating: "x", count: count - rest) + "\"")
      #expect(line.count == count && (LogLine(line[...]) != nil) == isEvent, "\(count)")
    }
  }

  @Test("an event about nothing that has a name is none of the most frequent names")
  func nameless() throws {
    var tally = LogTally(by: .destination)
    for name in ["", "a.example.com", ""] {
      let text = #"{"ts":"2026-11-20T09:14:22.481Z","decision":"observe","destination":"\#(name)"}"#
      tally.add(try #require(LogLine(Array(text.utf8)[...])))
    }
    #expect(tally.first(10).map(\.key) == ["a.example.com"])
  }

  @Test("what is no UTF-8 is no event: too long for its character, a surrogate, beyond the last one, or broken off")
  func encoding() {
    for (octets, isEvent) in [
      ([0xC3, 0xA4], true), ([0xE2, 0x82, 0xAC], true), ([0xF0, 0x9F, 0x90, 0xBB], true), ([0xE0, 0x80, 0x80], false),
      ([0xED, 0xA0, 0x80], false), ([0xF0, 0x80, 0x80, 0x80], false), ([0xF4, 0x90, 0x80, 0x80], false),
      ([0xC3, 0x28], false),
    ] as [([UInt8], Bool)] {
      let parts = Self.line(#""@""#).split(separator: UInt8(ascii: "@"))
      let line = Array(parts[0] + octets + parts[1])
      #expect((LogLine(line[...]) != nil) == isEvent, "\(octets)")
    }
  }

  @Test("two lines are not one")
  func lines() {
    #expect(LogLine(Self.line("1")[...]) != nil)
    #expect(LogLine((Self.line("1") + [10] + Self.line("1"))[...]) == nil)
  }

  @Test("a count that is none, or too large, is one; an id too short for its run's has none")
  func numbers() throws {
    func line(_ member: String) throws -> LogLine {
      try #require(LogLine(Array(#"{"ts":"2026-11-20T09:14:22.481Z","decision":"block",\#(member)}"#.utf8)[...]))
    }
    for (count, expected) in [
      ("7", 7), ("18446744073709551615", .max), ("18446744073709551616", 1), ("99999999999999999999999999", 1),
      ("-1", 1),
    ] as [(String, UInt64)] {
      #expect(try line(#""count":\#(count)"#).count == expected, "\(count)")
    }
    #expect(try line(#""id":"000000001f-1""#).run == 0x1F)
    #expect(try line(#""id":"000000001f""#).run == nil)
  }

  @Test("what an operator asked in a client's name is none of the most frequent names")
  func operators() throws {
    var tally = LogTally(by: .destination)
    for (name, transport) in [("a.example.com", "udp"), ("b.example.com", "control")] {
      let text =
        #"{"ts":"2026-11-20T09:14:22.481Z","decision":"block","destination":"\#(name)","transport":"\#(transport)"}"#
      tally.add(try #require(LogLine(Array(text.utf8)[...])))
    }
    #expect(tally.first(10).map(\.key) == ["a.example.com"])
  }
}
