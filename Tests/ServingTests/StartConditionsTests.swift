import EgressPolicy
import Foundation
import Settings
import Testing

@testable import Serving

/// What `check` finds of this host, without trying it.
@Suite struct StartConditionsTests {
  /// A configuration in a folder of its own, with everything that serve finds in it.
  private final class Place {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-start-\(UUID().uuidString)")

    init() throws {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try write("policy.yaml", "server: agent\nnetworks: [ 10.77.1.0/24 ]\negress: []\n")
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func write(_ name: String, _ text: String) throws {
      try Data(text.utf8).write(to: folder.appending(path: name))
    }

    func make(_ name: String, mode: Int = 0o755) throws {
      try FileManager.default.createDirectory(
        at: folder.appending(path: name), withIntermediateDirectories: true,
        attributes: [.posixPermissions: mode])
      try FileManager.default.setAttributes(
        [.posixPermissions: mode], ofItemAtPath: folder.appending(path: name).path)
    }

    /// What is found with these lines, as `check` prints it, without the folder's own name.
    func findings(_ lines: String, isRoot: Bool = true) throws -> [String] {
      let text = "listen: [ 10.77.1.1:53 ]\nupstreams: [ udp://192.0.2.53 ]\npolicies: policy.yaml\n\(lines)\n"
      try write("sluice.yaml", text)
      let loaded = SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path)
      let settings = try #require(loaded.settings, "\(loaded.diagnostics)")
      return StartConditions.diagnose(settings, isRoot: isRoot).map {
        $0.description.replacing(folder.path + "/", with: "")
      }
    }
  }

  private static let fine = "user: root\nstate: state\naudit: { path: audit.jsonl }\n"

  @Test func `what serve finds or makes itself is no finding`() throws {
    let place = try Place()
    #expect(try place.findings(Self.fine).isEmpty)
    try place.make("state/bridge")
    try place.make("run")
    #expect(try place.findings(Self.fine + "control: run/control.sock").isEmpty)
    #expect(try place.findings(Self.fine + "control: new/control.sock").isEmpty)
  }

  @Test func `a user that is not there is an error for root, who starts serve, and else a warning`() throws {
    let place = try Place()
    let lines = "user: nosuchuser\nstate: state\naudit: { path: audit.jsonl }\n"
    let root = try place.findings(lines)
    #expect(root.count == 1 && root[0].hasPrefix("sluice.yaml:4:7: error: user: there is no user nosuchuser; make it:"))
    let other = try place.findings(lines, isRoot: false)
    #expect(other.count == 1 && other[0].hasPrefix("sluice.yaml:4:7: warning: where root starts serve: user:"))
  }

  @Test func `folders that can neither be used nor made are found where they are named`() throws {
    let place = try Place()
    try place.write("file", "")
    #expect(
      try place.findings("user: root\nstate: no/such\naudit: { path: audit.jsonl }\n") == [
        "sluice.yaml:5:8: error: the folder no/such of `state` and the one above it do not exist, expected one of them"
      ])
    #expect(
      try place.findings("user: root\nstate: file\naudit: { path: audit.jsonl }\n") == [
        "sluice.yaml:5:8: error: file is no folder, expected the folder of `state`"
      ])
    #expect(
      try place.findings(Self.fine + "control: no/such/control.sock") == [
        "sluice.yaml:7:10: error: the folder no/such of the control socket and the one above it do not exist, "
          + "expected one of them"
      ])
    #expect(
      try place.findings(Self.fine + "control: \(String(repeating: "c", count: 120))").count == 1,
      "longer than a socket's path may be")
  }

  @Test func `a part of the state folder that others may write, or that is none, is found`() throws {
    let place = try Place()
    try place.make("state/bridge", mode: 0o777)
    #expect(
      try place.findings(Self.fine) == [
        "sluice.yaml:5:8: error: the state folder state/bridge can be written by others than its owner, "
          + "expected: chmod 755 state/bridge"
      ])
    #expect(try place.findings(Self.fine + "firewall: { mode: off }").isEmpty, "nothing is kept then")
    try FileManager.default.removeItem(at: place.folder.appending(path: "state/bridge"))
    try place.write("state/bridge", "")
    #expect(try place.findings(Self.fine).count == 1)
  }

  @Test func `a file above a folder is found, and a path that cannot be followed says nothing`() throws {
    let place = try Place()
    try place.write("file", "")
    #expect(
      try place.findings("user: root\nstate: file/state\naudit: { path: audit.jsonl }\n") == [
        "sluice.yaml:5:8: error: the folder file/state of `state` and the one above it do not exist, "
          + "expected one of them"
      ])
    try FileManager.default.createSymbolicLink(
      atPath: place.folder.appending(path: "loop").path, withDestinationPath: "loop")
    #expect(try place.findings("user: root\nstate: loop/a/b\naudit: { path: audit.jsonl }\n").isEmpty)
  }

  @Test func `the user nobody, and one that is not there, are none that serve could become`() throws {
    func refusal(_ name: String) -> String? {
      let user = ServiceUser(name: name, location: SourceLocation(file: "", line: 0, column: 0))
      guard case .failure(let error) = Privileges.lookUp(user) else { return nil }
      return error.reason
    }
    #expect(refusal("nobody")?.contains("has the number of nobody") == true)
    #expect(refusal("nosuchuser")?.contains("there is no user") == true)
    #expect(refusal("root") == nil && refusal("daemon") == nil)
  }

  @Test func `a zone file that is gone since the configuration was read is a finding`() throws {
    let place = try Place()
    try place.write("own.zone", "")
    try place.write(
      "sluice.yaml",
      "listen: [ 10.77.1.1:53 ]\nupstreams: [ udp://192.0.2.53 ]\npolicies: policy.yaml\nzones: [ own.zone ]\n"
        + Self.fine)
    let loaded = SettingsLoader.load(path: place.folder.appending(path: "sluice.yaml").path)
    let settings = try #require(loaded.settings, "\(loaded.diagnostics)")
    try FileManager.default.removeItem(at: place.folder.appending(path: "own.zone"))
    let found = ZoneFiles.diagnose(settings).map(\.description)
    #expect(found.count == 1 && found.allSatisfy { $0.contains("cannot read the zone file") }, "\(found)")
  }
}
