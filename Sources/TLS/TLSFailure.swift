/// Why a TLS connection to a server is not used. The raw value is for machines and never changes once released.
package enum TLSFailure: String, Error, Hashable, Sendable, CaseIterable {
  /// No trusted authority stands for the certificate.
  case untrusted = "certificate-untrusted"
  case expired = "certificate-expired"
  case notYetValid = "certificate-not-yet-valid"
  case otherName = "certificate-name"
  /// The certificate's key is none of the pinned ones.
  case otherKey = "certificate-key"
  /// The server has nothing newer than TLS 1.1.
  case oldVersion = "tls-version"
  /// The server chose none of the protocols that it was offered (RFC 7301).
  case otherProtocol = "tls-protocol"
  /// What the server says is not TLS.
  case notTLS = "no-tls"
  /// The server ended the connection within the handshake, or without saying so within TLS.
  case cut = "tls-cut"
  /// Anything else that the two sides do not agree on.
  case handshake = "tls-handshake"

  /// What is the matter, after "upstream X:".
  package var text: String {
    switch self {
    case .untrusted: "its certificate is not from an authority that is trusted"
    case .expired: "its certificate has expired"
    case .notYetValid: "its certificate is not valid yet"
    case .otherName: "its certificate is for another name"
    case .otherKey: "its certificate has another key than those that are pinned"
    case .oldVersion: "it has no TLS 1.2 or newer"
    case .otherProtocol: "it does not speak HTTP/2"
    case .notTLS: "what it says is not TLS"
    case .cut: "it ended the connection in the middle of TLS"
    case .handshake: "the TLS handshake failed"
    }
  }
}
