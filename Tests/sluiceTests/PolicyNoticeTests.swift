import Foundation
import Settings
import Testing

@testable import sluice

@Suite("What is said where files are not in force")
struct PolicyNoticeTests {
  @Test("a policy that the files do not hold is told, with the command that changes it")
  func notice() {
    #expect(PolicyNotice.text(running: "a", "a") == nil)
    #expect(PolicyNotice.text(running: "a", "b")?.contains("another policy in force, a: `sluice reload`") == true)
  }

  @Test(
    "the server is asked for a person alone: where a service manager runs `check` before it, it would be waited for")
  func onlyForPeople() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-notice-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data("listen: [ 10.77.2.1 ]\nupstreams: [ udp://192.0.2.54 ]\npolicies: policy.yaml\n".utf8)
      .write(to: folder.appending(path: "sluice.yaml"))
    try Data("server: github-mcp\nnetworks: [ 10.77.2.0/24 ]\negress: []\n".utf8)
      .write(to: folder.appending(path: "policy.yaml"))
    let settings = try #require(SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path).settings)
    var asked = 0
    let running: () -> String? = {
      asked += 1
      return "another"
    }
    #expect(PolicyNotice.text(settings, isTerminal: false, running: running) == nil && asked == 0)
    #expect(PolicyNotice.text(settings, isTerminal: true, running: running) != nil && asked == 1)
  }
}
