import DNSWire
import EgressPolicy
import FirewallModel
import Foundation
import IPNetwork
import Resolver
import ResponseCache
import Settings
import Testing
import Zones

@testable import Serving

@Suite("Addresses of an answer")
struct RecordedAddressTests {
  /// A record's octets from its type on: type, class, TTL, the length of the data and the data.
  private static func record(_ type: UInt8, _ data: [UInt8], length: Int? = nil) -> [UInt8] {
    [0, type, 0, 1, 0, 0, 0, 60, 0, UInt8(length ?? data.count)] + data
  }

  private func addresses(_ sections: [UInt8], _ offsets: [UInt16] = [4]) -> [String] {
    CachedResponse(responseCode: .NOERROR, sections: sections, ttlOffsets: offsets, expires: 1).addresses
      .map(\.description)
  }

  @Test("they are those of its A and AAAA records, each whole and within the sections")
  func bounds() {
    let address: [UInt8] = [192, 0, 2, 1]
    #expect(addresses(Self.record(1, address)) == ["192.0.2.1"])
    #expect(addresses(Self.record(28, Array(repeating: 0, count: 15) + [1])) == ["::1"])
    #expect(addresses(Self.record(16, address)).isEmpty, "text of four octets")
    #expect(addresses(Self.record(1, address, length: 5)).isEmpty)
    for offset in [0, 3, 9, 1_000] as [UInt16] { #expect(addresses(Self.record(1, address), [offset]).isEmpty) }
    #expect(addresses(Array(Self.record(1, address).prefix(9))).isEmpty)
    #expect(addresses([]).isEmpty)
  }

  @Test("a server of which the bridge told no sets has those that its plan gives it")
  func sets() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-sets-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data("listen: [ 10.77.1.1:53 ]\nupstreams: [ udp://192.0.2.53 ]\npolicies: policy.yaml\n".utf8)
      .write(to: folder.appending(path: "sluice.yaml"))
    let policies = ["a", "b"].enumerated().map {
      "server: \($1)\nnetworks: [ 10.77.\($0 + 1).0/24 ]\negress: []\n"
    }
    try Data(policies.joined(separator: "---\n").utf8).write(to: folder.appending(path: "policy.yaml"))
    let loaded = SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path)
    let settings = try #require(loaded.settings, "\(loaded.diagnostics)")
    var indexes = FirewallIndexes()
    indexes.assign(settings.policies)
    let factory = SnapshotFactory(settings, zones: try LocalZones(files: LocalZones.shippedFiles))
    let servers = factory.snapshot(of: settings.policies, indexes: indexes, sets: [[.v4, .plain4]]).servers
    #expect(servers.map(\.opensIPv6) == [false, true])
    #expect(servers.map(\.plainFamilies) == [[.v4], []])
  }
}
