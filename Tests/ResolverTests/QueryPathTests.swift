import AuditLog
import DNSWire
import EgressPolicy
import IPNetwork
import ResponseCache
import TestSupport
import Testing

@testable import Resolver

@Suite("The query path: denials")
struct QueryPathDenialTests {
  private let opt = Messages.opt()

  @Test("messages that were screened together are answered each by itself, in any order, whatever was prefetched")
  func batch() throws {
    let asker = try Asker(World())
    asker.snapshot.servers[0].cache.store(
      Messages.name("api.github.com"), .A,
      CachedResponse(responseCode: .NXDOMAIN, expires: asker.clock.monotonic + 5 * second))
    let messages: [(octets: [UInt8], client: String)] = [
      (Messages.query("api.github.com", .A), "10.77.1.2"),
      (Messages.query("evil.example.com", .A), "10.77.1.2"),
      (Messages.query("api.github.com", .A), "192.0.2.1"),
      ([1, 2, 3], "10.77.1.2"),
      (Messages.query(String(repeating: "a23456789.", count: 25) + "com", .A), "10.77.1.3"),
      (Messages.query("localhost", .A), "10.77.1.2"),
      (Messages.query("API.github.com", .A), "10.77.1.2"),
      (Messages.query("api.github.com", .AAAA), "10.77.1.2"),
    ]
    let alone = try messages.map { try asker.outcome($0.octets, from: $0.client) }
    for turn in 0..<8 {
      let slots = messages.indices.map { ($0 * 9 + turn * 7) % QueryPath.slots }
      for (slot, message) in zip(slots, messages) {
        asker.path.screen(slot, message.octets.span, from: address(message.client), with: asker.snapshot)
      }
      for step in 0..<(turn % 2 == 0 ? QueryPath.prefetchSteps : 0) {
        for slot in slots { asker.path.prefetch(slot, step: step, with: asker.snapshot) }
      }
      for number in messages.indices.shuffled() {
        let (octets, client) = messages[number]
        #expect(try asker.outcome(octets, from: client, screenedAt: slots[number]) == alone[number])
      }
    }
    #expect(Set(alone).count > 5, "too many of them have one answer")
  }

  @Test("a name that is not listed is NXDOMAIN with the sinkhole's SOA and EDE 15, and one record")
  func notListed() throws {
    let asker = try Asker(try World())
    for name in [
      "evil.example.com", "example.com", "x.api.example.com", "cdn.example.net", "a.b.cdn.example.net",
      "deep.example.org",
    ] {
      let reply = try asker.reply(Messages.query(name, .A, opt: opt))
      #expect(reply.code == .NXDOMAIN && reply.isSinkhole, "\(name)")
      #expect(reply.extendedError?.code == 15 && reply.extendedError?.text == "mcp: not-listed")
      #expect(asker.recorded() == [.notListed])
    }
    #expect(asker.counted(.denied) == 6 && asker.counted(.resolved) == 0)
  }

  @Test(
    "listed names and patterns are pending, in any case",
    arguments: [
      "api.example.com", "API.Example.COM", "x.cdn.example.net", "a.deep.example.org", "a.b.c.deep.example.org",
    ])
  func listed(name: String) throws {
    let asker = try Asker(try World())
    guard case .pending(let question) = try asker.ask(Messages.query(name, .A)) else {
      Issue.record("\(name) is not pending")
      return
    }
    #expect(question.name == Messages.name(name.lowercased()) && question.type == .A && question.server == 0)
    #expect(asker.recorded().isEmpty)
  }

  @Test(
    "a type that is not allowed is NODATA for a listed name",
    arguments: [
      RRType.TXT, .MX, .HTTPS, .SVCB, .NS, .SOA, .CNAME, .SRV, .ANY, .AXFR, .IXFR, .DNSKEY, .OPT, .TSIG,
      RRType(rawValue: 0),
      RRType(rawValue: 65_535), .PTR,
    ])
  func type(type: RRType) throws {
    let asker = try Asker(try World())
    let reply = try asker.reply(Messages.query("api.example.com", type, opt: opt))
    #expect(reply.code == .NOERROR && reply.isSinkhole)
    #expect(reply.extendedError?.code == 15 && reply.extendedError?.text == "mcp: type-not-allowed")
    #expect(asker.recorded() == [.typeNotAllowed])
  }

  @Test("another class than IN is REFUSED for every name", arguments: [0, 2, 3, 4, 254, 255, 65_535])
  func classNotAllowed(klass: Int) throws {
    let asker = try Asker(try World())
    for name in ["api.example.com", "evil.example.com", "version.bind", "."] {
      let reply = try asker.reply(Messages.query(name, .A, klass: klass, opt: opt))
      #expect(reply.code == .REFUSED && reply.section(.authority).isEmpty && reply.extendedError?.code == 15)
      #expect(asker.recorded() == [.classNotAllowed])
    }
  }

