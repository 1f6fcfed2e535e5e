import Testing

@testable import Upstream

@Suite struct ServerCookieTests {
  private let limits = UpstreamLimits()

  @Test("our part is chance of eight octets, and the upstream's stands behind it once it gave one")
  func octets() {
    var cookie = ServerCookie(0x0807_0605_0403_0201)
    #expect(cookie.octets(now: 0) == Array(1...8))
    cookie.given(Array(1...8) + Array(50...65))
    #expect(cookie.octets(now: 0) == Array(1...8) + Array(50...65))
    cookie.given(Array(1...8) + Array(70...77))
    #expect(cookie.octets(now: 0) == Array(1...8) + Array(70...77), "the newest counts")
  }

  @Test("after an answer without one none is sent for an hour, and then our part alone")
  func missed() {
    var cookie = ServerCookie(0x0807_0605_0403_0201)
    cookie.given(Array(1...8) + Array(50...65))
    let second: UInt64 = 1_000_000_000
    cookie.missed(now: 10 * second, limits)
    #expect(cookie.octets(now: 10 * second) == [] && cookie.octets(now: 3_609 * second) == [])
    #expect(cookie.octets(now: 3_610 * second) == Array(1...8))
  }
}
