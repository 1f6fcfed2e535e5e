import Foundation
import TestSupport
import Testing

@testable import EgressPolicy

@Suite struct PolicyTimeTests {
  @Test(
    "RFC 3339 times and dates are read",
    arguments: [
      ("1970-01-01", 0), ("1970-01-01T00:00:00Z", 0), ("2026-12-31", 1_798_675_200),
      ("2026-12-31T18:00:00Z", 1_798_740_000), ("2026-12-31t18:00:00.999z", 1_798_740_000),
      ("2026-12-31T18:00:00+01:00", 1_798_736_400), ("2026-12-31T18:00:00-01:30", 1_798_745_400),
      ("2024-02-29", 1_709_164_800), ("2000-02-29", 951_782_400), ("9999-12-31T23:59:59Z", 253_402_300_799),
      ("1970-01-01T00:00:00-23:59", 86_340),
    ] as [(String, UInt64)])
  func read(text: String, seconds: UInt64) {
    #expect(PolicyTime.parse(text) == seconds)
  }

  @Test(
    "anything else is refused",
    arguments: [
      "", "2026", "2026-1-1", "2026-13-01", "2026-00-01", "2026-01-00", "2026-01-32", "2026-02-29", "2100-02-29",
      "2026-04-31", "1969-12-31", "2026-12-31T", "2026-12-31T18:00Z", "2026-12-31T18:00:00", "2026-12-31 18:00:00Z",
      "2026-12-31T24:00:00Z", "2026-12-31T23:60:00Z", "2026-12-31T23:59:60Z", "2026-12-31T18:00:00.Z",
      "2026-12-31T18:00:00+0100", "2026-12-31T18:00:00+24:00", "2026-12-31T18:00:00+01:60", "2026-12-31Z",
      "2026-12-31T18:00:00Z ", " 2026-12-31", "+026-12-31", "2026-12-3x", "tomorrow", "20261231", "202612-31",
      "2026-1231",
      "2026-12-3118:00:00Z", "2026-12-31T1800:00Z", "2026-12-31T18:0000Z", "2026-12-31T18:00:0001:00",
      "1970-01-01T00:00:00+00:01",
      "２０２６-12-31",
    ])
  func refused(text: String) {
    #expect(PolicyTime.parse(text) == nil)
  }

  @Test("a time is written so that it is read as itself, as Foundation writes it")
  func roundTrip() {
    var random = SeededRandom(seed: 4)
    for _ in 0..<2000 {
      let seconds = UInt64.random(in: 0...253_402_300_799, using: &random)
      let text = PolicyTime.text(seconds)
      #expect(PolicyTime.parse(text) == seconds)
      #expect(text == Date(timeIntervalSince1970: Double(seconds)).ISO8601Format())
    }
  }
}