  @Test("a client of no network gets what the configuration says, and EDE 18")
  func unknownClient() throws {
    var world = try World()
    for client in ["10.77.3.1", "9.9.9.9", "fd00::1", "127.0.0.1"] {
      world.unknownClients = .nxdomain
      var asker = try Asker(world)
      let denied = try asker.reply(Messages.query("api.example.com", .A, opt: opt), from: client)
      #expect(denied.code == .NXDOMAIN && denied.isSinkhole && denied.extendedError?.code == 18)
      #expect(denied.extendedError?.text == "unknown: unknown-client")
      #expect(asker.recorded() == [.unknownClient])
      world.unknownClients = .refused
      asker = try Asker(world)
      let refused = try asker.reply(Messages.query("api.example.com", .A, opt: opt), from: client)
      #expect(refused.code == .REFUSED && refused.section(.authority).isEmpty && refused.extendedError?.code == 18)
      #expect(asker.recorded() == [.unknownClient])
      world.unknownClients = .drop
      asker = try Asker(world)
      guard case .drop = try asker.ask(Messages.query("api.example.com", .A), from: client) else {
        Issue.record("answered")
        continue
      }
      #expect(asker.recorded() == [.unknownClient])
    }
  }

  @Test("an unknown client does not learn special-use answers or PTR either")
  func unknownClientLocal() throws {
    let asker = try Asker(try World())
    for (name, type): (String, RRType) in [("localhost", .A), ("1.0.0.10.in-addr.arpa", .PTR), (".", .NS)] {
      #expect(try asker.reply(Messages.query(name, type), from: "10.1.1.1").code == .NXDOMAIN)
      #expect(asker.recorded() == [.unknownClient])
    }
  }

  @Test("what was screened for another policy is no reason to look beyond the end of this one's servers")
  func staleScreening() throws {
    let asker = try Asker(World())
    let last = asker.snapshot.servers.count - 1
    let client = try #require(asker.snapshot.policy.servers[last].networks.first?.prefix.address)
    let query = Messages.query("api.github.com", .A)
    for slot in 0..<QueryPath.slots {
      asker.path.screen(slot, query.span, from: client, with: asker.snapshot)
    }
    let fewer = ResolverSnapshot(
      policy: PolicySnapshot([], hash: asker.snapshot.policy.nameHash), zones: asker.snapshot.zones,
      rules: asker.snapshot.rules, servers: [])
    for step in 0..<QueryPath.prefetchSteps { asker.path.prefetch(7, step: step, with: fewer) }
    // A datagram that did not fit is screened as nothing, and forgets what was there.
    asker.path.screen(7, Span(), from: client, with: fewer)
    #expect(try asker.outcome([], from: "10.77.1.2", screenedAt: 7) == [0])
  }

  @Test("a query whose interface may be untold is dropped if its server is known by one, and only then")
  func untoldInterface() throws {
    let asker = try Asker(World())
    asker.path.interfaceMayBeUntold = true
    let query = Messages.query("evil.example.com", .A)
    guard case .drop = try asker.ask(query, from: "10.77.2.2", interface: 0) else {
      Issue.record("not dropped")
      return
    }
    #expect(asker.recorded().isEmpty)
    #expect(try asker.reply(query, from: "10.77.2.2", interface: 7).code == .NXDOMAIN)
    #expect(asker.recorded() == [.notListed])
    #expect(try asker.reply(query, from: "10.77.1.2", interface: 0).code == .NXDOMAIN)
    #expect(asker.recorded() == [.notListed])
    asker.path.interfaceMayBeUntold = false
    #expect(try asker.reply(query, from: "10.77.2.2", interface: 0).code == .NXDOMAIN)
    #expect(asker.recorded() == [.unknownClient])
  }

  @Test("a query on another interface than the policy names belongs to no server")
  func interface() throws {
    let asker = try Asker(try World())
    let query = Messages.query("api.example.com", .A)
    guard case .pending(let question) = try asker.ask(query, from: "10.77.2.9", interface: 7) else {
      Issue.record("the right interface is refused")
      return
    }
    #expect(question.server == 1)
    for wrong: UInt32 in [0, 3, 8] {
      #expect(try asker.reply(query, from: "10.77.2.9", interface: wrong).code == .NXDOMAIN)
      #expect(asker.recorded() == [.unknownClient])
    }
    guard case .pending = try asker.ask(query, from: "10.77.2.9", interface: 7) else {
      Issue.record("a wrong interface spoiled the right one")
      return
    }
  }

