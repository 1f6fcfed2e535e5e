import NIOSSL

/// Why what certificates are held against cannot be read.
package enum TLSTrustError: Error, Hashable, CustomStringConvertible {
  /// The file is not there, may not be read, or is not PEM.
  case unreadable(String)
  /// The file has no certificate.
  case empty(String)
  /// None of `TLSAuthorities.systemFiles` is there.
  case noSystemStore
  /// Neither a name nor a key to know the server by, or a name that no certificate can carry.
  case nothingToVerify

  package var description: String {
    switch self {
    case .unreadable(let path): "\(path) cannot be read as certificates in PEM"
    case .empty(let path): "\(path) has no certificate"
    case .noSystemStore:
      "this host has no certificates of authorities (\(TLSAuthorities.systemFiles.joined(separator: ", "))): "
        + "install ca-certificates, or name a file by `ca`"
    case .nothingToVerify: "there is nothing to know the server by"
    }
  }
}

/// Those whose signature makes a certificate believed.
package struct TLSAuthorities: Sendable {
  /// Where systems keep them: Debian, Ubuntu, Arch and Alpine; Fedora and its kin.
  package static let systemFiles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"]

  let certificates: [NIOSSLCertificate]

  /// Reads a file in PEM.
  ///
  /// - Throws: `unreadable`, `empty`.
  package init(file path: String) throws(TLSTrustError) {
    do {
      certificates = try NIOSSLCertificate.fromPEMFile(path)
    } catch {
      throw .unreadable(path)
    }
    guard !certificates.isEmpty else { throw .empty(path) }
  }

  /// Reads the system's.
  ///
  /// - Throws: `noSystemStore`.
  package static func system() throws(TLSTrustError) -> TLSAuthorities {
    for path in systemFiles {
      do throws(TLSTrustError) {
        return try TLSAuthorities(file: path)
      } catch {
        continue
      }
    }
    throw .noSystemStore
  }
}
