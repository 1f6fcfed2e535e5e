import AuditLog
import ControlAPI
import DNSWire
import EgressPolicy
import IPNetwork
import Resolver
import ResponseCache
import Serving
import Settings
import TestSupport
import Testing
import Zones

@testable import sluice

/// One server in 10.77.1.0/24 with a policy, local zones and a firewall.
private struct Site {
  var patterns: [(text: String, types: [RRType])] = [("api.example.com", [.A, .AAAA])]
  var denied: [String] = []
  var zone = ""
  var opensFirewall = true
  var opensIPv6 = true
  /// Whether the user's table has a set for the server's IPv6 addresses.
  var serverOpensIPv6 = true
  var sinkhole = ResolverRules.Sinkhole.nxdomain

  private var rules: ResolverRules {
    ResolverRules(
      sinkhole: sinkhole, sinkholeTTL: 5, unknownClients: .nxdomain, allowedEvents: .grants,
      opensFirewall: opensFirewall, opensIPv6: opensIPv6, maxTTL: 3600, maxNegativeTTL: 300)
  }

  func snapshot() throws -> ResolverSnapshot {
    let location = SourceLocation(file: "policy.yaml", line: 5, column: 5)
    let network = try #require(IPPrefix("10.77.1.0/24"))
    let rules = try patterns.map {
      EgressRule(pattern: try NamePattern($0.text), types: $0.types, location: location)
    }
    var policy = ServerPolicy(
      name: try ServerName("agent"), networks: [ServerNetwork(prefix: network, location: location)],
      rules: RuleList(rules), location: location)
    policy.denials = RuleList(try denied.map { EgressRule(pattern: try NamePattern($0), location: location) })
    var files = LocalZones.shippedFiles
    if !zone.isEmpty { files.append((path: "local.zone", text: Array(zone.utf8))) }
    return ResolverSnapshot(
      policy: PolicySnapshot([policy], hash: NameHash(seed: 1)), zones: try LocalZones(files: files), rules: self.rules,
      servers: [
        ServerState(
          name: "agent", cache: ResponseCache(maxEntries: 100, hash: NameHash(seed: 1)), firewallIndex: 0,
          interface: nil, opensIPv6: serverOpensIPv6)
      ])
  }

  /// The fields of what `explain` says.
  static func explained(_ name: Name, _ type: RRType, _ snapshot: ResolverSnapshot) -> [String: String] {
    let explainer = Explainer(snapshot, ExplainedHost(mode: .managed), now: 0)
    return ExplanationText(explainer.explain(name, type, of: 0)).values
  }

  func explained(_ name: String, _ type: RRType) throws -> [String: String] {
    Self.explained(try Name(presentation: name), type, try snapshot())
  }
}

/// What becomes of a question by the way that queries take.
private final class Resolving {
  private let current: CurrentSnapshot
  private var session: QuerySession
  private let reader: AuditRingReader

  init(_ snapshot: ResolverSnapshot) throws {
    let ring = AuditRing.onHeap()
    current = CurrentSnapshot(snapshot)
    let shared = SharedState(
      current: current, epoch: FirewallEpoch(), audit: OpenGate(), clocks: { (monotonic: 1000, wall: 1) },
      resolveInterface: { _ in 0 }, sink: { _, _ in })
    session = QuerySession(QueryThread(shared, ring: ring))
    reader = AuditRingReader(ring)
  }

  enum Outcome: Equatable {
    /// Code, number of answers, and what was recorded.
    case reply(ResponseCode, Int, AuditCode?)
    case resolve
    case local
    case reverse
    case drop
  }