  @Test("a policy whose interface does not exist admits no client")
  func missingInterface() throws {
    let asker = try Asker(try World(), interfaces: [:])
    for interface: UInt32 in [0, 7] {
      #expect(
        try asker.reply(Messages.query("api.example.com", .A), from: "10.77.2.9", interface: interface).code
          == .NXDOMAIN)
    }
  }

  @Test("the sinkhole answers as configured")
  func sinkhole() throws {
    var world = try World()
    world.sinkhole = .nodata
    var reply = try Asker(world).reply(Messages.query("evil.example.com", .A, opt: opt))
    #expect(reply.code == .NOERROR && reply.isSinkhole && reply.extendedError?.code == 15)
    world.sinkhole = .refused
    reply = try Asker(world).reply(Messages.query("evil.example.com", .A, opt: opt))
    #expect(reply.code == .REFUSED && reply.section(.authority).isEmpty)
    world.sinkhole = .addresses([address("192.0.2.1"), address("192.0.2.2"), address("2001:db8::1")])
    reply = try Asker(world).reply(Messages.query("evil.example.com", .A, opt: opt))
    #expect(reply.code == .NOERROR && reply.extendedError?.code == 15)
    #expect(reply.summaries == ["evil.example.com A 192.0.2.1", "evil.example.com A 192.0.2.2"])
    #expect(reply.answers.allSatisfy { $0.header.ttl == 5 })
    reply = try Asker(world).reply(Messages.query("evil.example.com", .AAAA, opt: opt))
    #expect(reply.summaries == ["evil.example.com AAAA 2001:db8::1"])
    reply = try Asker(world).reply(Messages.query("evil.example.com", .TXT, opt: opt))
    #expect(reply.code == .NOERROR && reply.answers.isEmpty)
  }

  @Test("however many sinkhole addresses there are, the reply stays inside the client's limit")
  func manySinkholeAddresses() throws {
    var world = try World()
    world.sinkhole = .addresses((0..<200).map { IPAddress(high: 0x2001_0DB8_0000_0000, low: $0) })
    let long = (0..<4).map { _ in String(repeating: "x", count: 60) }.joined(separator: ".")
    let asker = try Asker(world)
    for (opt, limit) in [([], 512), (Messages.opt(size: 512), 512), (Messages.opt(size: 4096), 1232)] {
      for name in ["evil.example.com", long] {
        let reply = try asker.reply(Messages.query(name, .AAAA, opt: opt))
        #expect(reply.octets.count <= limit && reply.octets.count > limit - 60)
        #expect(!reply.answers.isEmpty && (reply.opt == nil) == opt.isEmpty)
      }
    }
  }

  @Test("a long SOA of denials does not make a reply too large")
  func longSOA() throws {
    var world = try World()
    let label = String(repeating: "m", count: 60)
    let long = "\(label).\(label).\(label).\(label)."
    world.zoneText = ". 5 IN SOA \(long) \(long) 1 2 3 4 5\n"
    let asker = try Asker(world)
    let name = "\(label).\(label).\(label).\(label)"
    let reply = try asker.reply(Messages.query(name, .A))
    #expect(reply.octets.count <= 512 && reply.code == .NXDOMAIN && reply.section(.authority).isEmpty)
    #expect(try asker.reply(Messages.query("a.example", .A, opt: Messages.opt())).section(.authority).count == 1)
  }

  @Test("AAAA is NODATA where the firewall has no IPv6 set, for listed names only")
  func withoutIPv6() throws {
    var world = try World()
    world.opensIPv6 = false
    let asker = try Asker(world)
    let nodata = try asker.reply(Messages.query("api.example.com", .AAAA, opt: opt))
    #expect(nodata.code == .NOERROR && nodata.isSinkhole && nodata.extendedError == nil)
    #expect(asker.recorded().isEmpty)
    #expect(try asker.reply(Messages.query("evil.example.com", .AAAA)).code == .NXDOMAIN)
    guard case .pending = try asker.ask(Messages.query("api.example.com", .A)) else {
      Issue.record("A is not pending")
      return
    }
    world.opensFirewall = false
    guard case .pending = try Asker(world).ask(Messages.query("api.example.com", .AAAA)) else {
      Issue.record("AAAA is not pending without a firewall")
      return
    }
  }
}

@Suite("The query path: local answers")
struct QueryPathLocalTests {
  @Test(
    "special-use names are answered here and recorded; one that does not exist says why",
    arguments: [
      ("x.test", 3), ("test", 3), ("a.invalid", 3), ("printer.local", 3), ("x.onion", 3), ("router.home.arpa", 3),
      ("use-application-dns.net", 3), ("localhost", 0), ("a.b.localhost", 0), ("ipv4only.arpa", 0),
    ])
  func specialUse(name: String, code: Int) throws {
    let asker = try Asker(try World())
    let reply = try asker.reply(Messages.query(name, .A, opt: Messages.opt()))
    #expect(Int(reply.code.rawValue) == code && reply.opt != nil)
    #expect(reply.extendedError?.code == (code == 3 ? 15 : nil))
    #expect(asker.recorded() == [.special])
    #expect(asker.counted(.special) == 1 && asker.counted(.denied) == 0)
  }

