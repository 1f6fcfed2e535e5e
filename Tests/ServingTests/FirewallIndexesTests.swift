import FirewallModel
import Foundation
import Settings
import Testing

@testable import Serving

@Suite struct FirewallIndexesTests {
  private func plan(audit: String = "volume: off", firewall: String = "harvest: 7s") throws -> FirewallPlan {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-plan-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data(
      """
      listen: [ 10.77.1.1:53 ]
      upstreams: [ udp://192.0.2.53 ]
      policies: policy.yaml
      audit: { path: audit.jsonl, \(audit) }
      firewall: { \(firewall) }
      """.utf8
    ).write(to: folder.appending(path: "sluice.yaml"))
    try Data("server: agent\nnetworks: [ 10.77.1.0/24 ]\negress: []\n".utf8)
      .write(to: folder.appending(path: "policy.yaml"))
    let settings = try #require(SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path).settings)
    var indexes = FirewallIndexes()
    indexes.assign(settings.policies)
    return indexes.plan(for: settings.policies, settings)
  }

  @Test func `counters are read only where events of the volume are asked for`() throws {
    #expect(try plan(audit: "volume: off").harvestSeconds == 0)
    #expect(try plan(audit: "volume: 10s").harvestSeconds == 7)
  }

  @Test func `a table that is to be Sluice's alone is so in the plan`() throws {
    #expect(try plan(firewall: "exclusive: on").isExclusive)
    #expect(try !plan().isExclusive)
  }
}
