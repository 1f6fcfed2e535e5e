package import EgressPolicy
package import Settings
import TLS
import Upstream

/// What is believed of the upstreams that are asked by TLS: certificates of authorities and pinned keys, read from their
/// files.
package enum UpstreamTrust {
  /// Every fault of it, as a finding of `check`.
  package static func diagnose(_ settings: Settings) -> [Diagnostic] {
    FileErrors.findings { () throws(FileErrors) in try load(settings) }
  }

  /// The files that upstreams name for themselves.
  package static func authorities(of settings: Settings) -> [String] {
    upstreams(of: settings, settings.upstreams).compactMap(\.address.authorities)
  }

  /// What is read, where it is there; the system's store always, for a reload may bring the first upstream that needs it.
  static func files(of settings: Settings) -> [String] {
    authorities(of: settings) + TLSAuthorities.systemFiles
  }

  /// All upstreams, those of forwarded zones too, and where they are written.
  private static func upstreams(
    of settings: Settings, _ general: [UpstreamAddress]
  ) -> [(address: UpstreamAddress, location: SourceLocation)] {
    general.map { ($0, settings.upstreamsLocation) }
      + settings.forwards.flatMap { forward in forward.upstreams.map { ($0, forward.location) } }
  }

  /// - Parameter asked: the general upstreams that serve asks, which a reload leaves as they are; those of the settings where
  ///   it starts.
  /// - Throws: what is wrong with which upstream.
  static func load(
    _ settings: Settings, asked: [UpstreamAddress]? = nil
  ) throws(FileErrors) -> [UpstreamServer: TLSClient] {
    let kept = asked.map { Set($0.map(\.description)) }
    let general = settings.upstreams.filter { kept?.contains($0.description) ?? true }
    var clients: [UpstreamServer: TLSClient] = [:]
    var findings: [Diagnostic] = []
    // The system's are many: read once.
    var system: TLSAuthorities?
    var known: [UpstreamServer: UpstreamAddress] = [:]
    for (upstream, location) in upstreams(of: settings, general) where upstream.scheme.isEncrypted {
      let former = known.updateValue(upstream, forKey: UpstreamServer(upstream))
      if let former, former.authorities != upstream.authorities || former.pins != upstream.pins {
        findings.append(
          .error("upstream \(upstream) has another `ca` or `pins` elsewhere, expected the same", at: location))
      }
      do throws(TLSTrustError) {
        if system == nil, upstream.tlsName != nil, upstream.authorities == nil { system = try .system() }
        let authorities = try upstream.authorities.map { path throws(TLSTrustError) in try TLSAuthorities(file: path) }
        clients[UpstreamServer(upstream)] = try TLSClient(
          name: upstream.tlsName, authorities: authorities ?? system, pins: Set(upstream.pins.map(\.octets)),
          protocols: upstream.scheme == .https ? UpstreamServer.httpProtocols : [])
      } catch {
        let barrier = if case .unreadable(let path) = error { ReadingBarrier(path)?.text } else { nil as String? }
        findings.append(.error("upstream \(upstream): \(barrier ?? error.description)", at: location))
      }
    }
    guard findings.isEmpty else { throw FileErrors(findings: findings) }
    return clients
  }
}

extension UpstreamServer {
  init(_ upstream: UpstreamAddress) {
    let scheme: Scheme =
      switch upstream.scheme {
      case .udp: .udp
      case .tcp: .tcp
      case .tls: .tls
      case .https: .https
      }
    self.init(scheme, address: upstream.address, port: upstream.port, tlsName: upstream.tlsName, path: upstream.path)
  }
}
