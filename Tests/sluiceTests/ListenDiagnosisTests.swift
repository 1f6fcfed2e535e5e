import Foundation
import IPNetwork
import Settings
import Testing

@testable import sluice

@Suite("What doctor finds out about listen addresses")
struct ListenDiagnosisTests {
  @Test("a network's file that cannot be read is told, and hides no other")
  func unreadNetwork() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-podman-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data("{\"name\": 1}".utf8).write(to: folder.appending(path: "broken.json"))
    try Data("nothing".utf8).write(to: folder.appending(path: "notes.txt"))
    let network = #"{"name": "mcp", "dns_enabled": true, "subnets": [{"gateway": "10.89.0.1"}]}"#
    try Data(network.utf8).write(to: folder.appending(path: "mcp.json"))
    let listen = [ListenAddress(address: try #require(IPAddress("10.89.0.1")), port: 53)]
    let findings = ListenDiagnosis.podman(listen, folder: folder.path)
    #expect(findings.map(\.severity) == [.warning, .serious])
    #expect(findings.first?.text.contains("broken.json") == true)
    #expect(findings.last?.text.contains("network mcp") == true)
  }

  @Test("without a folder nothing is found")
  func noFolder() {
    #expect(ListenDiagnosis.podman([], folder: "/nowhere/at/all") == [])
  }
}
