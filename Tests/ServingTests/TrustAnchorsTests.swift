import DNSWire
import EgressPolicy
import Foundation
import Settings
import TestSupport
import Testing

@testable import Serving

@Suite("Trust anchors")
struct TrustAnchorsTests {
  /// Settings with one file of anchors, which holds `text`.
  private func settings(_ text: String, _ folder: URL) throws -> Settings {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    func write(_ name: String, _ text: String) throws { try Data(text.utf8).write(to: folder.appending(path: name)) }
    try write("root.key", text)
    try write("policy.yaml", "server: mcp\nnetworks: [ 10.77.1.0/24 ]\negress: []\n")
    try write(
      "sluice.yaml",
      "listen: [ \"127.0.0.1:5353\" ]\nupstreams: [ udp://127.0.0.2 ]\npolicies: policy.yaml\naudit: { path: a.jsonl }\n"
        + "trust-anchors: root.key\n")
    return try #require(SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path).settings)
  }

  private func with(_ text: String, _ body: (Settings) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-anchors-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }  // a folder that is left over does no harm
    try body(try settings(text, folder))
  }

  /// The root's of 2017 and 2024, as Debian's package has them.
  private static let root = """
    . IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
    . IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16

    """

  @Test("DS and DNSKEY records are read, as many as there are, with comments and for any zone")
  func read() throws {
    try with(
      "; the root's keys\n" + Self.root + "corp.example. IN DS 1 13 2 " + String(repeating: "AB", count: 32) + "\n"
    ) {
      let anchors = try TrustAnchors.load($0)
      #expect(anchors[.root]?.count == 2)
      #expect(anchors.keys.sorted().map(\.description) == [".", "corp.example"])
      #expect(TrustAnchors.diagnose($0).isEmpty)
    }
    let zone = try Kernel.run("cd $(mktemp -d) && cat $(ldns-keygen -r /dev/urandom -a ECDSAP256SHA256 -k example).*")
      .split(
        separator: "\n")
    let (ds, key) = (
      try #require(zone.first { $0.contains("DS\t") }), try #require(zone.first { $0.contains("DNSKEY") })
    )
    try with("\(ds)\n\(key)\n") {
      let signers = try #require(try TrustAnchors.load($0)[try Name(hostname: "example")])
      #expect(signers.count == 2 && Set(signers).count == 1, "the key's own digest is what the DS says")
    }
  }

  @Test(
    "what is no key that signs is an error with its line",
    arguments: [
      ("; nothing\n", "root.key holds no record"),
      (". IN A 192.0.2.1\n", "root.key:1:1: error: A is no key that signs"),
      (root + ". IN DS 1 13 2 ABCD\n", "root.key:3:1: error: DS is no key that signs"),
      (
        root + ". IN DS 1 200 2 " + String(repeating: "AB", count: 32) + "\n",
        "root.key:3:1: error: DS is no key that signs"
      ),
      (". IN DS x\n", "root.key:1:1: error"),
    ])
  func refused(text: String, expected: String) throws {
    try with(text) {
      let findings = TrustAnchors.diagnose($0).map(\.description)
      #expect(findings.first?.contains(expected) == true, "\(findings)")
    }
  }
}