  @Test(
    "of a local name's addresses those that fit are answered, with TC, and by TCP all",
    arguments: ["many.corp", "MaNy.cOrP"])
  func localRecords(name: String) throws {
    var world = try World()
    world.zoneText =
      "corp. 60 IN SOA a. b. 1 2 3 4 60\n" + (1...90).map { "many.corp. 60 IN A 127.0.1.\($0)\n" }.joined()
    let asker = try Asker(world)
    for (opt, transport, count) in [([], .udp, 30), (Messages.opt(), .udp, 74), ([], .tcp, 90)]
      as [([UInt8], AuditTransport, Int)]
    {
      let reply = try asker.reply(Messages.query(name, .A, opt: opt), transport: transport)
      #expect(reply.answers.count == count && reply.header.isTruncated == (count < 90))
      #expect(reply.answers.allSatisfy { $0.owner == "many.corp" && $0.rdata.starts(with: [127, 0, 1]) })
    }
  }

  @Test("localhost is the loopback address")
  func localhost() throws {
    let asker = try Asker(try World())
    #expect(try asker.reply(Messages.query("localhost", .A)).summaries == ["localhost A 127.0.0.1"])
    #expect(try asker.reply(Messages.query("x.localhost", .AAAA)).summaries == ["x.localhost AAAA ::1"])
    let nodata = try asker.reply(Messages.query("localhost", .TXT))
    #expect(nodata.code == .NOERROR && nodata.answers.isEmpty && nodata.section(.authority).count == 1)
  }

  @Test(
    "a single label is NXDOMAIN, recorded as special", arguments: ["wpad", "com", "db"], [RRType.A, .AAAA, .TXT])
  func singleLabel(name: String, type: RRType) throws {
    let asker = try Asker(try World())
    let reply = try asker.reply(Messages.query(name, type, opt: Messages.opt()))
    #expect(reply.code == .NXDOMAIN && reply.isSinkhole && reply.extendedError?.code == 15)
    #expect(asker.recorded() == [.special] && asker.counted(.special) == 1 && asker.counted(.denied) == 0)
  }

  @Test(
    "the root is NODATA and special use, whatever type is asked", arguments: [RRType.NS, .A, .DNSKEY, .SOA, .ANY, .PTR])
  func root(type: RRType) throws {
    let asker = try Asker(try World())
    let reply = try asker.reply(Messages.query(".", type))
    #expect(reply.code == .NOERROR && reply.isSinkhole)
    #expect(asker.recorded() == [.special] && asker.counted(.special) == 1 && asker.counted(.denied) == 0)
  }

  @Test("PTR of any address goes to the ledger, in both forms; other names under arpa are denied here")
  func pointer() throws {
    let asker = try Asker(try World())
    let v6 = String(repeating: "1.", count: 31) + "2.ip6.arpa"
    for (name, expected) in [
      ("4.3.2.1.in-addr.arpa", "1.2.3.4"), ("4.3.2.1.IN-ADDR.ARPA", "1.2.3.4"),
      (v6, "2111:1111:1111:1111:1111:1111:1111:1111"),
    ] {
      guard case .pending(let question) = try asker.ask(Messages.query(name, .PTR)),
        case .reverse(let found) = question.kind
      else {
        Issue.record("\(name) is not a pointer")
        continue
      }
      #expect(found == address(expected))
    }
    for name in [
      "3.2.1.in-addr.arpa", "256.2.3.1.in-addr.arpa", "01.2.3.1.in-addr.arpa", "5.4.3.2.1.in-addr.arpa", "in-addr.arpa",
      "x.2.3.1.in-addr.arpa", "1.ip6.arpa", "g." + v6.dropFirst(2),
    ] {
      guard case .reply(let reply) = try asker.ask(Messages.query(name, .PTR)) else {
        Issue.record("\(name) left the path")
        continue
      }
      #expect(reply.code == .NXDOMAIN, "\(name)")
    }
    guard case .reply = try asker.ask(Messages.query("4.3.2.1.in-addr.arpa", .A)) else {
      Issue.record("A of a reverse name left the path")
      return
    }
  }

  @Test("a label that is too long, or no nibble, makes no address")
  func noPointer() {
    let nibbles = [[UInt8]](repeating: [1, 49], count: 30).flatMap { $0 }
    for name in [
      [11] + [UInt8](repeating: 57, count: 11) + Messages.name("in-addr.arpa"),
      [2, 49] + Messages.name("in-addr.arpa"), [3, 97, 1, 98] + nibbles + Messages.name("ip6.arpa"),
    ] {
      #expect(ReverseName.address(name.span) == nil, "\(name)")
    }
    let whole = [1, 97, 1, 98] + nibbles + Messages.name("ip6.arpa")
    #expect(ReverseName.address(whole.span) != nil)
  }

