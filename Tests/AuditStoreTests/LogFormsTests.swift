import AuditLog
import Foundation
import Testing

@testable import AuditStore

/// What no event has, and what of an event nothing is counted for.
@Suite struct LogFormsTests {
  private static func line(_ members: String) -> LogLine? {
    LogLine(Array("{\"ts\":\"2026-11-20T09:00:00Z\",\(members)}".utf8)[...])
  }

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

  @Test("seconds since 1970 have nothing behind them")
  func epochs() {
    #expect(LogTime.parse("1700000000.5")?.timeIntervalSince1970 == 1_700_000_000.5)
    for text in ["1700000000.5x", "1700000000.5.5", "1700000000x"] { #expect(LogTime.parse(text) == nil) }
  }

  @Test("a number or an escape that JSON has not makes a line no event")
  func values() {
    for value in ["1e5", "1E+5", "1.5e-3", #""\ud83d\ude00""#, #""\n""#] {
      #expect(Self.line("\"destination\":\(value)") != nil, "\(value)")
    }
    for value in ["1e", "1e+", "1E-", "1.", #""\ud83d\nde00""#, #""\ud83dxude00""#, #""\x""#] {
      #expect(Self.line("\"destination\":\(value)") == nil, "\(value)")
    }
  }

  @Test("what has no name is counted for none")
  func nameless() throws {
    var tally = LogTally(by: .destination)
    tally.add(try #require(Self.line("\"destination\":\"\"")))
    tally.add(try #require(Self.line("\"destination\":\"a.example\"")))
    #expect(tally.first(10).map(\.key) == ["a.example"])
  }
}
