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

  /// What is read, where it is there.
  static func files(of settings: Settings) -> [String] {
    let named = settings.upstreams.filter { $0.tlsName != nil }
    return named.compactMap(\.authorities)
      + (named.contains { $0.authorities == nil } ? TLSAuthorities.systemFiles : [])
  }

  /// - Throws: what is wrong with which upstream.
  static func load(_ settings: Settings) throws(UpstreamTrustErrors) -> [UpstreamServer: TLSClient] {
    var clients: [UpstreamServer: TLSClient] = [:]
    var findings: [Diagnostic] = []
    // The system's are many: read once.
    var system: TLSAuthorities?
    for upstream in settings.upstreams where upstream.scheme == .tls {
      do throws(TLSTrustError) {
        if system == nil, upstream.tlsName != nil, upstream.authorities == nil { system = try .system() }
        let authorities = try upstream.authorities.map { path throws(TLSTrustError) in try TLSAuthorities(file: path) }
        clients[UpstreamServer(upstream)] = try TLSClient(
          name: upstream.tlsName, authorities: authorities ?? system, pins: Set(upstream.pins.map(\.octets)))
      } catch {
        findings.append(.error("upstream \(upstream): \(error)", at: settings.upstreamsLocation))
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
    self.init(
      address: upstream.address, port: upstream.port, isSecure: upstream.scheme == .tls, tlsName: upstream.tlsName)
  }
}
