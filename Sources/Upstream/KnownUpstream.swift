import DNSWire
import HTTP2
import TLS

/// A server that is asked, or that may still be heard, and what is known of it.
struct KnownUpstream {
  let server: UpstreamServer
  /// Written once, for each answer to carry.
  let text: String
  /// The zone that it is asked for; nil for a general one.
  let zone: Name?
  var health = ServerHealth()
  var letters = CaseMemory()
  var watch = MismatchWatch()
  var cookie: ServerCookie
  /// Why TLS with it is not used, as it turned out last; nil where TLS is not what is the matter.
  private(set) var fault: TLSFailure?
  /// What was told of it last; nil once something was heard.
  private var toldFault: TLSFailure?
  /// Why what it says by HTTP is no answer; nil once it gave one.
  private(set) var httpFault: HTTPFailure?

  /// - Parameter chance: eight octets, of which its cookie is made.
  init(_ server: UpstreamServer, zone: Name?, chance: UInt64) {
    self.server = server
    self.zone = zone
    text = server.description
    cookie = ServerCookie(chance)
  }

  /// It said something that is an answer, or what is believed of it was read again: what was the matter says nothing any more.
  mutating func forgetFaults() { (fault, toldFault, httpFault) = (nil, nil, nil) }

  /// It could not be reached, which says nothing of TLS with it.
  mutating func forgetFault() { fault = nil }

  /// TLS with it is not used; whether that is to be told.
  mutating func note(_ fault: TLSFailure) -> Bool {
    (httpFault, self.fault) = (nil, fault)
    guard toldFault != fault else { return false }
    toldFault = fault
    return true
  }

  /// What it says by HTTP is no answer; whether that is to be told. TLS with it is as it should be.
  mutating func note(_ fault: HTTPFailure) -> Bool {
    self.fault = nil
    guard httpFault != fault else { return false }
    httpFault = fault
    return true
  }

  /// What an exchange has to know of it.
  ///
  /// - Parameters:
  ///   - place: by which the exchange names it.
  ///   - now: nanoseconds of the monotonic clock.
  func candidate(_ place: Int, _ limits: UpstreamLimits, now: UInt64) -> Exchange.Candidate {
    let isStream = server.scheme == .tcp
    return Exchange.Candidate(
      server: place, wait: health.wait(limits), withEDNS: health.takesEDNS(now: now),
      byStream: isStream || watch.asksByStream(now: now), isMeasuredByStream: isStream, isSecure: server.isSecure,
      isHTTP: server.scheme == .https, proof: health.proof(limits), keepsCase: letters.keepsCase(now: now),
      cookie: cookie.octets(now: now))
  }
}