  @Test("a local zone's routable address is never handed out without policy, and opened first with it")
  func localZone() throws {
    var world = try World(["db.corp.example"])
    world.zoneText = """
      corp.example. 300 IN SOA ns.corp.example. h.corp.example. 1 3600 600 86400 60
      db.corp.example. 300 IN A 10.0.0.9
      hidden.corp.example. 300 IN A 10.0.0.8
      loop.corp.example. 300 IN A 127.0.0.9

      """
    let asker = try Asker(world)
    #expect(try asker.reply(Messages.query("hidden.corp.example", .A)).code == .NXDOMAIN)
    #expect(asker.recorded() == [.notListed])
    #expect(try asker.reply(Messages.query("loop.corp.example", .A)).summaries == ["loop.corp.example A 127.0.0.9"])
    guard case .pending(let question) = try asker.ask(Messages.query("db.corp.example", .A)),
      case .local = question.kind
    else {
      Issue.record("db.corp.example is not opened first")
      return
    }
  }
}

@Suite("The query path: failing closed")
struct QueryPathFailureTests {
  @Test("a full audit ring turns denials into SERVFAIL, nothing unrecorded is said")
  func fullRing() throws {
    let asker = try Asker(try World(), ringCapacity: 4096)
    let query = Messages.query("evil.example.com", .A, opt: Messages.opt())
    var denied = 0
    while try asker.reply(query).code == .NXDOMAIN, denied < 1000 { denied += 1 }
    #expect(denied > 10 && denied < 200)
    for (name, type, client): (String, RRType, String) in [
      ("evil.example.com", .A, "10.77.1.2"), ("api.example.com", .TXT, "10.77.1.2"), ("api.example.com", .A, "9.9.9.9"),
    ] {
      let reply = try asker.reply(Messages.query(name, type, opt: Messages.opt()), from: client)
      #expect(reply.code == .SERVFAIL && reply.answers.isEmpty && reply.section(.authority).isEmpty)
      #expect(reply.extendedError?.code == 0)
      #expect(reply.extendedError?.text.hasSuffix(": audit-full") == true, "\(reply.extendedError?.text ?? "")")
    }
    #expect(asker.recorded().count == denied)
    #expect(try asker.reply(query).code == .NXDOMAIN)
  }

  @Test("a full ring does not make a dropped client get an answer")
  func fullRingDrop() throws {
    var world = try World()
    world.unknownClients = .drop
    let asker = try Asker(world, ringCapacity: 4096)
    for _ in 0..<300 {
      guard case .drop = try asker.ask(Messages.query("evil.example.com", .A), from: "9.9.9.9") else {
        Issue.record("answered")
        return
      }
    }
  }

  @Test("a blocked audit log turns everything that would be recorded or granted into SERVFAIL")
  func blocked() throws {
    let asker = try Asker(try World())
    asker.path.auditIsBlocked = true
    for (name, type): (String, RRType) in [
      ("evil.example.com", .A), ("api.example.com", .A), ("api.example.com", .TXT), ("4.3.2.1.in-addr.arpa", .PTR),
      ("localhost", .A), ("printer.local", .A), ("wpad", .A), (".", .NS),
    ] {
      let reply = try asker.reply(Messages.query(name, type, opt: Messages.opt()))
      #expect(reply.code == .SERVFAIL && reply.extendedError?.code == 0, "\(name)")
      #expect(reply.extendedError?.text == "mcp: audit-blocked")
    }
    #expect(asker.recorded().isEmpty)
  }

  @Test("with all slots taken a question gets SERVFAIL and a record")
  func overloaded() throws {
    let asker = try Asker(try World())
    let query = Messages.query("api.example.com", .A, opt: Messages.opt())
    for _ in 0..<ServerState.maxWaiting {
      guard case .pending = try asker.ask(query) else {
        Issue.record("not pending")
        return
      }
    }
    let reply = try asker.reply(query)
    #expect(reply.code == .SERVFAIL && reply.extendedError?.text == "mcp: overloaded")
    #expect(asker.recorded() == [.overloaded])
    asker.snapshot.servers[0].leave()
    guard case .pending = try asker.ask(query) else {
      Issue.record("a slot that was left stays taken")
      return
    }
  }

  @Test("malformed messages get their code or nothing, and no record")
  func malformed() throws {
    let asker = try Asker(try World())
    let query = Messages.query("api.example.com", .A)
    var response = query
    response[2] |= 0x80
    for message in [[], Array(query[..<11]), response] {
      guard case .drop = try asker.ask(message) else {
        Issue.record("answered")
        continue
      }
    }
    var status = query
    status[2] = 0x11
    let two = Messages.be16(1) + [1, 0, 0, 2, 0, 0, 0, 0, 0, 0] + query[12...] + query[12...]
    for (message, code): ([UInt8], ResponseCode) in [
      (query + [0], .FORMERR), (Array(query.dropLast()), .FORMERR), (two, .FORMERR), (status, .NOTIMP),
      (query.prefix(12) + [0xC0, 0x0C, 0, 1, 0, 1], .FORMERR),
    ] {
      let reply = try asker.reply(message)
      #expect(reply.code == code && reply.answers.isEmpty)
      #expect(reply.header.id == UInt16(message[0]) << 8 | UInt16(message[1]))
    }
    let version = try asker.reply(Messages.query("api.example.com", .A, opt: Messages.opt(version: 1)))
    #expect(version.code == .NOERROR && version.opt.map { $0.header.ttl >> 24 } == 1)
    #expect(asker.recorded().isEmpty && asker.counted(.malformed) == 9)
  }

