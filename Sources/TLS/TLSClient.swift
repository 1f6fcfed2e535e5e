import LDNS
import NIOCore
import NIOSSL

/// Whom connections to a server believe, and what of TLS they take: read once, and used by every connection.
///
/// TLS 1.2 at least. A server is known by its name, for which a trusted authority must stand, by the key of its
/// certificate, or by both (RFC 8310 section 8): what is given must hold.
package final class TLSClient: Sendable {
  private let context: NIOSSLContext
  private let name: String?
  private let pins: Set<[UInt8]>
  private let protocols: [String]

  /// - Parameters:
  ///   - name: a host name that the certificate must be for; without one only the pins decide.
  ///   - authorities: those who may stand for the name.
  ///   - pins: SHA-256 of keys, as SubjectPublicKeyInfo (RFC 7469 section 2.4); the certificate must have one of them
  ///     unless there are none.
  ///   - protocols: those of which the server must choose one (RFC 7301); with none nothing is said of it.
  /// - Throws: `nothingToVerify` without name and pins, or for a name that cannot be one.
  package init(
    name: String?, authorities: TLSAuthorities?, pins: Set<[UInt8]>, protocols: [String] = []
  ) throws(TLSTrustError) {
    guard name != nil || !pins.isEmpty else { throw .nothingToVerify }
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.minimumTLSVersion = .tlsv12
    configuration.certificateVerification = name == nil ? .noHostnameVerification : .fullVerification
    configuration.trustRoots = .certificates(authorities?.certificates ?? [])
    configuration.applicationProtocols = protocols
    do {
      context = try NIOSSLContext(configuration: configuration)
    } catch {
      throw .nothingToVerify
    }
    (self.name, self.pins, self.protocols) = (name, pins, protocols)
    _ = try makeHandler()
  }

  /// TLS of one connection.
  func makeHandler() throws(TLSTrustError) -> NIOSSLClientHandler {
    do {
      if let name { return try NIOSSLClientHandler(context: context, serverHostname: name) }
      return try NIOSSLClientHandler(context: context, serverHostname: nil) { [self] chain, verdict in
        verdict.succeed(chain.first.map(hasPinnedKey) == true ? .certificateVerified : .failed)
      }
    } catch {
      throw .nothingToVerify
    }
  }

  /// Whether a server is known by nothing but its key.
  var goesByKeyAlone: Bool { name == nil }

  /// Whether a certificate that was found good has one of the keys that are pinned, if any are.
  func accepts(_ certificate: NIOSSLCertificate?) -> Bool {
    pins.isEmpty || certificate.map(hasPinnedKey) == true
  }

  /// Whether a protocol that the server chose is one that it was offered; none where none was offered.
  func accepts(_ chosen: String?) -> Bool { chosen.map(protocols.contains) ?? protocols.isEmpty }

  private func hasPinnedKey(_ certificate: NIOSSLCertificate) -> Bool {
    do {
      return pins.contains(SHA256.digest(of: try certificate.extractPublicKey().toSPKIBytes()))
    } catch {
      return false
    }
  }
}
