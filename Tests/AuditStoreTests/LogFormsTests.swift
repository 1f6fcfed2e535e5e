import Testing

@testable import AuditStore

/// What no event has.
@Suite struct LogFormsTests {
  @Test(
    "a time in which one mark is another, or behind which something stands, is none",
    arguments: [
      "2026-11 20T09:00:00Z", "2026 11-20T09:00:00Z", "2026-11-20 09:00:00Z", "2026-11-20T09.00:00Z",
      "2026-11-20T09:00.00Z", "2026-11-20T09:00:00+02.00", "2026-11-20T09:00:00 02:00", "2026-11-20T09:00:00ZZ",
      "2026-11-20T09:00:00.Z",
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
      "-", "1.", "1e", "1e+", "1E-", "-e5", #""\ud83d""#, #""\ud83d\nde00""#, #""\ud83dxude00""#, #""\ude00""#,
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
}