  /// A message of each kind that is no query, or none that is answered by policy.
  private static var noQueries: [[UInt8]] {
    let query = Messages.query("api.example.com", .A)
    var (notify, response) = (query, query)
    notify[2] = 0x20
    response[2] |= 0x80
    return [
      notify, response, query + [0], Array(query.dropLast()), Array(query[..<11]), [],
      Messages.query("api.example.com", .A, opt: Messages.opt(version: 1)),
      Array("!\"#$%&'()*+,-./0123456789:;<=>?".utf8),
    ]
  }

  @Test("what cannot be parsed is counted with the server in whose network the client is")
  func malformedByServer() throws {
    for (client, interface, counts) in [
      ("10.77.1.2", 3, [8, 0, 0]), ("10.77.2.2", 7, [0, 8, 0]), ("10.77.2.2", 3, [0, 0, 8]), ("9.9.9.9", 3, [0, 0, 8]),
    ] as [(String, UInt32, [UInt64])] {
      let asker = try Asker(try World())
      for message in Self.noQueries { _ = try asker.ask(message, from: client, interface: interface) }
      let servers = asker.snapshot.servers.map { $0.counts.total(.malformed) }
      #expect(servers + [asker.snapshot.unknownClients.total(.malformed)] == counts, "\(client) by \(interface)")
    }
  }

  @Test("where unknown clients are dropped they get nothing for what cannot be parsed either")
  func dropMeansDrop() throws {
    var world = try World()
    world.unknownClients = .drop
    for (client, interface): (String, UInt32) in [("9.9.9.9", 3), ("fd00::1", 3), ("10.77.2.2", 3)] {
      for transport in [.udp, .tcp] as [AuditTransport] {
        let asker = try Asker(world)
        for message in Self.noQueries {
          guard case .drop = try asker.ask(message, from: client, interface: interface, transport: transport) else {
            Issue.record("\(client) gets an answer to \(message)")
            continue
          }
        }
        #expect(asker.counted(.malformed) == UInt64(Self.noQueries.count))
      }
    }
    // And a known one does.
    let reply = try Asker(world).reply(Self.noQueries[0])
    #expect(reply.code == .NOTIMP)
  }

  @Test(
    "a port of a service that answers whatever it gets gets nothing, over UDP",
    arguments: [0, 7, 13, 17, 19, 37, 123, 161])
  func servicePorts(port: UInt16) throws {
    let messages = Self.noQueries + [Messages.query("localhost", .A), Messages.query("evil.example.com", .A)]
    for client in ["10.77.1.2", "9.9.9.9"] {
      let asker = try Asker(try World())
      for message in messages {
        guard case .drop = try asker.ask(message, from: client, port: port) else {
          Issue.record("port \(port) gets an answer to \(message)")
          continue
        }
      }
      #expect(asker.recorded().isEmpty && asker.counted(.malformed) == UInt64(messages.count))
    }
    guard port > 0 else { return }
    // A connection is no forged address, and other low ports are resolvers' own.
    for (other, transport): (UInt16, AuditTransport) in [(port, .tcp), (53, .udp), (853, .udp), (1_024, .udp)] {
      guard case .reply = try Asker(try World()).ask(messages[8], port: other, transport: transport) else {
        Issue.record("no answer to port \(other) over \(transport)")
        continue
      }
    }
  }

  @Test("an unknown client gets at most three times what it sent; the text of the error gives way first, then the SOA")
  func amplification() throws {
    let small = Messages.opt()
    let names = [
      "a", "a.b", "api.example.com", "host.of.some.length.example.org", String(repeating: "x", count: 60) + ".net",
    ]
    var (withText, withSOA, without) = (0, 0, 0)
    for unknown in [.nxdomain, .refused] as [ResolverRules.UnknownClients] {
      var world = try World()
      world.unknownClients = unknown
      for name in names {
        for opt in [[], small] {
          let message = Messages.query(name, .A, opt: opt)
          let reply = try Asker(world).reply(message, from: "9.9.9.9")
          #expect(reply.octets.count <= 3 * message.count, "\(name): \(message.count) → \(reply.octets.count)")
          #expect(opt.isEmpty || reply.extendedError?.code == 18, "the code itself stays")
          guard case .nxdomain = unknown else { continue }
          let hasText = reply.extendedError?.text.isEmpty == false
          let hasSOA = !reply.section(.authority).isEmpty
          #expect(hasSOA || !hasText)
          if hasText { withText += 1 } else if hasSOA { withSOA += 1 } else { without += 1 }
        }
      }
    }
    #expect(withText > 0 && withSOA > 0 && without > 0, "\(withText) \(withSOA) \(without)")
    // Over TCP no address is forged.
    let stream = try Asker(try World()).reply(Messages.query("a", .A, opt: small), from: "9.9.9.9", transport: .tcp)
    #expect(stream.isSinkhole && stream.extendedError?.text == "unknown: unknown-client")
  }

