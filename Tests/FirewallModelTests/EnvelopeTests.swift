import EgressPolicy
import GrantLedger
import IPNetwork
import TestSupport
import Testing

@testable import FirewallModel

/// The envelope as a pure value: what lies within it, and what does not.
@Suite("What the configuration's files allow the bridge")
struct EnvelopeTests {

  private static func prefix(_ text: String) -> IPPrefix { IPPrefix(text)! }
  private static func address(_ text: String) -> IPAddress { IPAddress(text)! }

  static let envelope = {
    var envelope = allowing
    envelope.plan.servers[0].deniedPrefixes = [prefix("198.51.100.128/25"), prefix("203.0.113.0/24")]
    return envelope
  }()

  private static let allowing = Envelope(
    plan: FirewallPlan(
      mode: .managed,
      servers: [
        FirewallPlan.Server(
          name: "github-mcp", prefixes: [prefix("10.77.1.0/24"), prefix("fd00:77:1::/64")], opensAnyPort: false,
          staticRules: [
            FirewallPlan.StaticRule(
              prefix: prefix("198.51.100.0/24"), ports: [PortRule(22, .tcp), PortRule(443, .tcp)],
              maxBytes: 1_000)
          ], interface: "br-a", inbound: [PortRule(8080, .tcp)]),
        FirewallPlan.Server(
          name: "any-mcp", prefixes: [prefix("10.77.2.0/24")], opensAnyPort: true, inbound: [], asksDHCP: true),
      ], listeners: [FirewallPlan.Endpoint(address: address("10.77.1.1"), port: 53)],
      upstreams: [FirewallPlan.Endpoint(address: address("192.0.2.54"), port: 53)],
      released: [prefix("10.88.0.0/16")]),
    reaches: [
      "github-mcp": Envelope.Reach(
        ports: [PortRule(8443, .tcp)],
        privatePrefixes: [prefix("10.9.0.0/16"), prefix("64:ff9b::/96")], checkedPorts: [993, 995]),
      "any-mcp": Envelope.Reach(ports: nil),
    ], permitPorts: .listed, permitDefaults: [PortRule(443, .tcp)], maxLifetimeMilliseconds: 3_601_000,
    zoneAddresses: [address("10.50.0.1")])

  @Test("comes back as it was encoded; nothing cut short or followed by something is one")
  func codec() throws {
    let octets = Self.envelope.encoded()
    #expect(try Envelope(decoding: octets) == Self.envelope)
    for count in 0..<octets.count {
      #expect(throws: BridgeFormatError.self) { try Envelope(decoding: Array(octets.prefix(count))) }
    }
    #expect(throws: BridgeFormatError.trailing) { try Envelope(decoding: octets + [0]) }
  }

