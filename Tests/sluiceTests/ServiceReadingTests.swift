import Foundation
import Glibc
import Settings
import Testing

@testable import sluice

/// Files that root reads, and the service's user does not.
@Suite(.enabled(if: geteuid() == 0, "needs root"))
struct ServiceReadingTests {
  @Test func `what keeps the service from a file is found, and the command that is advised mends it`() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-reading-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let policies = folder.appending(path: "policies")
    try FileManager.default.createDirectory(at: policies, withIntermediateDirectories: true)
    let (configuration, policy) = (folder.appending(path: "sluice.yaml"), policies.appending(path: "a.yaml"))
    let secure = "{ address: \"tls://192.0.2.53#dns.example.net\", ca: authorities/ca.pem }"
    try Data("listen: [ 10.77.2.1 ]\nupstreams: [ \(secure) ]\npolicies: policies\nuser: daemon\n".utf8)
      .write(to: configuration)
    let authorities = folder.appending(path: "authorities")
    try FileManager.default.createDirectory(at: authorities, withIntermediateDirectories: true)
    let authority = authorities.appending(path: "ca.pem")
    try Data().write(to: authority)
    try Data("server: a\nnetworks: [ 10.77.2.0/24 ]\negress: []\n".utf8).write(to: policy)
    for path in [configuration.path, policy.path, authority.path] { _ = unsafe chmod(path, 0o644) }
    for path in [folder.path, policies.path, authorities.path] { _ = unsafe chmod(path, 0o755) }
    let settings = try #require(SettingsLoader.load(path: configuration.path).settings)
    #expect(ServiceReading.faults(settings, configuration.path) == [])

    func own(_ path: String, _ mode: String) -> String { "chgrp daemon \(path) && chmod g=\(mode) \(path)" }
    let (root, disk): (gid_t, gid_t) = (0, 6)
    for (path, group, mode, remedy) in [
      (policy.path, root, 0o600, own(policy.path, "r")), (policies.path, root, 0o700, own(policies.path, "rx")),
      (policies.path, root, 0o711, own(policies.path, "rx")),
      (authorities.path, root, 0o770, own(authorities.path, "x")),
      (authority.path, disk, 0o640, "chmod o+r \(authority.path)"),
      (configuration.path, root, 0o640, own(configuration.path, "r")),
    ] as [(String, gid_t, mode_t, String)] {
      _ = unsafe chown(path, 0, group)
      _ = unsafe chmod(path, mode)
      let found = ServiceReading.faults(settings, configuration.path)
      #expect(found.map(\.remedy) == [remedy])
      #expect(found.first?.text.hasPrefix("user daemon cannot read ") == true)
      #expect(try HostProgram.run(["/bin/sh", "-c", found.first?.remedy ?? "exit 1"], input: "").status == 0)
      #expect(ServiceReading.faults(settings, configuration.path) == [])
    }
  }
}