  func ask(_ name: Name, _ type: RRType, _ snapshot: ResolverSnapshot) throws -> Outcome {
    let head: [UInt8] = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    let message = head + name.wire + [UInt8(type.rawValue >> 8), UInt8(type.rawValue & 255), 0, 1]
    let client = try #require(IPAddress("10.77.1.2"))
    let source = QuerySource(client: client, port: 40188, transport: .tcp, interface: 3)
    var outcome = QuerySession.Disposition.drop
    current.replace(snapshot)
    let octets = [UInt8](capacity: ReplyWriter.maxStream) { out in
      outcome = session.answer(message.span, from: source, into: &out)
    }
    var record = AuditRecord()
    var code: AuditCode?
    while case .record = reader.next(into: &record) { code = record.header.code }
    reader.commit()
    switch outcome {
    case .drop: return .drop
    case .reply:
      let header = try Header(parsing: octets.span)
      return .reply(header.responseCode, Int(header.answerCount), code)
    case .pending(let question):
      question.state.leave()
      switch question.kind {
      case .resolve, .refresh: return .resolve
      case .local: return .local
      case .reverse: return .reverse
      }
    }
  }
}

/// `explain` says what the resolver does.
@Suite struct ExplanationTests {
  @Test func `a listed AAAA without a set for IPv6 is NODATA`() throws {
    var site = Site()
    site.opensIPv6 = false
    let found = try site.explained("api.example.com", .AAAA)
    #expect(found["decision"] == "allow" && found["rule"] == "policy.yaml:5: api.example.com")
    #expect(found["answer"] == "NODATA: the firewall has no set for IPv6 addresses")
    #expect(try site.explained("api.example.com", .A)["answer"]?.hasPrefix("asked upstream; addresses opened") == true)
    site.opensFirewall = false
    #expect(try site.explained("api.example.com", .AAAA)["answer"] == "asked upstream")
    // A table of the user's own, with a set of IPv4 alone for this server.
    site = Site()
    site.serverOpensIPv6 = false
    let own = try site.explained("api.example.com", .AAAA)
    #expect(own["decision"] == "allow" && own["answer"] == "NODATA: the firewall has no set for IPv6 addresses")
  }

  @Test func `a listed single label is never forwarded`() throws {
    var site = Site()
    site.patterns = [("db", [.A])]
    let found = try site.explained("db", .A)
    #expect(found["decision"] == "local" && found["reason"] == "single label" && found["answer"] == "NXDOMAIN")
    #expect(found["rule"] == "policy.yaml:5: db, but a single label is never forwarded")
    #expect(try site.explained("wpad", .A)["rule"] == "never forwarded")
    #expect(try site.explained(".", .NS)["answer"] == "NODATA")
  }

