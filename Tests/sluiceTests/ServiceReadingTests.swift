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
    try Data("listen: [ 10.77.2.1 ]\nupstreams: [ udp://192.0.2.54 ]\npolicies: policies\nuser: daemon\n".utf8)
      .write(to: configuration)
    try Data("server: a\nnetworks: [ 10.77.2.0/24 ]\negress: []\n".utf8).write(to: policy)
    for path in [configuration.path, policy.path] { _ = unsafe chmod(path, 0o644) }
    for path in [folder.path, policies.path] { _ = unsafe chmod(path, 0o755) }
    let settings = try #require(SettingsLoader.load(path: configuration.path).settings)
    #expect(ServiceReading.faults(settings, configuration.path) == [])

    for (path, mode, remedy) in [
      (policy.path, 0o600, "chmod o+r \(policy.path)"), (policies.path, 0o700, "chmod o+x \(policies.path)"),
      (configuration.path, 0o640, "chmod o+r \(configuration.path)"),
    ] as [(String, mode_t, String)] {
      _ = unsafe chmod(path, mode)
      let found = ServiceReading.faults(settings, configuration.path)
      #expect(found.map(\.remedy) == [remedy])
      #expect(found.first?.text.hasPrefix("user daemon cannot read ") == true)
      #expect(try HostProgram.run(["/bin/sh", "-c", found.first?.remedy ?? "exit 1"], input: "").status == 0)
      #expect(ServiceReading.faults(settings, configuration.path) == [])
    }
  }
}
