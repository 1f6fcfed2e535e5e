import AuditStore
import Control
import ControlAPI
import FirewallModel
import Foundation
import Glibc
import LinuxIO
import NFTables
import Settings
import TestSupport
import Testing

@testable import sluice

/// What commands make of this host: the executable itself, in namespaces of its own where it changes or reads the kernel's
/// tables.
@Suite("Commands on a host", .withExecutable, .withTables)
struct HostPlayTests {
  /// A configuration in a folder of its own.
  private final class Place {
    let folder = NSTemporaryDirectory() + "sluice-host-\(UUID().uuidString.prefix(8))"
    let configuration: String

    init(_ lines: String = "", egress: String = "api.example.com", control: String? = nil) throws {
      configuration = folder + "/sluice.yaml"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
      try write("policy.yaml", "server: agent\nnetworks: [ 10.77.1.0/24 ]\negress: [ \(egress) ]\n")
      try write(
        "sluice.yaml",
        """
        listen: [ 10.77.1.1:53 ]
        upstreams: [ { address: "udp://192.0.2.53", insecure: true } ]
        policies: policy.yaml
        audit: { path: audit.jsonl }
        control: \(control ?? "\(folder)/control.sock")
        state: state
        user: root
        \(lines)
        """)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func write(_ name: String, _ text: String) throws {
      try Data(text.utf8).write(to: URL(filePath: "\(folder)/\(name)"))
    }
  }

  private static let sets = "firewall: { mode: sets, table: inet filter-mcp }"
  private static let off = "firewall: { mode: \"off\" }"

  /// The user's table, with an address that is open for a minute and one that is for ever.
  private static let table = """
    nft 'table inet filter-mcp { set agent-4 { type ipv4_addr . inet_proto . inet_service; flags timeout;
      elements = { 192.0.2.9 . tcp . 443 timeout 60s, 192.0.2.8 . tcp . 443 }; }; chain agent { }; }';
    """

