import ControlAPI
import EgressPolicy
import Foundation
import Glibc
import HostNetwork
import IPNetwork
import Serving
import Settings
import TestSupport
import Testing

@testable import sluice

/// What `doctor` makes of each thing that it is told, one at a time.
@Suite("Parts of doctor")
struct DoctorPartsTests {
  private func inFolder(_ body: (String) throws -> Void) throws {
    let folder = NSTemporaryDirectory() + "sluice-doctor-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  private func settings(_ folder: String, _ lines: String = "") throws -> Settings {
    try Data("server: agent\nnetworks: [ 10.77.1.0/24 ]\negress: []\n".utf8)
      .write(to: URL(filePath: folder + "/policy.yaml"))
    let text = "listen: [ 10.77.1.1:53 ]\nupstreams: [ udp://192.0.2.53 ]\npolicies: policy.yaml\n\(lines)\n"
    try Data(text.utf8).write(to: URL(filePath: folder + "/sluice.yaml"))
    let loaded = SettingsLoader.load(path: folder + "/sluice.yaml")
    return try #require(loaded.settings, "\(loaded.diagnostics)")
  }

  private func kinds(_ findings: [Finding]) -> [FindingKind] { findings.compactMap(\.kind) }

  // MARK: - The host

  @Test(
    "a clock that runs free is a warning, one that is synchronised is well, and of one that nobody tells nothing is said"
  )
  func clock() {
    #expect(HostDiagnosis.clock(0)?.severity == .warning)
    #expect(HostDiagnosis.clock(1)?.severity == .ok)
    #expect(HostDiagnosis.clock(-1) == nil)
  }

  @Test(
    "check asks the running server who shares an address for a person alone: a service manager that runs it would wait for itself"
  )
  func sharedAddresses() throws {
    try inFolder { folder in
      var asked = 0
      let ask = { (_: Settings) -> [ControlAPI.Grant] in
        asked += 1
        return []
      }
      let settings = try settings(folder)
      #expect(SharedAddresses.diagnose(settings, isTerminal: false, grants: ask).isEmpty && asked == 0)
      #expect(SharedAddresses.diagnose(settings, isTerminal: true, grants: ask).isEmpty && asked == 1)
    }
  }

  @Test("without a firewall that is what is said of the machine, and nothing of its tables")
  func firewallOff() throws {
    try inFolder { folder in
      let off = HostDiagnosis.machine(try settings(folder, "firewall: { mode: \"off\" }"))
      #expect(off.contains { $0.text.hasPrefix("firewall.mode is off") } && !off.contains { $0.area == "kernel" })
      let managed = HostDiagnosis.machine(try settings(folder))
      #expect(!managed.contains { $0.text.hasPrefix("firewall.mode is off") })
    }
  }

