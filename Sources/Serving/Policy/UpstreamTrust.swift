package import EgressPolicy
package import Settings
import TLS
import Upstream

/// What is believed of the upstreams that are asked by TLS: certificates of authorities and pinned keys, read from their
/// files.
package enum UpstreamTrust {
  /// Every fault of it, as a finding of `check`.
  package static func diagnose(_ settings: Settings) -> [Diagnostic] {
    do throws(UpstreamTrustErrors) {
      _ = try load(settings)
      return []
    } catch {
      return error.findings
    }
  }

  /// What is read, where it is there; the system's store always, for a reload may bring the first upstream that needs it.
  static func files(of settings: Settings) -> [String] {
    upstreams(of: settings).compactMap(\.address.authorities) + TLSAuthorities.systemFiles
  }

  /// All upstreams, those of forwarded zones too, and where they are written.
  private static func upstreams(of settings: Settings) -> [(address: UpstreamAddress, location: SourceLocation)] {
    settings.upstreams.map { ($0, settings.upstreamsLocation) }
      + settings.forwards.flatMap { forward in forward.upstreams.map { ($0, forward.location) } }
  }

  /// - Throws: what is wrong with which upstream.
  static func load(_ settings: Settings) throws(UpstreamTrustErrors) -> [UpstreamServer: TLSClient] {
    var clients: [UpstreamServer: TLSClient] = [:]
    var findings: [Diagnostic] = []
    // The system's are many: read once.
    var system: TLSAuthorities?
    var known: [UpstreamServer: UpstreamAddress] = [:]
    for (upstream, location) in upstreams(of: settings) where upstream.scheme == .tls {
      let former = known.updateValue(upstream, forKey: UpstreamServer(upstream))
      if let former, former.authorities != upstream.authorities || former.pins != upstream.pins {
        findings.append(
          .error("upstream \(upstream) has another `ca` or `pins` elsewhere, expected the same", at: location))
      }
      do throws(TLSTrustError) {
        if system == nil, upstream.tlsName != nil, upstream.authorities == nil { system = try .system() }
        let authorities = try upstream.authorities.map { path throws(TLSTrustError) in try TLSAuthorities(file: path) }
        clients[UpstreamServer(upstream)] = try TLSClient(
          name: upstream.tlsName, authorities: authorities ?? system, pins: Set(upstream.pins.map(\.octets)))
      } catch {
        findings.append(.error("upstream \(upstream): \(error)", at: location))
      }
    }
    guard findings.isEmpty else { throw UpstreamTrustErrors(findings: findings) }
    return clients
  }
}

/// Every fault of what is believed of upstreams.
package struct UpstreamTrustErrors: Error {
  package var findings: [Diagnostic]
}

extension UpstreamServer {
  init(_ upstream: UpstreamAddress) {
    let scheme: Scheme =
      switch upstream.scheme {
      case .udp: .udp
      case .tcp: .tcp
      case .tls: .tls
      }
    self.init(scheme, address: upstream.address, port: upstream.port, tlsName: upstream.tlsName)
  }
}
