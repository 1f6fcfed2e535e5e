import EgressPolicy
import FirewallModel
import IPNetwork
import Testing

@Suite("the rules of a server's chain")
struct ServerRulesTests {
  /// The rules of the chain of `server`, in order.
  private func rules(_ server: FirewallPlan.Server) throws -> [Substring] {
    let plan = FirewallPlan(
      mode: .managed, servers: [server], listeners: [FirewallPlan.Endpoint(address: IPAddress("10.77.1.1")!, port: 53)])
    let start = "add rule inet sluice \(server.name) "
    return try Ruleset.render(plan).split(separator: "\n").filter { $0.hasPrefix(start) }
      .map { $0.dropFirst(start.count) }
  }

  private func server(
    caps: [ByteCap] = [], staticRules: [FirewallPlan.StaticRule] = []
  ) throws -> FirewallPlan.Server {
    var server = FirewallPlan.Server(
      name: "s", prefixes: [try #require(IPPrefix("10.77.1.0/24"))], opensAnyPort: false, caps: caps)
    server.staticRules = staticRules
    return server
  }

  @Test("answered connections to open addresses come first, and before any bound only where there is none")
  func order() throws {
    let first = "ct state established ip daddr . meta l4proto . th dport @s-4 accept"
    let prefix = try #require(IPPrefix("198.51.100.0/24"))
    let port = PortRule(443, .tcp)
    #expect(try rules(server()).first == Substring(first))
    #expect(
      try rules(server(staticRules: [.init(prefix: prefix, ports: [port])])).first == Substring(first))
    let bounded = [
      try rules(server(caps: [.init(kind: .perConnection, bytes: 1_000)])),
      try rules(server(caps: [.init(kind: .perHour, bytes: 1_000)])),
      try rules(server(staticRules: [.init(prefix: prefix, ports: [port], maxBytes: 1_000)])),
    ]
    for rules in bounded {
      let open = try #require(rules.firstIndex { $0.contains("@s-4 accept") })
      let bounds = try #require(rules.lastIndex { $0.contains("goto s/max-bytes") })
      #expect(bounds < open)
      #expect(!rules.contains { $0.hasPrefix("ct state established ip") })
    }
  }

  @Test(
    "what is denied is refused before anything that opens without a name, bounded or not, and answers to others pass")
  func denied() throws {
    let prefix = try #require(IPPrefix("198.51.100.0/24"))
    for caps in [[], [ByteCap(kind: .perConnection, bytes: 1_000)]] {
      var server = try server(caps: caps, staticRules: [.init(prefix: prefix, ports: [])])
      server.deniedPrefixes = try ["198.51.100.0/25", "203.0.113.0/24", "2001:db8::/32"].map {
        try #require(IPPrefix($0))
      }
      let rules = try rules(server)
      let denied = [
        "ct direction original ip daddr { 198.51.100.0/25, 203.0.113.0/24 } goto s/denied",
        "ct state untracked ip daddr { 198.51.100.0/25, 203.0.113.0/24 } goto s/denied",
        "ct direction original ip6 daddr { 2001:db8::/32 } goto s/denied",
        "ct state untracked ip6 daddr { 2001:db8::/32 } goto s/denied",
      ]
      let places = denied.compactMap { rules.firstIndex(of: Substring($0)) }
      #expect(places.count == denied.count, "\(rules)")
      let opening = try #require(
        rules.firstIndex {
          $0.contains("jump s/new") || $0.contains("ct label") && $0.hasSuffix("accept") && !$0.contains("@s-")
        })
      #expect(places.allSatisfy { $0 < opening }, "\(rules)")
    }
    #expect(try !rules(server(staticRules: [.init(prefix: prefix, ports: [])])).contains { $0.contains("denied") })
  }

  @Test("what goes beyond a bound that audits is told once for each connection, and goes on as if there were none")
  func audited() throws {
    let prefix = try #require(IPPrefix("198.51.100.0/24"))
    let rules = try rules(
      server(
        caps: [
          .init(kind: .perConnection, bytes: 1_000, excess: .audit),
          .init(kind: .perHour, bytes: 5_000, excess: .audit),
        ], staticRules: [.init(prefix: prefix, ports: [], maxBytes: ByteBound(7, .audit))]))
    let key = "ip daddr . meta l4proto . th dport"
    for rule in [
      "ct original bytes > 1000 \(key) @s-4/audit-1000 ct label ! 57 jump s/over-max-bytes",
      "\(key) @s-4/audithour-5000 ct label ! 58 jump s/over-max-bytes-per-hour",
      "ip daddr 198.51.100.0/24 ct original bytes > 7 ct label ! 57 jump s/over-max-bytes",
      "ct label 56 ct original bytes > 1000 ct label ! 57 jump s/over-max-bytes",
      "ct direction reply ct reply bytes > 1000 ct label ! 57 jump s/over-max-bytes",
    ] {
      #expect(rules.contains(Substring(rule)), "\(rule)")
    }
    #expect(!rules.contains { $0.contains("goto s/max-bytes") || $0.contains("untracked goto") })
  }

  @Test("what a helper of the kernel expects, and what is not tracked, meets the open sets, bounded or not")
  func expected() throws {
    let set = "ip daddr . meta l4proto . th dport @s-4 accept"
    let free = try rules(server())
    #expect(free.contains("ct state related,untracked \(set)"))
    let bounded = try rules(server(caps: [.init(kind: .perConnection, bytes: 1_000)]))
    #expect(bounded.contains(Substring(set)))
    // Before what is left is refused.
    let refusal = try #require(free.firstIndex { $0.contains("counter name") })
    #expect(try #require(free.firstIndex { $0.hasPrefix("ct state related") }) < refusal)
  }

  @Test("an IPv4 network is compared by four octets, and listed by nft as it is written")
  func comparisons() throws {
    let own = try #require(rules(server()).first { $0.contains("ip option lsrr") })
    #expect(own.hasPrefix("ip daddr & 255.255.255.0 == 10.77.1.0 "))
  }
}