  @Test("a query from port 0 gets no reply")
  func portZero() throws {
    guard case .drop = try Asker(try World()).ask(Messages.query("localhost", .A), port: 0) else {
      Issue.record("answered")
      return
    }
  }
}

@Suite("The query path: the cache")
struct QueryPathCacheTests {
  private func stored(
    _ asker: Asker, expires: UInt64, grantExpires: UInt64, epoch: UInt64, error: ExtendedErrorCode? = nil,
    cause: AuditCode? = nil
  ) {
    var writer = SectionWriter(question: Messages.name("api.example.com"))
    writer.append(.A, ttl: 0, rdata: [9, 9, 9, 9])
    asker.snapshot.servers[0].cache.store(
      Messages.name("api.example.com"), .A,
      CachedResponse(
        responseCode: error == nil ? .NOERROR : .SERVFAIL, answerCount: error == nil ? 1 : 0,
        sections: error == nil ? writer.octets : [], ttlOffsets: error == nil ? writer.ttlOffsets : [],
        expires: expires, grantExpires: grantExpires, epoch: epoch, extendedError: error,
        cause: cause?.rawValue ?? 0))
  }

  @Test("a hit is handed out only inside TTL, grant and epoch")
  func hits() throws {
    let asker = try Asker(try World())
    let now = asker.clock.monotonic
    let query = Messages.query("API.example.com", .A)
    stored(asker, expires: now + 60 * second, grantExpires: now + 30 * second, epoch: 1)
    let hit = try asker.reply(query)
    #expect(hit.summaries == ["api.example.com A 9.9.9.9"] && hit.answers[0].header.ttl == 30)
    #expect(asker.counted(.cached) == 1 && asker.recorded().isEmpty)
    let states: [(UInt64, UInt64, UInt64)] = [
      (now, now + 60 * second, 1), (now + 60 * second, now, 1), (now + 60 * second, now + 60 * second, 2),
      (now + 60 * second, now + 60 * second, 0),
    ]
    for (expires, grantExpires, epoch) in states {
      stored(asker, expires: expires, grantExpires: grantExpires, epoch: epoch)
      guard case .pending = try asker.ask(query) else {
        Issue.record("handed out with \(expires) \(grantExpires) \(epoch)")
        continue
      }
    }
  }

  @Test("another server does not see it")
  func separate() throws {
    let asker = try Asker(try World())
    stored(asker, expires: .max, grantExpires: .max, epoch: CachedResponse.anyEpoch)
    guard case .pending = try asker.ask(Messages.query("api.example.com", .A), from: "10.77.2.1", interface: 7) else {
      Issue.record("one server's cache answered another")
      return
    }
  }

  @Test(
    "a remembered failure is recorded as what it was each time, never as allowed",
    arguments: [
      (ExtendedErrorCode.blocked, AuditCode.answerNotPublic), (.blocked, .upstreamBlocked), (.blocked, .chainRefused),
      (.invalidData, .answerInvalid), (.invalidData, .chainTooLong), (.noReachableAuthority, .upstreamUnreachable),
      (.networkError, .upstreamUnreachable), (.noReachableAuthority, .upstreamRefused),
    ], [false, true])
  func failure(codes: (ExtendedErrorCode, AuditCode), all: Bool) throws {
    var world = try World()
    world.allowedEvents = all ? .all : .none
    let asker = try Asker(world)
    stored(
      asker, expires: asker.clock.monotonic + second, grantExpires: .max, epoch: .max, error: codes.0, cause: codes.1)
    let reply = try asker.reply(Messages.query("api.example.com", .A, opt: Messages.opt()))
    #expect(reply.extendedError?.text == "mcp: \(codes.1.token)", "as it was told the first time")
    #expect(reply.code == .SERVFAIL && reply.extendedError.map { UInt16($0.code) } == codes.0.rawValue)
    #expect(asker.counted(codes.1.decision == .block ? .denied : .cached) == 1)
    #expect(asker.recorded() == [codes.1])
  }

  @Test("`allowed: all` records every hit, and no hit leaves without its record")
  func allEvents() throws {
    var world = try World()
    world.allowedEvents = .all
    let asker = try Asker(world, ringCapacity: 4096)
    stored(asker, expires: .max, grantExpires: .max, epoch: CachedResponse.anyEpoch)
    let query = Messages.query("api.example.com", .A)
    var hits = 0
    while try asker.reply(query).code == .NOERROR, hits < 1000 { hits += 1 }
    #expect(hits < 1000)
    #expect(try asker.reply(query).answers.isEmpty)
    #expect(asker.recorded() == Array(repeating: .answered, count: hits))
  }

