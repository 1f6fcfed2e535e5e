import EgressPolicy
import Foundation
import HostNetwork
import IPNetwork
import Settings
import Testing

@testable import sluice

/// What `doctor` takes rules, profiles and paths for.
@Suite("What doctor reads")
struct DoctorGuardTests {
  // MARK: - Rules of others

  private static func rule(_ chain: String, _ statements: String) -> String {
    #"{"rule":{"family":"inet","table":"f","chain":"\#(chain)","handle":1,"expr":[\#(statements)]}}"#
  }

  private static func chain(_ name: String, hook: Bool = false, policy: String = "accept") -> String {
    let base = hook ? #","type":"filter","hook":"forward","prio":0,"policy":"\#(policy)""# : ""
    return #"{"chain":{"family":"inet","table":"f","name":"\#(name)","handle":1\#(base)}}"#
  }

  /// What becomes of a packet of 10.77.1.2 to port 443.
  private func outcome(_ parts: [String], content: ForwardTrial.Content = .https) throws -> ForwardTrial.Outcome {
    let table = #"{"table":{"family":"inet","name":"f","handle":1}}"#
    let listing = #"{"nftables":[\#(([table] + parts).joined(separator: ","))]}"#
    let packet = ForwardTrial.Packet(
      source: try #require(IPAddress("10.77.1.2")), content: content, interface: nil, outgoing: nil, sets: [],
      isOpen: false)
    return ForwardTrial.outcome(of: packet, in: try ForwardRuleset(listing))
  }

  private static func match(_ layer: String, _ field: String, _ right: String) -> String {
    #"{"match":{"op":"==","left":{"payload":{"protocol":"\#(layer)","field":"\#(field)"}},"right":\#(right)}}"#
  }

  private static let drop = #"{"drop":null}"#
  private static let accept = #"{"accept":null}"#

  /// Whether a rule that drops what matches refuses the packet, and whether that can be told.
  private func isRefused(by match: String, content: ForwardTrial.Content = .https) throws -> Bool? {
    let outcome = try outcome(
      [Self.chain("fwd", hook: true), Self.rule("fwd", "\(match),\(Self.drop)")], content: content)
    if outcome.refusals.isEmpty { return false }
    return outcome.passes ? nil : true
  }

