import Testing

@testable import Serving

/// When it is said that clients ask which no policy knows.
@Suite struct UnknownClientNoticeTests {
  @Test func `the first query is told at once, those behind it together, and nothing without one`() {
    var notice = UnknownClientNotice()
    #expect(notice.text(0, now: 0) == nil)
    #expect(notice.text(1, now: 5)?.hasPrefix("warning: 1 query of clients that no policy knows") == true)
    #expect(notice.text(40, now: 6) == nil)
    #expect(notice.text(41, now: 4 + UnknownClientNotice.pause) == nil)
    #expect(notice.text(41, now: 5 + UnknownClientNotice.pause)?.hasPrefix("warning: 40 queries") == true)
    #expect(notice.text(41, now: 5 + 3 * UnknownClientNotice.pause) == nil)
  }
}
