import EgressPolicy
import FirewallModel
import Foundation
import Settings
import Testing

@testable import Serving

@Suite("Who the gate is, and whether there is one")
struct GateAccountTests {
  private static let named = "server: a\nnetworks: [ 10.77.1.0/24 ]\negress: [ api.example.com ]\n"

  private func settings(_ lines: String, _ policy: String) throws -> Settings {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-gate-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data(policy.utf8).write(to: folder.appending(path: "policy.yaml"))
    let text =
      "listen: [ 10.77.1.1:53 ]\nupstreams: [ udp://192.0.2.53 ]\npolicies: policy.yaml\nuser: root\n"
      + "audit: { path: audit.jsonl }\n\(lines)\n"
    try Data(text.utf8).write(to: folder.appending(path: "sluice.yaml"))
    let loaded = SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path)
    return try #require(loaded.settings, "\(loaded.diagnostics)")
  }

  @Test("a name with nothing written needs it; where a reload may need it one is started; `address` for all is without")
  func needs() throws {
    func found(_ lines: String, _ policy: String) throws -> [Bool] {
      let settings = try settings(lines, policy)
      return [GateAccount.isNeeded(settings, settings.policies), GateAccount.isWanted(settings)]
    }
    let empty = Self.named.replacing("[ api.example.com ]", with: "[]")
    #expect(try found("", Self.named) == [true, true])
    #expect(try found("", empty) == [false, true])
    #expect(try found("verify: address", Self.named) == [false, false])
    #expect(try found("verify: address", empty + "verify: sni\n") == [false, true])
    #expect(try found("firewall: { mode: sets, table: inet mine }", Self.named) == [false, false])
  }

  @Test("the bridge's envelope has a name said where every rule and every permit has it, whatever the time")
  func envelope() throws {
    func found(_ egress: String, _ lines: String = "", _ keys: String = "") throws -> (checks: Bool, ports: [UInt16]?) {
      let settings = try settings(lines, Self.named.replacing("[ api.example.com ]", with: egress) + keys)
      let envelope = Envelope(settings, zones: nil)
      return (envelope.plan.servers[0].checksNames, envelope.reaches["a"]?.checkedPorts)
    }
    #expect(try found("[ api.example.com ]") == (true, [443]))
    let both = "[ api.example.com, { host: b.example.com, verify: address } ]"
    #expect(try found(both) == (true, []))
    #expect(try found("[ api.example.com ]", "verify: address") == (false, []))
    // What ends leaves nothing that holds for good; what it opens unchecked it opens until then.
    #expect(try found("[ { host: a.example.com, until: 2999-01-01 } ]") == (false, [443]))
    // Ports that only an entry of their own has checked a permit opens unchecked.
    let mail = "[ { host: a.example.com, ports: [ 443/tcp, 993/tcp ], verify: sni } ]"
    #expect(try found(mail) == (true, [443]))
    #expect(try found(mail, "permits: { max: off }") == (true, [443, 993]))
    #expect(try found(mail, "", "verify: address\n") == (true, []))
    #expect(try found("[ { host: a.example.com, ports: any }, b.example.com ]") == (true, []))
  }

  @Test("what keeps it from being is said with what mends it, and only where it is needed")
  func faults() throws {
    let needed = try settings("", Self.named)
    let missing = try #require(GateAccount.fault(needed, named: "nosuchuser"))
    #expect(missing.contains("useradd --system --no-create-home --shell /usr/sbin/nologin nosuchuser"))
    #expect(missing.contains("`verify: address`"))
    #expect(GateAccount.fault(needed, named: "root")?.contains("no other service's, and not root") == true)
    #expect(GateAccount.fault(needed, named: "daemon") == nil)
    let without = try settings("verify: address", Self.named)
    #expect(GateAccount.fault(without, named: "nosuchuser") == nil)
  }
}