  private static func grants(_ addresses: String...) -> [String: (status: Int, body: String)] {
    let grants = addresses.map {
      #"{"server":"agent","address":"\#($0)","protocol":"tcp","port":443,"name":"api.example.com","#
        + #""opened":"2026-11-29T12:00:00.000Z","remaining_ms":50000,"verify":"address"}"#
    }
    return ["GET /v1/grants": (200, #"{"grants":[\#(grants.joined(separator: ","))],"prefixes":[]}"#)]
  }

  // MARK: - Grants

  @Test("a user who may not read the kernel's sets is shown what the running server granted")
  func withoutPrivilege() throws {
    let control = try ScriptedControl(Self.grants("192.0.2.9"))
    let place = try Place(control: control.socket)
    let output = try PlayedCommand.run(withoutCapabilities: ["grants", "list", "--config", place.configuration])
    #expect(output.status == 0 && output.text.contains("192.0.2.9"), "\(output)")
    // Where none runs, that is what is told.
    let prefix = try Place(egress: "{ cidr: 198.51.100.0/24 }")
    let none = try PlayedCommand.run(withoutCapabilities: ["grants", "list", "--config", prefix.configuration])
    #expect(none.status == 1 && none.errors.contains("no sluice is serving there"), "\(none)")
    let kernel = try PlayedCommand.run(
      withoutCapabilities: ["grants", "list", "--kernel", "--config", prefix.configuration])
    #expect(kernel.status == 1 && !kernel.errors.contains("no sluice is serving there"), "\(kernel)")
  }

  @Test("where no address is opened or closed there is no list, and of a table that is not there it is empty")
  func noTable() throws {
    let off = try Place(Self.off)
    let none = try PlayedCommand.run("grants", "list", "--config", off.configuration)
    #expect(none.status == 1 && none.errors.contains("firewall.mode is off"), "\(none)")
    let control = try ScriptedControl(Self.grants("192.0.2.9"))
    let place = try Place(control: control.socket)
    let absent = try PlayedCommand.run(alone: "exec $0 grants list --config \(place.configuration)")
    #expect(absent.status == 0 && absent.lines.count == 1 && absent.text.hasPrefix("SERVER"), "\(absent)")
  }

  @Test("a socket that is named is asked, whatever configuration is installed")
  func namedSocket() throws {
    let control = try ScriptedControl(Self.grants("192.0.2.9"))
    let place = try Place(Self.off)
    let output = try PlayedCommand.run(
      alone: "mkdir /etc/sluice; cp \(place.configuration) /etc/sluice; "
        + "exec $0 grants list --control \(control.socket)")
    #expect(output.status == 0 && output.text.contains("192.0.2.9"), "\(output)")
  }

  @Test("kernel and server are compared, and a difference is a failure")
  func compared() throws {
    func compare(_ addresses: String...) throws -> PlayedCommand.Output {
      let body = Self.grants("192.0.2.9")["GET /v1/grants"]?.body ?? ""
      let others = addresses.isEmpty ? #"{"grants":[],"prefixes":[]}"# : body.replacing("192.0.2.9", with: addresses[0])
      let control = try ScriptedControl(["GET /v1/grants": (200, others)])
      let place = try Place(Self.sets, control: control.socket)
      return try PlayedCommand.run(
        alone: Self.table + "exec $0 grants list --kernel --config \(place.configuration)")
    }
    let same = try compare("192.0.2.9")
    #expect(same.status == 0 && same.text == "no difference: 1 address granted and open\n", "\(same)")
    let strange = try compare()
    #expect(strange.status == 1 && strange.text.contains("open, not granted"), "\(strange)")
    let other = try compare("192.0.2.7")
    #expect(other.status == 1 && other.text.contains("granted, not open"), "\(other)")
  }

  @Test("prefixes of the files are no rules of a table that is the user's, whatever its chains are called")
  func usersChains() throws {
    let place = try Place(Self.sets, egress: "api.example.com, { cidr: 198.51.100.0/24 }")
    let output = try PlayedCommand.run(alone: Self.table + "exec $0 grants list --config \(place.configuration)")
    #expect(output.status == 0 && output.text.contains("192.0.2.9"), "\(output)")
    #expect(!output.text.contains("198.51.100.0/24"), "\(output)")
  }

  // MARK: - Files

  @Test("a configuration that serve would not take is a failure of check, and one that it would is none")
  func check() throws {
    let place = try Place()
    let fine = try PlayedCommand.run("check", "--config", place.configuration)
    #expect(fine.status == 0 && fine.text.hasPrefix("ok: 1 server, 1 name"), "\(fine)")
    try place.write("policy.yaml", "server: agent\nnetworks: [ 10.77.1.0/24 ]\negress: [ 'https://a.example/' ]\n")
    let broken = try PlayedCommand.run("check", "--config", place.configuration)
    #expect(broken.status == 1 && broken.errors.contains("policy.yaml:3:"), "\(broken)")
    let json = try PlayedCommand.run("check", "--json", "--config", place.configuration)
    #expect(json.status == 1 && json.text.hasPrefix(#"{"ok":false"#), "\(json)")
  }

  @Test("the ruleset is that of a table which is Sluice's, and of none other")
  func ruleset() throws {
    let places = [try Place(), try Place(Self.sets)]
    let managed = try PlayedCommand.run("firewall", "print", "--config", places[0].configuration)
    #expect(managed.status == 0 && managed.text.contains("table inet sluice"), "\(managed)")
    let sets = try PlayedCommand.run("firewall", "print", "--config", places[1].configuration)
    #expect(sets.status == 1 && sets.text.isEmpty && sets.errors.contains("not ours to write"), "\(sets)")
  }

  @Test("a table that is not there is a difference, and one that is as wanted is none")
  func difference() throws {
    let place = try Place()
    let absent = try PlayedCommand.run(alone: "exec $0 firewall diff --config \(place.configuration)")
    #expect(absent.status == 1 && absent.text.contains("there is no table inet sluice"), "\(absent)")
    let same = try PlayedCommand.run(
      alone: "$0 firewall print --config \(place.configuration) | nft -f -; "
        + "exec $0 firewall diff --config \(place.configuration)")
    #expect(same.status == 0 && same.text.isEmpty, "\(same)")
    let blind = try PlayedCommand.run(withoutCapabilities: ["firewall", "diff", "--config", place.configuration])
    #expect(blind.status == 1 && blind.errors.contains("nft cannot lay out the wanted table"), "\(blind)")
    let other = try PlayedCommand.run(withoutUser: ["firewall", "diff", "--config", place.configuration])
    #expect(
      other.status == 1 && other.errors == "sluice: firewall diff needs root: it reads the kernel's table", "\(other)")
  }

  @Test("a network that is released while the running server refuses to reload opens when it does")
  func release() throws {
    let control = try ScriptedControl(["POST /v1/reload": (422, #"{"error":"the files have errors"}"#)])
    let place = try Place(control: control.socket)
    try FileManager.default.createDirectory(atPath: place.folder + "/state/bridge", withIntermediateDirectories: true)
    try place.write("state/bridge/networks.sluice", "10.99.0.0/24 gone\n")
    let output = try PlayedCommand.run("firewall", "release", "10.99.0.0/24", "--config", place.configuration)
    #expect(output.status == 1 && output.errors.contains("it refused to: "), "\(output)")
    #expect(control.calls.all == ["POST /v1/reload"])
  }

  // MARK: - Early rules

  @Test("rules at a boot are Sluice's where the table is, and remembered as none where it is not")
  func earlyRules() throws {
    let place = try Place(Self.sets)
    let kept = place.folder + "/remembered"
    let output = try PlayedCommand.run(
      alone: "$0 firewall install --state \(kept) --config \(place.configuration); nft list ruleset")
    #expect(output.status == 0 && output.text.isEmpty && output.errors.contains("not ours to write"), "\(output)")
    #expect(try RememberedRules.read(kept)?.table == nil && RememberedRules.read(kept) != nil)
  }

  @Test("where a running sluice holds the table its rules are in force, and there is nothing to install")
  func held() throws {
    let place = try Place()
    try Kernel.inNamespace {
      let install = ["firewall", "install", "--config", place.configuration]
      let first = try PlayedCommand.run(install)
      #expect(first.status == 0, "\(first)")
      let lock = try TableLock(family: .inet, table: "sluice")
      let second = try PlayedCommand.run(install + ["--state", place.folder + "/remembered"])
      #expect(second.status == 0, "\(second)")
      #expect(second.errors == "sluice: a running sluice holds table inet sluice: its rules are in force", "\(second)")
      _ = consume lock
    }
  }

  @Test("a folder of policies that was emptied opens nothing: the rules are those that were last in force (P7)")
  func emptied() throws {
    let place = try Place()
    let kept = place.folder + "/remembered"
    let install = "$0 firewall install --state \(kept) --config \(place.configuration)"
    try place.write("none.yaml", "")
    let output = try PlayedCommand.run(
      alone: "\(install); nft flush ruleset; cp \(place.folder)/none.yaml \(place.folder)/policy.yaml; \(install); "
        + "nft list table inet sluice")
    #expect(
      output.status == 0 && output.errors.contains("holds no policy at all: table inet sluice is as it was"),
      "\(output)")
    #expect(output.text.contains("10.77.1.0/24"), "\(output)")
    let settings = try #require(SettingsLoader.load(path: place.configuration).settings)
    #expect(throws: (any Error).self) { try EarlyRules.remember(settings, in: kept) }
    #expect(try RememberedRules.read(kept)?.text.contains("10.77.1.0/24") == true)
  }

  // MARK: - Explaining

  @Test("of names at the same address those are told whose caps hold for the name as well, and none without a cap")
  func sharedCaps() throws {
    func explained(_ caps: String) throws -> PlayedCommand.Output {
      let grants = ["api.example.com", "other.example.com"].map {
        #"{"server":"agent","address":"192.0.2.9","protocol":"tcp","port":443,"name":"\#($0)","#
          + #""opened":"2026-11-29T12:00:00.000Z","remaining_ms":50000,"verify":"address"}"#
      }
      let control = try ScriptedControl([
        "GET /v1/status": (200, CommandPlayTests.status), "GET /v1/cache": (200, #"{"entries":[]}"#),
        "GET /v1/grants": (200, #"{"grants":[\#(grants.joined(separator: ","))],"prefixes":[]}"#),
        "GET /v1/permits": (200, #"{"permits":[]}"#),
        "GET /v1/explanation": (200, #"{"decision":"allow","code":"listed"\#(caps)}"#),
      ])
      let place = try Place(control: control.socket)
      return try PlayedCommand.run(
        "explain", "--live", "--json", "--config", place.configuration, "agent", "api.example.com")
    }
    let none = try explained("")
    #expect(none.status == 0 && none.text.contains(#""shared_caps":[]"#), "\(none)")
    let capped = try explained(#","max_bytes":1024"#)
    #expect(capped.status == 0 && capped.text.contains(#""name":"other.example.com""#), "\(capped)")
    #expect(capped.text.contains(#""shared_caps":[{"#), "\(capped)")
  }

  // MARK: - The log

  private func log(_ events: LoggedEvent...) throws -> Place {
    let place = try Place()
    try place.write(
      "audit.jsonl", try events.map { String(decoding: try $0.line.octets, as: UTF8.self) + "\n" }.joined())
    return place
  }

  @Test(
    "a log is counted, and what is asked of a server that is in it, in the policy or the service itself is no mistake")
  func logs() throws {
    let place = try log(
      LoggedEvent(destination: "a.example.com", server: "old"), LoggedEvent(destination: "b.example.com", server: "old")
    )
    let path = place.folder + "/audit.jsonl"
    let count = try PlayedCommand.run("log", "--path", path, "--count")
    #expect(count.status == 0 && count.text == "2\n", "\(count)")
    for server in ["old", "agent", "*"] {
      let output = try PlayedCommand.run("log", "--config", place.configuration, "--server", server)
      #expect(output.status == 0, "\(server): \(output)")
    }
    let mistyped = try PlayedCommand.run("log", "--config", place.configuration, "--server", "agnet")
    #expect(mistyped.status == 1 && mistyped.errors.contains("agent"), "\(mistyped)")
  }

  @Test("a log that is named and not there is a failure; one that has not begun is none")
  func noLog() throws {
    let place = try Place()
    let named = try PlayedCommand.run("log", "--path", place.folder + "/audit.jsonl")
    #expect(named.status == 1 && named.errors.contains("there is no log at"), "\(named)")
    let configured = try PlayedCommand.run("log", "--config", place.configuration)
    #expect(configured.status == 0 && configured.errors.contains("there is no log at"), "\(configured)")
  }

  @Test(
    "changes of the policy are a table for people and events for programs; a time at which nothing ran is a failure")
  func changes() throws {
    let place = try log(
      LoggedEvent(
        destination: "", code: "policy-reloaded", decision: "observe", type: nil, client: nil, server: "*",
        members: #","policy":"0a1b","former":"0000","servers":3,"uid":0,"pid":1,"cause":"files""#))
    let path = place.folder + "/audit.jsonl"
    let table = try PlayedCommand.run("log", "policy", "--path", path)
    #expect(table.status == 0 && table.text.hasPrefix("TIME"), "\(table)")
    let json = try PlayedCommand.run("log", "policy", "--path", path, "--json")
    #expect(json.status == 0 && json.lines.count == 1 && json.text.hasPrefix(#"{"ts":"#), "\(json)")
    let runs = try PlayedCommand.run("log", "runs", "--path", path, "--at", "2026-11-01T00:00:00Z")
    #expect(runs.status == 1 && !runs.text.isEmpty, "\(runs)")
  }

  @Test("what is suggested of a log that is named alone goes by no policy that happens to be installed")
  func suggestions() throws {
    let place = try log(
      LoggedEvent(
        destination: "db.example.com", code: "answer-not-public",
        members: #","upstream":"udp://192.0.2.53:53","addresses":["10.0.5.20"]"#))
    try place.write(
      "policy.yaml",
      "server: agent\nnetworks: [ 10.77.1.0/24 ]\negress: [ { host: db.example.com, ports: [ 5432/tcp ] } ]\n")
    func suggested(_ words: String) throws -> PlayedCommand.Output {
      try PlayedCommand.run(
        alone: "mkdir /etc/sluice; cp \(place.folder)/*.yaml /etc/sluice; "
          + "exec $0 log suggest --server agent --path \(place.folder)/audit.jsonl \(words)")
    }
    let alone = try suggested("")
    #expect(alone.status == 0 && !alone.text.contains("5432/tcp"), "\(alone)")
    let both = try suggested("--config \(place.configuration)")
    #expect(both.status == 0 && both.text.contains("5432/tcp"), "\(both)")
  }

  @Test("a disk without room is told as such, whoever owns the folder, and advice to make room mends it")
  func fullDisk() throws {
    let place = try Place("firewall: { mode: \"off\" }")
    try FileManager.default.createDirectory(atPath: place.folder + "/log", withIntermediateDirectories: false)
    let text = try String(contentsOfFile: place.configuration, encoding: .utf8)
    try place.write("sluice.yaml", text.replacing("path: audit.jsonl", with: "path: log/audit.jsonl"))
    let full =
      "mount -t tmpfs -o size=64k none \(place.folder)/log; head -c 100k /dev/zero >\(place.folder)/log/x || :; "
    let room = "rm \(place.folder)/log/x; "
    let words = "is full: nothing is answered that has to be recorded"
    let remedy = "df -h \(place.folder)/log"
    let check = try PlayedCommand.run(alone: full + "exec $0 check --config \(place.configuration)")
    #expect(check.errors.contains(words) && check.errors.contains(remedy), "\(check)")
    let doctor = try PlayedCommand.run(alone: full + "exec $0 doctor --config \(place.configuration)")
    #expect(doctor.status == 1 && doctor.text.contains(words) && doctor.text.contains(remedy), "\(doctor)")
    #expect(!doctor.text.contains("to write: the log is never rotated"), "\(doctor)")
    let mended = try PlayedCommand.run(alone: full + room + "exec $0 doctor --config \(place.configuration)")
    #expect(!mended.text.contains(words), "\(mended)")
  }

  // MARK: - Doctor

  @Test("findings are words for people and lines for programs, and a serious one is a failure")
  func doctor() throws {
    func doctor(_ place: Place, _ words: String = "") throws -> PlayedCommand.Output {
      try PlayedCommand.run(alone: "exec $0 doctor --config \(place.configuration) \(words)")
    }
    let absent = try Place(Self.off)
    let words = try doctor(absent)
    #expect(words.status == 1 && words.text.contains("serious  server: nobody serves at"), "\(words)")
    #expect(words.text.contains("         mend: "), "\(words)")
    let json = try doctor(absent, "--json")
    #expect(json.status == 1 && json.lines.allSatisfy { $0.hasPrefix("{") && $0.hasSuffix("}") }, "\(json)")
    let control = try ScriptedControl(["GET /v1/status": (200, CommandPlayTests.status)])
    let served = try Place(Self.off, control: control.socket)
    let calm = try doctor(served, "--json")
    #expect(calm.status == 0 && !calm.text.contains(#""severity":"serious""#), "\(calm)")
  }
}
