import Foundation
import Synchronization

/// An authority for certificates, in a folder of its own that lasts as long as the process. Made by `openssl`.
package final class TestAuthority: Sendable {
  /// A certificate with its key, as files in PEM.
  package struct Identity: Sendable {
    package var certificate: String
    package var key: String
    /// `sha256/…`, of its key.
    package var pin: String
  }

  package struct OpenSSLError: Error {
    package var text: String
  }

  private let folder: URL
  /// Certificates are entered into one list, whose files openssl renames.
  private let register = Mutex(())
  /// The authority's own certificate.
  package var certificate: String { folder.path + "/ca.pem" }

  private static let settings = """
    [ca]
    default_ca=d
    [d]
    database=index.txt
    serial=serial
    new_certs_dir=.
    default_md=sha256
    policy=p
    unique_subject=no
    [p]
    commonName=supplied
    """

  package init() throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "sluice-ca-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    Self.folders.withLock { $0.append(folder) }
    _ = Self.removal
    for (file, text) in [("index.txt", ""), ("serial", "01\n"), ("ca.cnf", Self.settings)] {
      try Data(text.utf8).write(to: folder.appending(path: file))
    }
    _ = try run(
      "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"
    )
  }

  /// Removed when the process ends: certificates are used for longer than their authority.
  private static let folders = Mutex<[URL]>([])
  private static let removal: Void = {
    atexit {
      TestAuthority.folders.withLock { folders in
        for folder in folders { try? FileManager.default.removeItem(at: folder) }
      }
    }
  }()

  /// A certificate for a host name, good from two days ago until in two days unless said otherwise.
  ///
  /// - Parameter days: when it begins and ends, in days from now.
  package func issue(_ name: String, days: ClosedRange<Int> = -2...2) throws -> Identity {
    let file = UUID().uuidString
    try Data("subjectAltName=DNS:\(name)\n".utf8).write(to: folder.appending(path: "\(file).ext"))
    _ = try run(
      "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout \(file).key -out \(file).csr -subj /CN=\(file.prefix(8))"
    )
    _ = try register.withLock { _ in
      try run(
        "ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in \(file).csr -extfile \(file).ext "
          + "-startdate \(Self.date(days.lowerBound)) -enddate \(Self.date(days.upperBound)) -out \(file).pem")
    }
    let path = "\(folder.path)/\(file)"
    _ = try run("x509 -in \(file).pem -noout -pubkey -out \(file).pub")
    _ = try run("pkey -pubin -in \(file).pub -outform der -out \(file).der")
    let digest = try run("dgst -sha256 -binary \(file).der")
    return Identity(certificate: path + ".pem", key: path + ".key", pin: "sha256/" + digest.base64EncodedString())
  }

  private static func date(_ days: Int) -> String {
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.timeZone = TimeZone(secondsFromGMT: 0)
    format.dateFormat = "yyyyMMddHHmmss'Z'"
    return format.string(from: Date().addingTimeInterval(Double(days) * 86_400))
  }

  /// Runs `openssl`; returns what it printed.
  private func run(_ arguments: String) throws -> Data {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/openssl")
    process.arguments = arguments.split(separator: " ").map(String.init)
    process.currentDirectoryURL = folder
    let (output, errors) = (Pipe(), Pipe())
    (process.standardOutput, process.standardError, process.standardInput) = (output, errors, FileHandle.nullDevice)
    try process.run()
    let printed = output.fileHandleForReading.readDataToEndOfFile()
    let complaints = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw OpenSSLError(text: String(decoding: complaints, as: UTF8.self)) }
    return printed
  }
}