  @Test("another version, more octets than there may be, and ports of a server that has any are refused")
  func contradictions() throws {
    var octets = Self.envelope.encoded()
    octets[0] ^= 1
    #expect(throws: BridgeFormatError.version) { try Envelope(decoding: octets) }
    octets[0] ^= 1
    // Whether the ports are bounded stands behind the name.
    let name = Array("github-mcp".utf8)
    let flag = try #require(octets.indices.first { octets[$0...].starts(with: name) }) + name.count
    try #require(octets[flag] == 1)
    octets[flag] = 0
    #expect(throws: BridgeFormatError.field) { try Envelope(decoding: octets) }
    #expect(throws: BridgeFormatError.tooLong) {
      try Envelope(decoding: [UInt8](repeating: 0, count: Envelope.maximumOctets + 1))
    }
  }

  /// Each makes one plan that goes beyond the files.
  private static let excesses: [(String, @Sendable (inout FirewallPlan) -> Void)] = [
    ("mode", { $0.mode = .sets }),
    ("table", { $0.table = "other" }),
    ("family", { $0.family = .ip }),
    ("a listen address more", { $0.listeners.append(.init(address: address("10.77.1.2"), port: 53)) }),
    ("a listen port", { $0.listeners[0].port = 22 }),
    ("no listen address", { $0.listeners = [] }),
    ("an upstream", { $0.upstreams[0].address = address("192.0.2.55") }),
    ("no upstream", { $0.upstreams = [] }),
    ("an upstream of a forward", { $0.forwardUpstreams.append(.init(address: address("192.0.2.56"), port: 53)) }),
    ("the fence", { $0.fencesInput = false }),
    ("a table that others may change", { $0.isExclusive = true }),
    ("flows stay", { $0.cutsFlows = false }),
    ("the log's group", { $0.nflogGroup = 54 }),
    ("a release", { $0.released.append(prefix("10.77.1.0/24")) }),
    ("a wider release", { $0.released = [prefix("10.0.0.0/8")] }),
    ("a network more", { $0.servers[0].prefixes.append(prefix("10.77.3.0/24")) }),
    ("a network less", { $0.servers[0].prefixes.removeLast() }),
    ("a wider network", { $0.servers[0].prefixes[0] = prefix("10.77.0.0/16") }),
    (
      "networks exchanged",
      {
        let first = $0.servers[0].prefixes
        $0.servers[0].prefixes = $0.servers[1].prefixes
        $0.servers[1].prefixes = first
      }
    ),
    ("no interface", { $0.servers[0].interface = nil }),
    ("an interface", { $0.servers[1].interface = "eth0" }),
    (
      "a server",
      {
        $0.servers.append(.init(name: "new", prefixes: [prefix("10.77.9.0/24")], opensAnyPort: false))
      }
    ),
    (
      "a server that only reaches",
      {
        $0.servers.append(
          .init(
            name: "new", prefixes: [], opensAnyPort: false,
            staticRules: [.init(prefix: prefix("203.0.113.0/24"), ports: [])]))
      }
    ),
    (
      "an interface of a server without a network",
      {
        $0.servers.append(.init(name: "gone", prefixes: [], opensAnyPort: false, interface: "eth0"))
      }
    ),
    ("any port", { $0.servers[0].opensAnyPort = true }),
    ("inbound", { $0.servers[0].inbound?.append(PortRule(22, .tcp)) }),
    ("any inbound", { $0.servers[0].inbound = [] }),
    (
      "an inspector",
      { $0.servers[0].inspectors.append(.init(address: IPAddress("127.0.0.1")!, port: 22)) }
    ),
    ("no denial", { $0.servers[0].deniedPrefixes = [] }),
    ("less of a denial", { $0.servers[0].deniedPrefixes[0] = prefix("198.51.100.128/26") }),
    ("dhcp", { $0.servers[0].asksDHCP = true }),
    ("a prefix", { $0.servers[1].staticRules = [.init(prefix: prefix("203.0.113.0/24"), ports: [])] }),
    ("a wider prefix", { $0.servers[0].staticRules[0].prefix = prefix("198.51.0.0/16") }),
    ("a prefix's port", { $0.servers[0].staticRules[0].ports = [PortRule(22, .udp)] }),
    ("every port of a prefix", { $0.servers[0].staticRules[0].ports = [] }),
    ("no bound of a prefix", { $0.servers[0].staticRules[0].maxBytes = nil }),
    ("a higher bound of a prefix", { $0.servers[0].staticRules[0].maxBytes = 1_001 }),
    ("a bound of a prefix that only tells", { $0.servers[0].staticRules[0].maxBytes = ByteBound(10, .audit) }),
  ]

  @Test("a plan that goes beyond the files in any one thing is refused", arguments: excesses.indices)
  func excess(index: Int) {
    var plan = Self.envelope.plan
    Self.excesses[index].1(&plan)
    #expect(Self.envelope.excess(of: plan) != nil, "\(Self.excesses[index].0)")
  }

  /// Each makes one plan of less than the files allow.
  private static let restrictions: [@Sendable (inout FirewallPlan) -> Void] = [
    { _ in },
    { $0.servers.removeLast() },
    { $0.released = [] },
    { $0.servers.swapAt(0, 1) },
    { $0.servers[0].inbound = nil },
    { $0.servers[1].inbound = [PortRule(22, .tcp)] },
    { $0.servers[1].asksDHCP = false },
    { $0.servers[1].opensAnyPort = false },
    { $0.servers[0].staticRules = [] },
    { $0.servers[0].deniedPrefixes.append(prefix("204.0.0.0/8")) },
    { $0.servers[1].deniedPrefixes = [prefix("204.0.0.0/8")] },
    { $0.servers[0].staticRules[0].ports.removeLast() },
    { $0.servers[0].staticRules[0].maxBytes = 10 },
    { $0.servers[0].caps = [.init(kind: .perConnection, bytes: 9)] },
    { $0.listeners.append($0.listeners[0]) },
    { $0.servers.append(.init(name: "gone", prefixes: [], opensAnyPort: false)) },
  ]

  @Test("a plan of less than the files allow is taken", arguments: restrictions.indices)
  func within(index: Int) {
    var plan = Self.envelope.plan
    Self.restrictions[index](&plan)
    #expect(Self.envelope.excess(of: plan) == nil)
  }

  @Test("where the files have a name said, no plan and no element does without; more may be said")
  func checks() {
    var envelope = Self.envelope
    envelope.plan.servers[0].checksNames = true
    envelope.reaches["github-mcp"]?.checkedPorts = [443]
    #expect(envelope.excess(of: envelope.plan) == nil)
    var plan = envelope.plan
    plan.servers[1].checksNames = true
    #expect(envelope.excess(of: plan) == nil)
    plan.servers[0].checksNames = false
    #expect(envelope.excess(of: plan) != nil)
    let limits = envelope.limits(of: envelope.plan, sets: [[], []])
    var commit = Self.commit("93.184.216.34", port: 443)
    #expect(limits.excess(of: commit) != nil)
    commit.caps = 1
    #expect(limits.excess(of: commit) != nil, "a byte cap is none")
    commit.caps = NameCheck.capBit
    #expect(limits.excess(of: commit) == nil)
    #expect(limits.excess(of: Self.commit("93.184.216.34")) == nil, "of another port nothing is said")
    // Also an address that a local zone answers.
    #expect(limits.excess(of: Self.commit("10.50.0.1", port: 443)) != nil)
  }

  @Test("a server that is in force may not be left out while the files have it")
  func leftOut() {
    let former = Self.envelope.plan
    for index in former.servers.indices {
      var plan = former
      plan.servers[index] = .init(name: former.servers[index].name, prefixes: [], opensAnyPort: false)
      #expect(Self.envelope.excess(of: plan, instead: former) != nil)
      plan.servers.remove(at: index)
      #expect(Self.envelope.excess(of: plan, instead: former) != nil)
      #expect(Self.envelope.excess(of: plan, instead: plan) == nil)
      var read = Self.envelope
      read.plan.servers.remove(at: index)
      #expect(read.excess(of: plan, instead: former) == nil)
    }
  }

  @Test("an address in the network of a server that the plan leaves out is another server's all the same")
  func networkLeftOut() {
    var envelope = Self.envelope
    envelope.reaches["github-mcp"]?.privatePrefixes.append(Self.prefix("10.77.0.0/16"))
    var retired = envelope.plan
    retired.servers[1] = .init(name: "any-mcp", prefixes: [], opensAnyPort: false)
    var missing = envelope.plan
    missing.servers.removeLast()
    for plan in [envelope.plan, retired, missing] {
      let limits = envelope.limits(of: plan, sets: [[.v4, .v6], [.v4, .v6]])
      #expect(limits.excess(of: Self.commit("10.77.2.9")) != nil)
      #expect(limits.excess(of: Self.commit("10.77.3.9")) == nil)
    }
  }

  private static func limits(
    _ permits: Envelope.PermitPorts = .listed, sets: [ServerSets] = [.all, .all], onLink: [String] = []
  ) -> ElementLimits {
    var envelope = envelope
    envelope.permitPorts = permits
    var limits = envelope.limits(of: envelope.plan, sets: sets.map { $0.subtracting([.plain4, .plain6]) })
    limits.learn(hostAddresses: [address("203.0.113.1")], onLink: onLink.map(prefix))
    return limits
  }

  private static func commit(
    _ text: String, port: UInt16 = 8443, transport: UInt8 = 6, server: UInt16 = 0, milliseconds: UInt32 = 3_600_000
  ) -> GrantCommit {
    GrantCommit(
      element: GrantElement(server: server, address: address(text), transport: transport, port: port),
      lifetimeMilliseconds: milliseconds)
  }

  @Test("what rules and permits can justify may be opened")
  func justified() {
    let limits = Self.limits()
    for text in ["93.184.216.34", "2606:2800:220:1::1", "10.9.1.2", "10.50.0.1"] {
      #expect(limits.excess(of: Self.commit(text)) == nil, "\(text)")
    }
    #expect(limits.excess(of: Self.commit("93.184.216.34", port: 443)) == nil)
    #expect(limits.excess(of: Self.commit("93.184.216.34", port: 0, transport: 0, server: 1)) == nil)
    #expect(Self.limits(.any).excess(of: Self.commit("93.184.216.34", port: 22)) == nil)
  }

  @Test(
    "no address is opened that no rule can justify, whatever serve says",
    arguments: [
      "10.77.1.9", "10.77.2.9", "fd00:77:1::9", "10.77.1.1", "203.0.113.1", "198.18.5.5", "127.0.0.1", "::1",
      "169.254.169.254", "168.63.129.16", "10.8.0.1", "192.168.1.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "::",
      "fe80::1", "ff02::1", "fd00::1", "64:ff9b::a9fe:a9fe", "64:ff9b::a4d:209", "2002:a9fe:a9fe::1",
      "::ffff:10.77.2.9",
    ])
  func unjustified(text: String) {
    let limits = Self.limits(.any, onLink: ["198.18.0.0/16"])
    #expect(limits.excess(of: Self.commit(text)) != nil)
  }

  @Test("nor one in a network that the files deny, whatever a plan, a permit or a zone says")
  func denied() {
    var envelope = Self.envelope
    envelope.permitPorts = .any
    envelope.plan.servers[0].deniedPrefixes = [Self.prefix("10.50.0.0/24"), Self.prefix("93.184.216.0/24")]
    var plan = envelope.plan
    plan.servers[0].deniedPrefixes = []
    let limits = envelope.limits(of: plan, sets: [[.v4, .v6], [.v4, .v6]])
    for text in ["93.184.216.34", "10.50.0.1", "64:ff9b::93.184.216.34"] {
      #expect(limits.excess(of: Self.commit(text)) != nil, "\(text)")
    }
    for text in ["93.184.217.34", "64:ff9b::93.184.217.34"] {
      #expect(limits.excess(of: Self.commit(text)) == nil, "\(text)")
    }
    #expect(limits.excess(of: Self.commit("93.184.216.34", server: 1)) == nil)
  }

  @Test("nor a port, a lifetime or a server that the files do not have")
  func beyond() {
    let limits = Self.limits()
    let open = "93.184.216.34"
    #expect(limits.excess(of: Self.commit(open, port: 22)) != nil)
    #expect(limits.excess(of: Self.commit(open, transport: 17)) != nil)
    #expect(limits.excess(of: Self.commit(open, port: 0, transport: 0)) != nil)
    #expect(limits.excess(of: Self.commit(open, server: 2)) != nil)
    #expect(limits.excess(of: Self.commit(open, milliseconds: 3_601_001)) != nil)
    #expect(Self.limits(.none).excess(of: Self.commit(open, port: 443)) != nil)
    // Whatever port a permit may open, it is of a server of the files.
    var envelope = Self.envelope
    envelope.permitPorts = .any
    let sets = [ServerSets](repeating: [.v4, .v6], count: 2)
    #expect(envelope.limits(of: envelope.plan, sets: sets).excess(of: Self.commit(open, port: 22)) == nil)
    envelope.reaches["github-mcp"] = nil
    #expect(envelope.limits(of: envelope.plan, sets: sets).excess(of: Self.commit(open, port: 22)) != nil)
    #expect(Self.limits(.none).excess(of: Self.commit(open)) == nil)
  }

  @Test("a set of addresses without ports takes them without ports, and only where the user made it so")
  func plain() {
    var envelope = Self.envelope
    envelope.plan.mode = .sets
    let limits = envelope.limits(of: envelope.plan, sets: [[.v4, .v6, .plain4], [.v4]])
    #expect(limits.excess(of: Self.commit("93.184.216.34", port: 0, transport: 0)) == nil)
    #expect(limits.excess(of: Self.commit("2606:2800:220:1::1", port: 0, transport: 0)) != nil)
    // A server whose files have no name opens nothing.
    envelope.reaches["github-mcp"] = Envelope.Reach(ports: [])
    envelope.permitPorts = .none
    let closed = envelope.limits(of: envelope.plan, sets: [[.v4, .v6, .plain4], [.v4]])
    #expect(closed.excess(of: Self.commit("93.184.216.34", port: 0, transport: 0)) != nil)
  }

  @Test("a reload changes policies, forwards, releases and permits, and no key that serve takes at its start alone")
  func reloaded() {
    var read = Self.envelope
    read.plan.servers.removeLast()
    read.plan.released = []
    read.plan.fencesInput = false
    read.plan.table = "other"
    read.plan.mode = .sets
    read.plan.listeners = []
    read.plan.upstreams = []
    read.plan.forwardUpstreams = [.init(address: Self.address("192.0.2.56"), port: 53)]
    read.permitPorts = .any
    read.maxLifetimeMilliseconds = .max
    read.zoneAddresses = [Self.address("10.50.0.2")]
    let next = Self.envelope.reloaded(read)
    var expected = Self.envelope
    expected.plan.servers.removeLast()
    expected.plan.released = []
    expected.plan.forwardUpstreams = read.plan.forwardUpstreams
    expected.permitPorts = .any
    expected.zoneAddresses.insert(Self.address("10.50.0.2"))
    #expect(next == expected)
  }
}