  @Test("`allowed: all` records that a listed name has no IPv6 address here", arguments: [false, true])
  func withoutIPv6(all: Bool) throws {
    var world = try World()
    world.allowedEvents = all ? .all : .grants
    world.opensIPv6 = false
    let asker = try Asker(world)
    let reply = try asker.reply(Messages.query("api.example.com", .AAAA))
    #expect(reply.code == .NOERROR && reply.answers.isEmpty)
    #expect(asker.recorded() == (all ? [.answered] : []))
  }

  @Test("that a listed name has no IPv6 address here is not said without its record")
  func withoutIPv6Unrecorded() throws {
    var world = try World()
    world.allowedEvents = .all
    world.opensIPv6 = false
    let asker = try Asker(world, ringCapacity: 4096)
    let query = Messages.query("api.example.com", .AAAA)
    var said = 0
    while try asker.reply(query).code == .NOERROR, said < 1000 { said += 1 }
    #expect(said < 1000)
    #expect(try asker.reply(query).code == .SERVFAIL)
    #expect(asker.recorded() == Array(repeating: .answered, count: said))
  }
}

@Suite("The query path: deny before forward (P1)")
struct DenyBeforeForwardTests {
  /// What the policy of `World` allows, by labels, independent of the code under test.
  private func isListed(_ labels: [[UInt8]]) -> Bool {
    let lower = labels.map { $0.map { $0 &- 65 < 26 ? $0 + 32 : $0 } }
    func ends(_ text: String) -> Bool {
      lower.suffix(3).elementsEqual(text.split(separator: ".").map { Array($0.utf8) })
    }
    func plain(_ label: [UInt8]) -> Bool {
      label.allSatisfy { (48...57).contains($0) || (97...122).contains($0) || $0 == 45 || $0 == 95 }
    }
    guard lower.allSatisfy(plain) else { return false }
    return lower.count == 3 && ends("api.example.com") || lower.count == 4 && ends("cdn.example.net")
      || lower.count > 3 && ends("deep.example.org")
  }

  private let suffixes = [
    "api.example.com", "cdn.example.net", "x.cdn.example.net", "deep.example.org", "a.deep.example.org", "example.com",
    "localhost", "test", "com", "in-addr.arpa", "1.in-addr.arpa", "",
  ]

  private func label(_ random: inout SeededRandom) -> [UInt8] {
    switch Int.random(in: 0..<6, using: &random) {
    case 0: return Array("a.b".utf8)
    case 1: return [0]
    case 2: return Array("api.example.com".utf8)
    case 3: return (0..<Int.random(in: 1...63, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
    case 4: return Array("x\u{0}".utf8)
    default: return Array("www".utf8)
    }
  }

  @Test("no name, type or class that is not allowed ever becomes pending")
  func property() throws {
    var random = SeededRandom(seed: 0x51CE)
    let asker = try Asker(try World(), ringCapacity: 1 << 20)
    var (denied, pending) = (0, 0)
    for _ in 0..<20_000 {
      var labels: [[UInt8]] = (0..<[0, 0, 0, 1, 1, 2, 5].randomElement(using: &random)!).map { _ in label(&random) }
      labels += suffixes.randomElement(using: &random)!.split(separator: ".").map { Array($0.utf8) }
      for index in labels.indices where Bool.random(using: &random) {
        labels[index] = labels[index].map { (97...122).contains($0) && Bool.random(using: &random) ? $0 - 32 : $0 }
      }
      if Int.random(in: 0..<8, using: &random) == 0, !labels.isEmpty, let last = labels[0].indices.last {
        labels[0][last] ^= 0x80
      }
      guard labels.reduce(1, { $0 + $1.count + 1 }) <= 255 else { continue }
      let type = [RRType.A, .AAAA, .TXT, .HTTPS, .ANY, .PTR, RRType(rawValue: .random(in: 0...300, using: &random))]
        .randomElement(using: &random)!
      let klass = [1, 1, 1, 1, 3, 255].randomElement(using: &random)!
      let name: [UInt8] = labels.flatMap { (label: [UInt8]) -> [UInt8] in [UInt8(label.count)] + label } + [0]
      let message: [UInt8] =
        Messages.be16(7) + [1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + name + Messages.be16(Int(type.rawValue))
        + Messages.be16(klass)
      let isAllowed = klass == 1 && (type == .A || type == .AAAA) && isListed(labels)
      switch try asker.ask(message) {
      case .pending(let question):
        pending += 1
        asker.snapshot.servers[0].leave()
        if case .reverse = question.kind { continue }
        #expect(isAllowed, "\(NameWire.presentation(name.span)) \(type) \(klass)")
      case .reply(let reply):
        denied += 1
        #expect(!isAllowed, "\(NameWire.presentation(name.span)) \(type) \(klass)")
        #expect(reply.code != .SERVFAIL && reply.question == Array(message[12...]))
      case .drop:
        Issue.record("dropped")
      }
      if denied % 500 == 0 { _ = asker.recorded() }
    }
    #expect(denied > 5000 && pending > 200, "\(denied) \(pending)")
  }
}