  @Test func `a PTR is answered from what is open`() throws {
    let site = Site()
    let found = try site.explained("4.3.2.1.in-addr.arpa", .PTR)
    #expect(found["decision"] == "local" && found["reason"] == "reverse name")
    #expect(found["answer"] == "the name that 1.2.3.4 is open for, else NXDOMAIN")
    #expect(
      try site.explained("2.1.77.10.in-addr.arpa", .PTR)["answer"]
        == "the name that 10.77.1.2 is open for, else local zone")
    #expect(try site.explained("4.3.2.1.in-addr.arpa", .A)["decision"] == "block")
  }

  @Test func `of the sinkhole's addresses those of the type are told`() throws {
    var site = Site()
    site.sinkhole = .addresses([try #require(IPAddress("192.0.2.1"))])
    #expect(try site.explained("evil.example.com", .A)["answer"] == "192.0.2.1")
    #expect(try site.explained("evil.example.com", .AAAA)["answer"] == "NODATA")
  }

  // MARK: - Addresses

  private let file = SourceLocation(file: "policy.yaml", line: 7, column: 5)

  @Test("a name is told with its upstreams, a forwarded one with the zone's and what that admits")
  func upstreams() throws {
    let snapshot = try Site(patterns: [("**.example.com", [.A])]).snapshot()
    var explainer = Explainer(
      snapshot.policy, snapshot.zones, snapshot.rules, ExplainedHost(mode: .managed), now: 0)
    explainer.upstreams = ["udp://192.0.2.54:53"]
    explainer.forwards = ForwardZones([
      ForwardZone(
        zone: try Name(hostname: "corp.example.com"), upstreams: ["udp://10.0.0.53:53", "udp://10.0.1.53:53"],
        privatePrefixes: [try #require(IPPrefix("10.0.0.0/8"))])
    ])
    func told(_ name: String) throws -> [String: String] {
      ExplanationText(explainer.explain(try Name(hostname: name), .A, of: 0)).values
    }
    let (other, own) = (try told("www.example.com"), try told("wiki.corp.example.com"))
    #expect(other["upstreams"] == "udp://192.0.2.54:53" && other["private"] == nil)
    #expect(
      own["upstreams"] == "udp://10.0.0.53:53, udp://10.0.1.53:53, the upstreams of zone corp.example.com alone")
    #expect(own["private"] == "10.0.0.0/8")
    #expect(try told("evil.org")["upstreams"] == nil)
  }

  /// Two servers: one with static prefixes, one that lets others in on a port.
  private func explainer(
    _ prefixes: [StaticPrefixRule], _ host: ExplainedHost = ExplainedHost(mode: .managed), now: UInt64 = 0
  ) throws -> Explainer {
    func server(
      _ name: String, _ network: String, inbound: PortSet? = nil, _ prefixes: [StaticPrefixRule] = []
    ) throws -> ServerPolicy {
      ServerPolicy(
        name: try ServerName(name),
        networks: [ServerNetwork(prefix: try #require(IPPrefix(network)), location: file)], inbound: inbound,
        rules: [], prefixes: prefixes, location: file)
    }
    let policies = [
      try server("agent", "10.77.1.0/24", prefixes),
      try server("tools", "10.77.2.0/24", inbound: PortSet([PortRule(8080, .tcp)])),
    ]
    let snapshot = try Site().snapshot()
    return Explainer(PolicySnapshot(policies), snapshot.zones, snapshot.rules, host, now: now)
  }

  private func entry(
    _ prefix: String, _ ports: PortSet = .https, maxBytes: ByteBound? = nil, until: UInt64? = nil
  ) throws -> StaticPrefixRule {
    StaticPrefixRule(
      prefix: try #require(IPPrefix(prefix)), ports: ports, maxBytes: maxBytes, until: until, location: file)
  }

  private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

  @Test func `an address that an entry opens without a name is allowed by it, on its ports`() throws {
    let explainer = try explainer([try entry("45.11.0.0/24", maxBytes: 1024), try entry("45.11.0.66/32", .any)])
    let open = explainer.explain(try address("45.11.0.7"), PortRule(443, .tcp), of: 0)
    #expect(open.decision == .allow && open.code == .cidr && open.rule == "policy.yaml:7")
    #expect(open.pattern == "cidr: 45.11.0.0/24" && open.ports == ["443/tcp"] && open.maxBytes == 1024)
    let other = explainer.explain(try address("45.11.0.7"), PortRule(80, .tcp), of: 0)
    #expect(other.decision == .block && other.code == .wrongPort && other.pattern == "cidr: 45.11.0.0/24")
    let both = explainer.explain(try address("45.11.0.66"), PortRule(80, .tcp), of: 0)
    #expect(both.decision == .allow && both.pattern == "cidr: 45.11.0.66/32" && both.prefixes?.count == 2)
    let text = ExplanationText(open).values
    #expect(text["rule"] == "policy.yaml:7: cidr: 45.11.0.0/24" && text["reason"] == "open without a name")
    #expect(text["ports"] == "443/tcp" && text["max-bytes"] == "1KiB of IP packets" && text["answer"] == nil)
  }

  @Test func `an address that nothing opens waits for a name, and an entry whose time is over opens none`() throws {
    let explainer = try explainer([try entry("45.11.0.0/24", until: 100)], now: 100)
    for place in ["45.11.0.7", "192.0.2.1", "2001:db8::1"] {
      let found = explainer.explain(try address(place), nil, of: 0)
      #expect(found.decision == .block && found.code == .rawAddress && found.rule == nil, "\(place)")
    }
  }

  @Test func `the own network is free, and another server's only as both say`() throws {
    let explainer = try explainer([try entry("10.77.2.0/24", PortSet([PortRule(8080, .tcp), PortRule(22, .tcp)]))])
    #expect(explainer.explain(try address("10.77.1.9"), nil, of: 0).code == .ownNetwork)
    let open = explainer.explain(try address("10.77.2.9"), PortRule(8080, .tcp), of: 0)
    #expect(open.decision == .allow && open.code == .otherServer && open.other == "tools")
    #expect(explainer.explain(try address("10.77.2.9"), PortRule(22, .tcp), of: 0).decision == .block)
    // Back, nothing opens it.
    #expect(explainer.explain(try address("10.77.1.9"), PortRule(22, .tcp), of: 1).decision == .block)
  }

  @Test func `where Sluice has no rule it says so`() throws {
    let entries = [try entry("45.11.0.0/24")]
    let sets = try explainer(entries, ExplainedHost(mode: .sets)).explain(try address("45.11.0.7"), nil, of: 0)
    #expect(sets.code == .notEnforced && sets.decision == .block)
    let off = try explainer(entries, ExplainedHost(mode: .off)).explain(try address("45.11.0.7"), nil, of: 0)
    #expect(off.code == .notEnforced && off.decision == .allow)
  }

  @Test func `the host itself is fenced but for the resolver's port, in whatever network its address is`() throws {
    let own: Set<IPAddress> = [try address("10.77.1.1"), try address("10.77.2.1"), try address("192.0.2.1")]
    let listen = [ListenAddress(address: try address("10.77.1.1"))]
    let entries = [try entry("192.0.2.0/24", .any)]
    let fenced = try explainer(entries, ExplainedHost(mode: .managed, addresses: own, listen: listen))
    for place in ["10.77.1.1", "10.77.2.1", "192.0.2.1"] {
      for port in [PortRule(22, .tcp), nil] {
        let found = fenced.explain(try address(place), port, of: 0)
        #expect(found.decision == .block && found.code == .hostFence && found.rule == nil, "\(place)")
      }
    }
    for transport in [PortRule.Transport.tcp, .udp] {
      let resolver = fenced.explain(try address("10.77.1.1"), PortRule(53, transport), of: 0)
      #expect(resolver.decision == .allow && resolver.code == .host)
      #expect(fenced.explain(try address("10.77.2.1"), PortRule(53, transport), of: 0).code == .hostFence)
    }
    #expect(fenced.explain(try address("10.77.1.9"), nil, of: 0).code == .ownNetwork)
    #expect(fenced.explain(try address("192.0.2.2"), nil, of: 0).code == .cidr)
    let text = ExplanationText(fenced.explain(try address("10.77.1.1"), PortRule(22, .tcp), of: 0)).values
    #expect(text["reason"] == "the host itself, and not the resolver's port")
    let open = try explainer(entries, ExplainedHost(mode: .managed, isFenced: false, addresses: own))
    #expect(open.explain(try address("10.77.1.1"), PortRule(22, .tcp), of: 0).decision == .allow)
    let everywhere = ExplainedHost(
      mode: .managed, addresses: own, listen: [ListenAddress(address: try address("0.0.0.0"))])
    let found = try explainer(entries, everywhere).explain(try address("10.77.2.1"), PortRule(53, .udp), of: 0)
    #expect(found.code == .host)
  }

  @Test func `nothing keeps a client of no server from an address, but where its network is closed`() throws {
    let closed = [try #require(IPPrefix("10.88.0.0/16"))]
    let explainer = try explainer([], ExplainedHost(mode: .managed, closed: closed))
    func explain(_ client: String, _ place: String, _ port: PortRule? = nil) throws -> ControlAPI.Explanation {
      explainer.explain(try address(place), port, of: nil, client: try address(client))
    }
    let free = try explain("10.9.9.9", "45.11.0.7")
    #expect(free.decision == .allow && free.code == .notEnforced && free.server == nil)
    #expect(ExplanationText(free).values["rule"]?.hasPrefix("the client is in no server's network") == true)
    let held = try explain("10.88.1.2", "45.11.0.7")
    #expect(held.decision == .block && held.code == .unknownClient)
    // Nor does a query come from there, which a client of an open network gets an answer to.
    let name = try Name(presentation: "api.example.com")
    #expect(explainer.explain(name, .A, of: nil, client: try address("10.88.1.2")).answer == .drop)
    #expect(explainer.explain(name, .A, of: nil, client: try address("10.9.9.9")).answer == .nxdomain)
    let letIn = try explain("10.9.9.9", "10.77.2.9", PortRule(8080, .tcp))
    #expect(letIn.decision == .allow && letIn.code == .otherServer && letIn.other == "tools")
    #expect(try explain("10.9.9.9", "10.77.2.9", PortRule(22, .tcp)).decision == .block)
    #expect(try explain("10.9.9.9", "10.77.1.9").decision == .block)
  }

  @Test func `what is open for a name on another port only is a wrong port`() throws {
    let grant = ControlAPI.Grant(
      server: "agent", address: "45.11.0.119", protocol: "tcp", port: 443, name: "api.example.com", opened: "",
      remainingMs: 50_400)
    func explained(_ port: PortRule?, _ grants: [ControlAPI.Grant]) throws -> ControlAPI.Explanation {
      var found = try explainer([]).explain(try address("45.11.0.119"), port, of: 0)
      found.take(grants, port)
      return found
    }
    let other = try explained(PortRule(80, .tcp), [grant])
    #expect(other.decision == .block && other.code == .wrongPort && other.ports == ["443/tcp"])
    #expect(ExplanationText(other).values["reason"] == "open, but not on this port")
    let open = try explained(PortRule(443, .tcp), [grant])
    #expect(open.decision == .allow && open.code == .granted)
    #expect(try explained(nil, [grant]).code == .granted)
    #expect(try explained(PortRule(80, .tcp), []).code == .rawAddress)
  }

  @Test func `JSON has lists and numbers, and no sentence`() throws {
    var site = Site()
    site.sinkhole = .addresses([try #require(IPAddress("192.0.2.1"))])
    let snapshot = try site.snapshot()
    var explainer = Explainer(snapshot, ExplainedHost(mode: .managed), now: 0)
    explainer.upstreams = ["udp://192.0.2.54:53"]
    func json(_ name: String) throws -> String {
      ControlAPI.line(ControlAPI.encode(explainer.explain(try Name(presentation: name), .A, of: 0)))
    }
    #expect(
      try json("api.example.com")
        == #"{"answer":"upstream","code":"listed","decision":"allow","name":"api.example.com","opens":true,"#
        + #""pattern":"api.example.com","ports":["443/tcp"],"rule":"policy.yaml:5","server":"agent","type":"A","#
        + #""types":["A","AAAA"],"upstreams":["udp://192.0.2.54:53"]}"#)
    #expect(
      try json("evil.example.com")
        == #"{"addresses":["192.0.2.1"],"answer":"addresses","code":"not-listed","decision":"block","#
        + #""name":"evil.example.com","server":"agent","type":"A"}"#)
  }

  @Test func `a permit is told of the names that it allows, and the running decision beside that of the files`() throws
  {
    func permit(_ name: String) -> ControlAPI.Permit {
      ControlAPI.Permit(
        id: 3, server: "agent", name: name, ports: ["443/tcp"], types: ["A"], justification: "test", given: "",
        until: "", remainingMs: 1000, uid: 0, pid: 1)
    }
    func allows(_ pattern: String, _ name: String) throws -> Bool {
      permit(pattern).allows(try Name(presentation: name))
    }
    #expect(try allows("api.example.com", "API.example.com"))
    #expect(try !allows("api.example.com", "x.api.example.com"))
    #expect(try allows("*.example.com", "a.example.com") && !allows("*.example.com", "a.b.example.com"))
    #expect(try allows("**.example.com", "a.b.example.com") && !allows("**.example.com", "example.com"))
    #expect(try !allows("**.example.com", "aexample.com"))
    var told = ControlAPI.Explanation(decision: .block, code: .notListed)
    told.name = "api.example.com"
    var live = ControlAPI.Live(policy: "f", asInFiles: false, permits: [], cache: [], grants: [])
    var running = ControlAPI.Explanation(decision: .allow, code: .listed)
    (running.rule, running.pattern) = ("permit:3", "api.example.com")
    live.running = ControlAPI.Running(running)
    told.live = live
    #expect(ExplanationText(told).values["running decision"] == "allow, listed: permit:3: api.example.com")
  }

  @Test func `what other names at the same address have open, and their caps, is told`() throws {
    var told = ControlAPI.Explanation(decision: .allow, code: .listed)
    told.name = "api.example.com"
    func grant(_ name: String, _ address: String) -> ControlAPI.Grant {
      ControlAPI.Grant(
        server: "agent", address: address, protocol: "tcp", port: 443, name: name, opened: "", remainingMs: 50_400)
    }
    var live = ControlAPI.Live(
      policy: "f", asInFiles: true, permits: [], cache: [],
      grants: [grant("api.example.com", "192.0.2.1"), grant("uploads.example.com", "192.0.2.1")])
    var other = ControlAPI.Explanation(decision: .allow, code: .listed)
    (other.maxBytes, other.maxBytesExcess) = (262_144, "block")
    live.sharedCaps = [ControlAPI.SharedCap(address: "192.0.2.1", of: other, named: "uploads.example.com")]
    told.live = live
    let text = ExplanationText(told).values
    #expect(text["open"] == "192.0.2.1 443/tcp for 51 s")
    #expect(
      text["shared"]
        == "192.0.2.1 443/tcp is open for uploads.example.com too, whose max-bytes 256KiB holds here as well")
  }

  @Test func `who shares the address is told where the address suffices, also of names that open nothing here`() {
    var told = ControlAPI.Explanation(decision: .allow, code: .listed)
    told.name = "api.example.com"
    var grant = ControlAPI.Grant(
      server: "agent", address: "192.0.2.1", protocol: "tcp", port: 443, name: "api.example.com", opened: "",
      remainingMs: 50_400)
    grant.shared = ["evil.example", "web.example"]
    told.live = ControlAPI.Live(policy: "f", asInFiles: true, permits: [], cache: [], grants: [grant])
    #expect(
      ExplanationText(told).values["shared"]
        == "192.0.2.1 is that of evil.example, web.example too: with verify: address it admits all")
    grant.verify = "sni"
    told.live = ControlAPI.Live(policy: "f", asInFiles: true, permits: [], cache: [], grants: [grant])
    #expect(ExplanationText(told).values["shared"] == nil)
  }

  @Test func `of a cap it is told what becomes of what goes beyond it, and which octets it counts`() {
    var told = ControlAPI.Explanation(decision: .allow, code: .listed)
    (told.maxBytes, told.maxBytesExcess, told.ports) = (262_144, "audit", ["443/tcp", "8443/tcp"])
    #expect(ExplanationText(told).values["max-bytes"] == "256KiB (audit) of IP packets")
    told.verifiedPorts = ["443/tcp"]
    #expect(
      ExplanationText(told).values["max-bytes"] == "256KiB (audit) of payload on 443/tcp, else of IP packets")
    told.verifiedPorts = told.ports
    #expect(ExplanationText(told).values["max-bytes"] == "256KiB (audit) of payload")
  }

  private let names = [
    "api.example.com", "x.cdn.example.net", "a.b.deep.example.org", "deep.example.org", "evil.example.com", "db",
    "wpad", "com", ".", "localhost", "x.localhost", "x.test", "printer.local", "host.lan", "self.lan", "none.lan",
    "lan", "x.void", "4.3.2.1.in-addr.arpa", "2.1.77.10.in-addr.arpa", "1.in-addr.arpa", "a\\.b.cdn.example.net",
    "\\000.example.com", "\\(x\\).cdn.example.net",
  ]
  private let patterns = [
    "api.example.com", "*.cdn.example.net", "**.deep.example.org", "db", "localhost", "x.test", "host.lan", "self.lan",
    "none.lan", "**.lan", "x.void", "**.in-addr.arpa", "example.com",
  ]
  private static let lan = "lan. 60 IN SOA lan. lan. 1 2 3 4 5\n"
  private let types: [RRType] = [.A, .AAAA, .PTR, .TXT, .HTTPS, .NS, .CNAME]

  private func randomSite(_ random: inout SeededRandom) -> Site {
    var site = Site()
    site.patterns = (0..<random.below(8)).map { _ in
      (random.pick(patterns), Array(Set((0...random.below(3)).map { _ in random.pick(types) })))
    }
    site.denied = random.below(3) == 0 ? [random.pick(patterns), random.pick(patterns)] : []
    site.zone = random.pick([
      "", "\(Self.lan)host.lan. 60 IN A 192.0.2.7\nself.lan. 60 IN A 127.0.0.1\n",
      "\(Self.lan)host.lan. 60 IN AAAA 2001:db8::7\nself.lan. 60 IN AAAA ::1\n",
      "void. 60 IN SOA void. void. 1 2 3 4 5\ndb. 60 IN SOA db. db. 1 2 3 4 5\ndb. 60 IN A 192.0.2.9\n",
    ])
    site.opensFirewall = random.below(4) > 0
    site.opensIPv6 = random.below(3) > 0
    site.serverOpensIPv6 = random.below(3) > 0
    let addresses = ["192.0.2.1", "2001:db8::1"].prefix(random.below(3)).compactMap { IPAddress($0) }
    let sinkholes: [ResolverRules.Sinkhole] = [.nxdomain, .nodata, .refused, .addresses(addresses)]
    site.sinkhole = random.pick(sinkholes)
    return site
  }

  /// Whether the words mean what was done.
  private func agree(_ told: [String: String], _ done: Resolving.Outcome) -> Bool {
    guard let decision = told["decision"], let answer = told["answer"] else { return false }
    switch done {
    case .drop: return false
    case .resolve: return decision == "allow" && answer.hasPrefix("asked upstream")
    case .local: return decision == "allow" && answer.hasPrefix("answered from the local zones")
    case .reverse: return decision == "local" && told["reason"] == "reverse name"
    case .reply(let code, let count, let recorded):
      switch recorded {
      case .notListed, .typeNotAllowed, .denied:
        let said =
          count > 0
          ? answer.split(separator: ", ").count == count
          : answer == (code == .NOERROR ? "NODATA" : code.description)
        return decision == "block" && said
          && (told["reason"] == "type not allowed") == (recorded == .typeNotAllowed)
          && (told["reason"] == "destination denied, whatever allows it") == (recorded == .denied)
      case .special where answer == "local zone" || answer == "answered from the local zones":
        return decision == (told["reason"] == "listed" ? "allow" : "local")
      case .special: return decision == "local" && answer == (code == .NOERROR ? "NODATA" : code.description)
      // Of a listed name: nothing is recorded but with `audit.allowed: all`.
      case nil: return decision == "allow" && answer.hasPrefix("NODATA") && code == .NOERROR && count == 0
      default: return false
      }
    }
  }

  @Test func `explain and the query path agree over random policies, zones, names, types and families`() throws {
    var random = SeededRandom(seed: 0xDEC1)
    let resolving = try Resolving(Site().snapshot())
    var seen: [String: Int] = [:]
    for _ in 0..<120 {
      let site = randomSite(&random)
      let snapshot = try site.snapshot()
      for _ in 0..<50 {
        let (name, type) = (try Name(presentation: random.pick(names)), random.pick(types))
        let told = Site.explained(name, type, snapshot)
        let done = try resolving.ask(name, type, snapshot)
        seen[told["reason"] ?? "", default: 0] += 1
        #expect(agree(told, done), "\(name) \(type) of \(site): \(told) and \(done)")
      }
    }
    #expect(seen.count == 8 && seen.values.allSatisfy { $0 > 50 }, "\(seen)")
  }
}
