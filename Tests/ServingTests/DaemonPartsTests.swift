import AuditLog
import ControlAPI
import DNSWire
import EgressPolicy
import Foundation
import Glibc
import IPNetwork
import LinuxIO
import Resolver
import Settings
import Synchronization
import TestSupport
import Testing
import Zones

@testable import Serving

/// Small parts of the daemon, each alone.
@Suite("Parts of the daemon")
struct DaemonPartsTests {
  private func inFolder(_ body: (String) throws -> Void) throws {
    let folder = NSTemporaryDirectory() + "sluice-parts-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  @Test("what comes of an event is handled when everything else that came of it is done, in order")
  func machineEvents() {
    let events = MachineEvents<Int>()
    var (begun, ended): ([Int], [Int]) = ([], [])
    func handle(_ event: Int) {
      begun.append(event)
      if event < 3 {
        events.add(event * 10, handle)
        events.add(event * 10 + 1, handle)
      }
      ended.append(event)
    }
    events.add(1, handle)
    #expect(begun == [1, 10, 11] && ended == begun)
    events.add(2, handle)
    #expect(begun == [1, 10, 11, 2, 20, 21] && ended == begun)
  }

  @Test("what is not so in time is a reason not to start, and what is so in time is none (P7)")
  func waiting() throws {
    let reactor = try Reactor()
    #expect(throws: StartError.self) { try reactor.run(within: 1, "late") { false } }
    var isSo = false
    _ = reactor.schedule(at: .now()) {
      isSo = true
      reactor.stop()
    }
    try reactor.run(within: 60_000, "late") { isSo }
  }

  @Test("serve becomes no user that is root by another name, nor that of nobody (P7)")
  func accounts() {
    func isTaken(_ number: UInt32, _ name: String) -> Bool {
      (try? Privileges.check(Privileges.Account(user: number, group: 1), named: name).get()) != nil
    }
    #expect(isTaken(0, "root") && isTaken(998, "sluice"))
    #expect(!isTaken(0, "toor") && !isTaken(65_534, "nobody") && !isTaken(65_534, "root"))
  }

  @Test("a journal that cannot be its owner's is none: the next run would not read it")
  func journalOwner() throws {
    try inFolder { folder in
      let call = try Unprivileged.perform {
        do throws(SystemError) {
          _ = try GrantJournal(path: folder + "/grants", entries: [], owner: (54_321, 54_321))
          return ""
        } catch {
          return "\(error)"
        }
      }
      #expect(call.contains("fchown"))
    }
  }

  @Test("what changed nothing says nothing, key by key")
  func differences() {
    var none = AuditMembers()
    none.append(PolicyDifference(from: [], to: []), nil)
    let text = String(decoding: none.octets, as: UTF8.self)
    #expect(text == #","names_added":0,"names_removed":0"#)
  }

  // MARK: - The host

  private func settings(_ folder: String, _ egress: String, _ more: String) throws -> Settings {
    try Data("server: agent\nnetworks: [ 10.77.1.0/24 ]\negress: [ \(egress) ]\n".utf8)
      .write(to: URL(filePath: folder + "/policy.yaml"))
    try Data("listen: [ 10.77.1.1:53 ]\nupstreams: [ udp://192.0.2.53 ]\npolicies: policy.yaml\n\(more)\n".utf8)
      .write(to: URL(filePath: folder + "/sluice.yaml"))
    let loaded = SettingsLoader.load(path: folder + "/sluice.yaml")
    return try #require(loaded.settings, "\(loaded.diagnostics)")
  }

  @Test("a prefix that holds an address of this host is warned about where a fence is around it")
  func entries() throws {
    try inFolder { folder in
      func count(_ more: String) throws -> Int {
        HostAddresses.diagnoseEntries(try settings(folder, "{ cidr: 127.0.0.0/8 }", more)).count
      }
      let counts = [
        try count(""), try count("firewall: { input-fence: off }"),
        try count("firewall: { mode: sets, table: inet filter-mcp }"),
      ]
      #expect(counts == [1, 0, 0])
    }
  }

  // MARK: - Files

  private final class Count {
    var value = 0
  }

  /// How often a change was told a second after a file was written.
  private func changes(_ folder: String, writing name: String) throws -> Int {
    let (clock, count) = (ManualClock(), Count())
    let reactor = try Reactor(clocks: clock.clocks)
    let watcher = try PolicyWatcher([folder], reactor: reactor) { count.value += 1 }
    try Data("a".utf8).write(to: URL(filePath: "\(folder)/\(name)"))
    // The kernel has told of it when the writing is done.
    reactor.turn()
    clock.pass(nanoseconds: ManualClock.second)
    reactor.turn()
    return withExtendedLifetime(watcher) { count.value }
  }

  @Test("a change of a policy is a change, and one of the log beside it is none")
  func watching() throws {
    try inFolder { folder in
      let counts = [try changes(folder, writing: "a.yaml"), try changes(folder, writing: "audit.jsonl")]
      #expect(counts == [1, 0])
    }
  }

  // MARK: - Explaining

  @Test("of a name that never leaves this host no types are told, whatever lists it")
  func localNames() throws {
    let location = SourceLocation(file: "policy.yaml", line: 1, column: 1)
    let rule = EgressRule(pattern: try NamePattern("1.2.0.192.in-addr.arpa"), types: [.PTR], location: location)
    let policy = ServerPolicy(
      name: try ServerName("agent"),
      networks: [ServerNetwork(prefix: try #require(IPPrefix("10.77.1.0/24")), location: location)],
      rules: RuleList([rule]), location: location)
    let rules = ResolverRules(
      sinkhole: .nxdomain, sinkholeTTL: 5, unknownClients: .nxdomain, allowedEvents: .grants, opensFirewall: true,
      opensIPv6: true, maxTTL: 3600, maxNegativeTTL: 300)
    let explainer = Explainer(
      PolicySnapshot([policy]), try LocalZones(files: LocalZones.shippedFiles), rules, ExplainedHost(mode: .managed),
      now: 0)
    let found = explainer.explain(try Name(presentation: "1.2.0.192.in-addr.arpa"), .PTR, of: 0)
    #expect(found.decision == .local && found.types == nil, "\(found)")
  }
}
