import DNSWire
import ResponseCache
import Testing

@testable import Resolver

@Suite struct StaleAnswerTests {
  private static let second: UInt64 = 1_000_000_000
  private static let code: UInt8 = 63

  private func answer(
    code: ResponseCode = .NOERROR, answers: UInt16 = 1, ended: UInt64 = 1_000, granted: UInt64 = .max,
    epoch: UInt64 = 3, cause: UInt8 = 0
  ) -> CachedResponse {
    CachedResponse(
      responseCode: code, answerCount: answers, sections: [1, 2], expires: ended * Self.second,
      grantExpires: granted == .max ? .max : granted * Self.second, epoch: epoch, cause: cause, lead: 7)
  }

  private func stale(_ held: CachedResponse, most: UInt64 = 3_600, at now: UInt64) -> CachedResponse? {
    StaleAnswer.of(held, code: Self.code, most: most * Self.second, now: now * Self.second, epoch: 3)
  }

  @Test("it is given for 30 s, as stale, with what it held")
  func given() throws {
    let given = try #require(stale(answer(), at: 1_001))
    #expect(given.remainingTTL(at: 1_001 * Self.second) == 30 && given.sections == [1, 2])
    #expect(given.extendedError == .staleAnswer && given.cause == Self.code)
  }

  @Test("however often it is given, its time is counted from its end")
  func again() throws {
    var held = answer()
    for now in stride(from: 1_001 as UInt64, through: 1_571, by: 30) {
      held = try #require(stale(held, most: 600, at: now))
    }
    #expect(held.expires / Self.second <= 1_600)
    #expect(stale(held, most: 600, at: 1_602) == nil)
  }

  @Test("it ends with its grant, and is nothing where less than a second is left")
  func granted() {
    #expect(stale(answer(granted: 1_010), at: 1_001)?.expires == 1_010 * Self.second)
    #expect(stale(answer(granted: 1_010), at: 1_010) == nil && stale(answer(granted: 1_002), at: 1_002) == nil)
  }

  @Test("failures, denials, and what another epoch committed are not given")
  func refused() {
    #expect(stale(answer(cause: 9), at: 1_001) == nil)
    #expect(stale(answer(code: .NXDOMAIN, answers: 0), at: 1_001) == nil && stale(answer(answers: 0), at: 1_001) == nil)
    #expect(stale(answer(epoch: 2), at: 1_001) == nil)
    #expect(stale(answer(epoch: CachedResponse.anyEpoch), at: 1_001) != nil)
  }
}
