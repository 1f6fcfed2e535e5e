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
}