  @Test("a service that flushes the tables is told of where it would take Sluice's rules, or be refused")
  func nftables() throws {
    try inFolder { root in
      func write(_ path: String, _ text: String) throws {
        try FileManager.default.createDirectory(
          atPath: ((root + path) as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(filePath: root + path))
      }
      func found(_ isExclusive: Bool) -> String? {
        HostDiagnosis.nftables(isExclusive: isExclusive, root: root).first?.text
      }
      let (file, include) = ("/etc/nftables.conf", "include \"\(RememberedRules.folder)/*.nft\"\n")
      let wanted = "/etc/systemd/system/sysinit.target.wants/nftables.service"
      let remembered = "\(RememberedRules.folder)/\(RememberedRules.fileName)"
      for path in [wanted, remembered] { try write(path, "") }
      try write(file, "flush ruleset\n")
      #expect(found(false)?.hasPrefix("a reload of nftables.service takes the rules away") == true)
      #expect(found(true) == nil)
      try write(file, "flush ruleset\n" + include)
      #expect(found(false) == nil)
      #expect(found(true)?.hasPrefix("a reload of nftables.service is refused") == true)
      try write(file, "table inet mine { }\n" + include)
      #expect(found(true) == nil, "it flushes nothing")
      try write(file, "flush ruleset\n")
      for path in [wanted, remembered] {
        try FileManager.default.removeItem(atPath: root + path)
        #expect(found(false) == nil, "without \(path)")
        try write(path, "")
      }
      #expect(found(false) != nil)
    }
  }

  @Test(
    "a folder that is the service's user's is no fault, and another's is one that is named",
    .enabled(if: geteuid() == 0))
  func folders() throws {
    try inFolder { folder in
      let lines = "user: daemon\naudit: { path: log/audit.jsonl }\ncontrol: run/s"
      for part in ["log", "run"] {
        try FileManager.default.createDirectory(atPath: "\(folder)/\(part)", withIntermediateDirectories: false)
      }
      let read = try settings(folder, lines)
      #expect(LogFolder.fault(read)?.contains("is not user daemon's to write") == true)
      #expect(ControlFolder.fault(read)?.contains("is not user daemon's to write") == true)
      for part in ["log", "run"] { _ = unsafe chmod("\(folder)/\(part)", 0o777) }
      #expect(LogFolder.fault(read) == nil && ControlFolder.fault(read) == nil)
    }
  }

  @Test("for a log that cannot be written room is advised where that is short, and else a look at what is in the way")
  func blockedLog() {
    func remedy(_ fault: String?) -> String {
      LogFolder.remedy(
        blocked: ControlAPI.Status.Audit(
          path: "/var/log/sluice/audit.jsonl", blocked: true, blockedFault: fault, records: 0, events: 0, suppressed: 0,
          recovered: 0, corrupt: 0, replaced: 0, pending: 0, room: 1))
    }
    #expect(remedy("No space left on device") == "df -h /var/log/sluice, and make room there")
    #expect(remedy("Disk quota exceeded") == remedy("No space left on device"))
    for fault in ["Input/output error", "Read-only file system", nil] {
      #expect(remedy(fault).contains("findmnt -T /var/log/sluice"), "\(fault ?? "")")
    }
  }

  @Test("in a table of the user's own nothing is enclosed")
  func enclosure() throws {
    try inFolder { folder in
      let managed = try settings(folder)
      let sets = try settings(folder, "firewall: { mode: sets, table: inet filter-mcp }")
      #expect(try EnclosureDiagnosis(managed) != nil)
      #expect(try EnclosureDiagnosis(sets) == nil)
    }
  }

  @Test("rules that nft cannot list are not known, and no rules are something else", .enabled(if: geteuid() == 0))
  func unlisted() throws {
    try inFolder { folder in
      let read = try settings(folder, "firewall: { mode: sets, table: inet filter-mcp }")
      let text = try Unprivileged.perform {
        do {
          _ = try SetsDiagnosis(read)
          return "none"
        } catch {
          return "\(error)"
        }
      }
      #expect(text.contains("nft cannot list the rules"), "\(text)")
    }
  }

  @Test("two servers behind an interface that is no bridge are no neighbours on one")
  func bond() {
    func found(_ kind: String) -> Bool {
      let link = HostNetwork.Interface(index: 5, name: "mcp0", kind: kind, controller: 0)
      return WaysOut(
        serversByInterface: ["mcp0": ["a", "b"]], host: HostNetwork(interfaces: [link]),
        bridgeFilter: WaysOut.BridgeFilter(v4: false, v6: false), flowtables: []
      ).findings.contains { $0.remedy?.contains("a network of its own") == true }
    }
    #expect(found("bridge") && !found("bond"))
  }

  @Test("of rules in a table that is not the user's nothing is said, known or not", .enabled(if: geteuid() == 0))
  func setsMode() throws {
    try inFolder { folder in
      func said(_ mode: String) throws -> [FindingKind] {
        let read = try settings(folder, "firewall: { mode: \(mode) }")
        return try Unprivileged.perform { HostDiagnosis.sets(read).compactMap(\.kind) }
      }
      let found = try ["sets, table: inet filter-mcp", "managed", "\"off\""].map(said)
      #expect(found == [[.forwardUnread], [], []])
    }
  }

  @Test("AF_VSOCK leads where the machine's own CID says, and is asked for it only where it is loaded")
  func vsock() {
    let header = "protocol  size sockets  memory press maxhdr  slab module\n"
    func reach(_ protocols: String, _ cid: UInt32, loopback: Bool = false) -> (VsockReach?, isAsked: Bool) {
      var isAsked = false
      let found = VsockReach(
        protocols: header + protocols,
        localCID: {
          isAsked = true
          return cid
        }, hasLoopback: loopback)
      return (found, isAsked)
    }
    let loaded =
      "UNIX      1024      9      -1   NI       0   yes  kernel\nAF_VSOCK  1392      0      -1   NI       0   no   vsock\n"
    for (cid, expected) in [(0, .hypervisor(0)), (1, .loopback), (2, .machines), (3, .hypervisor(3)), (.max, nil)]
      as [(UInt32, VsockReach?)]
    {
      #expect(reach(loaded, cid) == (expected, true), "\(cid)")
    }
    #expect(reach(loaded, .max, loopback: true) == (.loopback, true))
    #expect(reach(loaded, 3, loopback: true) == (.hypervisor(3), true))
    for other in ["", "UNIX      1024      9      -1   NI       0   yes  AF_VSOCK \n", "AF_VSOCKS 1 0 -1 NI 0 no x\n"] {
      #expect(reach(other, 3) == (nil, false), "\(other)")
      #expect(reach(other, 3, loopback: true) == (.loopback, false), "\(other)")
    }
  }

  // MARK: - Rules of others

  /// Whether a rule with this match drops a packet to port 443; nil where that cannot be told.
  private func drops(_ match: String) throws -> Bool? {
    let parts = [
      #"{"table":{"family":"inet","name":"f","handle":1}}"#,
      #"{"chain":{"family":"inet","table":"f","name":"fwd","handle":1,"type":"filter","hook":"forward","prio":0,"policy":"accept"}}"#,
      #"{"rule":{"family":"inet","table":"f","chain":"fwd","handle":1,"expr":[{"match":\#(match)},{"drop":null}]}}"#,
    ]
    let packet = ForwardTrial.Packet(
      source: try #require(IPAddress("10.77.1.2")), content: .https, interface: nil, outgoing: nil, sets: [],
      isOpen: false)
    let found = ForwardTrial.outcome(
      of: packet, in: try ForwardRuleset(#"{"nftables":[\#(parts.joined(separator: ","))]}"#))
    return found.refusals.isEmpty ? false : found.passes ? nil : true
  }

  @Test("an operator that is not known is not taken for one that is, and neither is a sum of three parts")
  func operators() throws {
    func port(_ operation: String) -> String {
      #"{"op":"\#(operation)","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":443}"#
    }
    #expect(try drops(port("==")) == true && drops(port("!=")) == false && drops(port("<")) == nil)
    func mark(_ parts: String) -> String { #"{"op":"==","left":{"&":[\#(parts)]},"right":1}"# }
    #expect(try drops(mark("3,1")) == true && drops(mark("2,1")) == false)
    #expect(try drops(mark("1")) == nil && drops(mark("3,1,1")) == nil)
  }

  // MARK: - Engines

  private func container(_ change: (inout DockerEngine.Container) -> Void) -> DockerEngine.Container {
    var container = DockerEngine.Container(
      id: "id", name: "/job", program: "sleep", labels: [:], networkMode: "agents", resolvers: ["10.77.1.1"],
      published: [:],
      networks: ["agents": DockerEngine.Endpoint(ipAddress: "10.77.1.2", ipv6Address: "")], volumes: [],
      securityOptions: [], isPrivileged: false, addedCapabilities: [])
    change(&container)
    return container
  }

  private func diagnosis(_ containers: [DockerEngine.Container], _ change: (inout DockerDiagnosis) -> Void = { _ in })
    throws -> DockerDiagnosis
  {
    var found: DockerDiagnosis?
    try inFolder { folder in
      let read = try settings(folder)
      found = DockerDiagnosis(
        engine: DockerEngine(version: "20.10.24", seccompProfile: "default", networks: [], containers: containers),
        settings: read, policy: PolicySnapshot(read.policies))
    }
    var diagnosis = try #require(found)
    change(&diagnosis)
    return diagnosis
  }

  @Test("port 53 is passed on by an engine for a container of its own network, and not for one on the host's")
  func publishedResolver() throws {
    func clients(_ mode: String) throws -> Bool {
      let bindings = [DockerEngine.Binding(hostAddress: "0.0.0.0", hostPort: "53")]
      let job = container { ($0.networkMode, $0.published, $0.networks) = (mode, ["53/udp": bindings], [:]) }
      return try diagnosis([job]).findings.contains { $0.text.contains("53/udp") && $0.severity != .ok }
    }
    #expect(try clients("agents") && !clients("host"))
  }

  @Test("a privileged container has no seccomp profile, whatever it is given")
  func privileged() throws {
    func reaches(_ isPrivileged: Bool) throws -> Bool {
      let closed = #"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}"#
      let job = container { ($0.isPrivileged, $0.securityOptions) = (isPrivileged, ["seccomp=\(closed)"]) }
      return try diagnosis([job]) { $0.vsock = .loopback }.findings.contains {
        $0.area == "vsock" && $0.severity != .ok
      }
    }
    #expect(try reaches(true) && !reaches(false))
  }

  @Test("a rootless engine without a container has nothing that policy could not tell")
  func rootless() throws {
    let none = try diagnosis([]).rootless()
    #expect(none.map(\.severity) == [.ok] && none[0].text.contains("no container runs"))
    #expect(try diagnosis([container { _ in }]).rootless().allSatisfy { !$0.text.contains("no container runs") })
  }

  /// An engine that tells of one container with one volume.
  private func engine(
    _ volume: String, version: (status: Int, body: String) = (200, #"{"Version":"20.10.24"}"#)
  ) throws -> DockerEngine {
    let told =
      #"{"Id":"a","Name":"/job","HostConfig":{"NetworkMode":"agents"},"NetworkSettings":{},"#
      + #""Mounts":[{"Name":"data","Source":"/var/lib/volumes/data","Destination":"/data"}]}"#
    let control = try ScriptedControl([
      "GET /version": version, "GET /info": (200, "{}"), "GET /networks": (200, "[]"),
      "GET /containers/json": (200, #"[{"Id":"a"}]"#), "GET /containers/a/json": (200, told),
      "GET /volumes/data": (200, #"{"Options":\#(volume)}"#),
    ])
    return try DockerEngine(socket: control.socket)
  }

  @Test("a volume that is a folder of the host is that folder; a device, a share or a text is none")
  func volumes() throws {
    for (options, source) in [
      (#"{"type":"none","o":"bind","device":"/run/sluice"}"#, "/run/sluice"),
      (#"{"type":"none","o":"rw","device":"/run/sluice"}"#, nil),
      (#"{"type":"none","device":"/run/sluice"}"#, nil), (#"{"o":"bind","device":"/dev/sda1"}"#, nil),
      (#"{"type":"nfs","o":"bind","device":":/run/sluice"}"#, nil), ("null", nil),
    ] as [(String, String?)] {
      let found = try engine(options).containers.flatMap(\.volumes).map(\.source)
      #expect(found == [source ?? "/var/lib/volumes/data"], "\(options)")
    }
  }

  @Test("an engine that answers with an error is one that cannot be asked")
  func refusing() throws {
    #expect(throws: (any Error).self) { try engine("null", version: (500, #"{"Version":"20.10.24"}"#)) }
    #expect(throws: Never.self) { try engine("null", version: (404, "")) }
  }

  // MARK: - Tables

  @Test("parts of a table that are alike are no difference, and of others the lines are")
  func differences() {
    let part = ["chain a": ["type filter", "drop"]]
    #expect(FirewallDifference.lines(part, part).isEmpty)
    #expect(
      FirewallDifference.lines(part, ["chain a": ["type filter", "accept"], "set b": []])
        == ["@ chain a", "- drop", "+ accept"])
  }

  @Test("tables of which nft cannot list one are not compared; one that is not there has nothing of what is wanted")
  func unlistedTables() throws {
    let table = "table inet sluice {\n\tchain a {\n\t\tdrop\n\t}\n}\n"
    let (listed, refused) = ((Int32(0), table, ""), (Int32(256), "", "Error: Operation not permitted"))
    func lines(_ wanted: FirewallDifference.Listing, _ present: FirewallDifference.Listing) throws -> [String] {
      try FirewallDifference(of: "sluice", wanted: wanted, present: present, hooks: [:]).lines
    }
    func reason(_ wanted: FirewallDifference.Listing, _ present: FirewallDifference.Listing) -> String? {
      do {
        _ = try lines(wanted, present)
        return nil
      } catch {
        return (error as? StartError)?.reason
      }
    }
    #expect(try lines(listed, listed) == [])
    let absent = (Int32(256), "", "Error: No such file or directory\nlist table inet sluice")
    #expect(try lines(listed, absent) == ["- there is no table inet sluice", "@ chain a", "+ drop"])
    #expect(reason(refused, listed) == "nft cannot lay out the wanted table: Error: Operation not permitted")
    #expect(reason(listed, refused) == "nft cannot list the table: Error: Operation not permitted")
  }
}