  @Test("a chain that jumps goes on behind the jump, one that goes to another does not")
  func jumps() throws {
    for (kind, passes) in [("jump", false), ("goto", true)] {
      let parts = [
        Self.chain("fwd", hook: true), Self.chain("own"),
        Self.rule("fwd", #"{"\#(kind)":{"target":"own"}}"#), Self.rule("fwd", Self.drop),
      ]
      #expect(try outcome(parts).passes == passes, "\(kind)")
    }
    // What was accepted meets no rule behind.
    let parts = [
      Self.chain("fwd", hook: true), Self.chain("own"), Self.rule("own", Self.accept),
      Self.rule("fwd", #"{"jump":{"target":"own"}}"#), Self.rule("fwd", Self.drop),
    ]
    let found = try outcome(parts)
    #expect(found.passes && found.refusals.isEmpty)
  }

  @Test("chains that jump in a circle end, as what cannot be told")
  func circles() throws {
    let found = try outcome([
      Self.chain("fwd", hook: true), Self.chain("own"), Self.rule("fwd", #"{"jump":{"target":"own"}}"#),
      Self.rule("own", #"{"jump":{"target":"own"}}"#),
    ])
    #expect(found.isGuessed && !found.certainlyPasses)
  }

  @Test("more ways than are looked at are what cannot be told")
  func ways() throws {
    let levels = 0..<16
    let jump = { (level: Int) in #"{"jump":{"target":"c\#(level)"}}"# }
    let parts =
      [Self.chain("fwd", hook: true), Self.rule("fwd", jump(0))] + levels.map { Self.chain("c\($0)") }
      + levels.dropLast().flatMap { level in (0..<2).map { _ in Self.rule("c\(level)", jump(level + 1)) } }
    #expect(try !outcome(Array(parts.prefix(2)) + [Self.chain("c0")]).isGuessed)
    #expect(try outcome(parts).isGuessed)
  }

  @Test("addresses are held against a packet of their family, alone, as networks and as ranges of two ends")
  func addresses() throws {
    for (layer, right, expected) in [
      ("ip", #""10.77.1.2""#, true), ("ip", #""10.77.1.3""#, false),
      ("ip", #"{"prefix":{"addr":"10.77.0.0","len":16}}"#, true),
      ("ip", #"{"prefix":{"addr":"10.78.0.0","len":16}}"#, false),
      ("ip", #"{"range":["10.77.1.0","10.77.1.9"]}"#, true),
      ("ip", #"{"range":["10.77.1.3","10.77.1.9"]}"#, false),
      ("ip", #"{"range":["10.77.1.0"]}"#, nil),
      ("ip", #"{"range":["10.77.1.0","10.77.1.5","10.77.1.9"]}"#, nil),
      ("ip6", #""10.77.1.2""#, false),
    ] as [(String, String, Bool?)] {
      #expect(try isRefused(by: Self.match(layer, "saddr", right)) == expected, "\(layer) \(right)")
    }
  }

  @Test("ports are held against the packet's, alone and as ranges of two ends")
  func ports() throws {
    for (right, expected) in [
      ("443", true), ("80", false), (#"{"range":[400,500]}"#, true), (#"{"range":[1,2]}"#, false),
    ] as [(String, Bool?)] {
      #expect(try isRefused(by: Self.match("tcp", "dport", right)) == expected, "\(right)")
    }
  }

  // MARK: - Others

  @Test("a profile of which a rule is about another argument decides as if it were met")
  func profiles() throws {
    func reach(_ index: Int, _ value: Int) throws -> SeccompProfile.Reach {
      let profile =
        #"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":"#
        + #"[{"index":\#(index),"value":\#(value),"op":"SCMP_CMP_EQ"}]}]}"#
      return try SeccompProfile(profile.utf8).reach(runs32Bit: false)
    }
    #expect(try reach(0, 40) == .open)
    #expect(try reach(0, 2) == .closed)
    #expect(try reach(1, 2) == .open, "any type may be asked for")
  }

  @Test("a path that is not there yet is named as its folder is, up to the root")
  func paths() {
    #expect(HostKey.canonical("/") == "/")
    #expect(HostKey.canonical("/no-such-folder/of/any/file") == "/no-such-folder/of/any/file")
    #expect(HostKey.canonical("/proc/self/../nothing-there") == "/proc/nothing-there")
    #expect(HostKey.canonical("/..") == "/")
  }

  @Test("an empty variable names no engine")
  func emptyVariable() {
    let sockets = EngineSockets(
      nil,
      EngineSockets.Surroundings(
        environment: ["DOCKER_HOST": "", "CONTAINER_HOST": ""], resolved: { $0 == "/run/docker.sock" ? $0 : nil },
        users: []))
    #expect(sockets.paths == ["/run/docker.sock"] && sockets.findings == [])
  }

  @Test("a container is in the network of another only where its mode says so")
  func networkOwner() {
    func container(_ name: String, mode: String) -> DockerEngine.Container {
      DockerEngine.Container(
        id: "id-\(name)", name: "/\(name)", program: "sleep", labels: [:], networkMode: mode, resolvers: [],
        published: [:], networks: [:], volumes: [], securityOptions: [], isPrivileged: false, addedCapabilities: [])
    }
    // The second's network bears the first's name behind ten other letters.
    let containers = [
      container("web", mode: "agents"), container("job", mode: "networks-zweb"),
      container("aide", mode: "container:web"),
    ]
    let engine = DockerEngine(version: "20.10.24", seccompProfile: nil, networks: [], containers: containers)
    #expect(containers.map { engine.networkOwner(of: $0).id } == ["id-web", "id-job", "id-web"])
  }

  @Test("what belongs to an interface that is no bridge is no port")
  func bond() {
    func link(_ index: UInt32, _ name: String, _ kind: String, of controller: UInt32) -> HostNetwork.Interface {
      HostNetwork.Interface(index: index, name: name, kind: kind, controller: controller)
    }
    let ways = WaysOut(
      serversByInterface: ["mcp0": ["a"]],
      host: HostNetwork(interfaces: [link(5, "mcp0", "bond", of: 0), link(6, "eth1", "", of: 5)]),
      bridgeFilter: WaysOut.BridgeFilter(v4: true, v6: true), flowtables: [])
    #expect(!ways.findings.contains { $0.text.contains("is a port of") })
  }

  @Test("what comes and goes with grants is no difference, what the rules have is")
  func parts() {
    let listing = """
      table inet sluice {
      \tset agent-4 {
      \t\ttype ipv4_addr
      \t\tflags timeout
      \t\telements = { 192.0.2.1 expires 5s }
      \t}

      \tmap links {
      \t\ttype ifname : verdict
      \t\telements = { "br-mcp" : jump link/br-mcp }
      \t}
      }
      """
    #expect(
      FirewallDifference.parts(of: listing) == [
        "set agent-4": ["type ipv4_addr", "flags timeout"],
        "map links": ["type ifname : verdict", #"elements = { "br-mcp" : jump link/br-mcp }"#],
      ])
  }

  @Test("a folder that is not there is closed to no user, and none is to root")
  func serviceFolder() throws {
    let folder = NSTemporaryDirectory() + "sluice-closed-\(UUID().uuidString)"
    try FileManager.default.createDirectory(
      atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o555])
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func isClosed(_ path: String, _ user: String) -> Bool {
      ServiceFolder(of: path, ServiceUser(name: user, location: SourceLocation(file: "", line: 0, column: 0))).isClosed
    }
    #expect(isClosed(folder + "/log", "daemon"))
    #expect(!isClosed(folder + "/log", "root"))
    #expect(!isClosed(folder + "/none/log", "daemon"))
    #expect(!isClosed(folder + "/log", "nosuchuser"))
  }
}
