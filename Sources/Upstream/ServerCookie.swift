/// What one upstream and we show each other in each message (RFC 7873, RFC 9018): who did not see them cannot forge an
/// answer of an upstream that gives them.
///
/// The client's part is chance, another one for each upstream, and tells nothing (P5). Times are nanoseconds and come in.
struct ServerCookie {
  private let client: [UInt8]
  /// As the upstream gave it last; empty before.
  private var server: [UInt8] = []
  private var withoutUntil: UInt64 = 0

  /// - Parameter chance: eight octets of it.
  init(_ chance: UInt64) {
    client = (0..<UpstreamQuery.clientCookieCount).map { UInt8(truncatingIfNeeded: chance >> UInt64(8 * $0)) }
  }

  /// What is sent: the client's part, and the upstream's where it gave one; nothing for a while after it gave none any more.
  func octets(now: UInt64) -> [UInt8] { now < withoutUntil ? [] : client + server }

  /// Whether the upstream gave one.
  var isGiven: Bool { !server.isEmpty }

  /// - Parameter cookie: whole, of an answer with our own part in front.
  mutating func given(_ cookie: [UInt8]) { server = Array(cookie.dropFirst(client.count)) }

  /// It answered without one: others stand for it that give none, or it gives them no more.
  mutating func missed(now: UInt64, _ limits: UpstreamLimits) {
    server = []
    withoutUntil = now + limits.withoutProof * 1_000_000
  }
}
