import EgressPolicy
import GrantLedger
import IPNetwork
import TestSupport
import Testing

@testable import FirewallModel

@Suite("the rules that lead to the gate")
struct GateRulesTests {
  private func plan(gate: Bool = true) -> FirewallPlan {
    var plan = FirewallPlan.sample()
    plan.servers[0].checksNames = true
    if gate { plan.gate = FirewallPlan.Gate(port: 61_443, user: 998) }
    return plan
  }

  private func rules(_ plan: FirewallPlan, of chain: String) throws -> [Substring] {
    let start = "add rule inet sluice \(chain) "
    return try Ruleset.render(plan).split(separator: "\n").filter { $0.hasPrefix(start) }
      .map { $0.dropFirst(start.count) }
  }

  @Test(
    "a new connection to what is checked is refused before anything but an open prefix accepts it",
    arguments: [true, false])
  func closed(_ hasGate: Bool) throws {
    let new = try rules(plan(gate: hasGate), of: "github-mcp/new")
    for family in ["4", "6"] {
      let refused = try #require(new.firstIndex { $0.contains("@github-mcp-\(family)/sni goto github-mcp/ungated") })
      let opened = try #require(new.firstIndex { $0.contains("@github-mcp-\(family) ct label set") })
      let prefix = try #require(new.firstIndex { $0.contains("198.51.100.0/24") })
      #expect(prefix < refused && refused < opened)
    }
    let main = try rules(plan(), of: "github-mcp")
    let related = try #require(main.firstIndex { $0.contains("related,untracked meta l4proto tcp") })
    #expect(try related < #require(main.firstIndex { $0.contains("related,untracked ip daddr") }))
    // What is answered is quick as ever.
    #expect(main.first?.hasPrefix("ct state established ip daddr") == true)
  }

  @Test("where every port of an address is open, what is checked there and not redirected is not refused for that")
  func everyPort() throws {
    var plan = plan()
    #expect(try !rules(plan, of: "github-mcp/new").contains { $0.contains("-any") })
    plan.servers[0].opensAnyPort = true
    let new = try rules(plan, of: "github-mcp/new")
    for (family, header) in [("4", "ip"), ("6", "ip6")] {
      let refusal = new.filter { $0.contains("@github-mcp-\(family)/sni ") }
      #expect(
        refusal.map { $0.hasSuffix("\(header) daddr != @github-mcp-\(family)-any goto github-mcp/ungated") } == [true])
    }
  }

  @Test("what is open and checked is redirected where the host has a route, and only of servers that check")
  func redirected() throws {
    let redirect = try rules(plan(), of: "github-mcp/sni/redirect")
    #expect(redirect.filter { $0.contains("redirect to :61443") }.count == 2)
    for rule in redirect where rule.contains("redirect to") {
      #expect(rule.contains("/sni ") && rule.contains("fib daddr oif exists ct label set 55"))
    }
    let failed = try #require(redirect.firstIndex { $0.contains("/unreachable return") })
    #expect(try failed < #require(redirect.firstIndex { $0.contains("redirect to") }))
    let text = try Ruleset.render(plan())
    #expect(text.contains("10.77.1.0 : goto github-mcp/sni/redirect") && text.contains("10.77.0.0 : accept"))
    #expect(try !Ruleset.render(plan(gate: false)).contains("redirect to"))
    #expect(try !Ruleset.render(FirewallPlan.sample()).contains("sni"))
  }

  @Test("the gate's user reaches elements of checked sets, and its port takes what was redirected")
  func bounded() throws {
    #expect(try rules(plan(), of: "output").first == "meta skuid 998 jump host/gate/output")
    let output = try rules(plan(), of: "host/gate/output")
    #expect(output.last == "counter reject with icmpx admin-prohibited")
    #expect(output.dropLast().allSatisfy { $0.contains("ct label 5") || $0.contains("/sni ct label set 54 accept") })
    #expect(try rules(plan(), of: "host/fence").contains("tcp dport 61443 ct label 55 accept"))
    #expect(try rules(plan(), of: "input").last == "tcp dport 61443 ct label ! 55 counter reject with tcp reset")
    var open = plan()
    open.fencesInput = false
    #expect(try rules(open, of: "input")[1].hasPrefix("tcp dport 61443 ct label ! 55"))
  }

  @Test("of the host itself the gate's user reaches the inspectors of servers that check, and nothing else")
  func inspectors() throws {
    var plan = plan()
    let proxies = ["127.0.0.1", "::1"].map { FirewallPlan.Endpoint(address: IPAddress($0)!, port: 8080) }
    plan.servers[0].inspectors = proxies
    let output = try rules(plan, of: "host/gate/output")
    #expect(output.filter { $0.contains("oif lo") }.count == 2)
    for text in ["ip daddr 127.0.0.1", "ip6 daddr ::1"] {
      #expect(output.contains("ct state new oif lo \(text) tcp dport 8080 ct label set 54 accept"))
    }
    #expect(output.last == "counter reject with icmpx admin-prohibited")
    // Nobody else gets in by it.
    for chain in ["input", "host/fence"] {
      #expect(try rules(plan, of: chain) == rules(self.plan(), of: chain))
    }
    #expect(try FirewallPlan(decoding: plan.encoded()) == plan && plan.fingerprint != self.plan().fingerprint)
    var unchecked = plan
    unchecked.servers[0].checksNames = false
    #expect(try !Ruleset.render(unchecked).contains("oif lo"))
    plan.servers[0].inspectors[0].port = 0
    #expect(throws: FirewallPlanError.inspectors(index: 0)) { try plan.validate() }
  }

  @Test("how many connections to the gate each network begins has a limit, before any of them is accepted")
  func beginning() throws {
    let fence = try rules(plan(), of: "host/fence")
    let accepted = try #require(fence.firstIndex { $0.hasPrefix("tcp dport 61443 ") && $0.hasSuffix(" accept") })
    let limits = fence.indices.filter {
      fence[$0].hasPrefix("tcp dport 61443 ") && fence[$0].contains("update @beginning/")
    }
    #expect(limits.count >= 2 && limits.allSatisfy { $0 < accepted })
    #expect(limits.allSatisfy { fence[$0].contains("limit rate over 2000/second") && fence[$0].hasSuffix(" drop") })
  }

  @Test("sets, chains and maps are known by their names, and a plan comes through its codec")
  func names() throws {
    #expect(SetName("a-4/sni")?.check == .sni && SetName("a-6/unreachable")?.check == .unreachable)
    #expect(SetName("a-4-any/sni") == nil && SetName("a-4/other") == nil)
    for name in plan().servers.flatMap(SetName.all(of:)) { #expect(SetName(name.text) == name) }
    #expect(Ruleset.isNetworkTable("gated-4/24") && !Ruleset.isNetworkTable("gated-4/x"))
    for chain in Ruleset.chains(of: plan(), .init()) { #expect(Ruleset.isChain(chain), "\(chain)") }
    #expect(try FirewallPlan(decoding: plan().encoded()) == plan())
    #expect(plan().fingerprint != plan(gate: false).fingerprint)
  }

  @Test("an element that is checked stands in both sets, one that is not in the first alone")
  func elements() throws {
    let sets = PlanSets(plan(), [[.v4, .v6], [.v4, .v6, .anyPort4, .anyPort6]])
    let element = GrantElement(server: 0, address: try #require(IPAddress("192.0.2.1")), transport: 6, port: 443)
    let place = try sets.reference(element).get()
    let checked = sets.capSets(of: NameCheck.capBit, beside: place.set, server: 0)
    #expect(checked.map { sets.sets[$0].name } == ["github-mcp-4/sni"])
    #expect(checked.allSatisfy(sets.isCheck) && !sets.isCheck(place.set))
    #expect(checked.allSatisfy { sets.exists($0) && !sets.counts($0) && !sets.isHourCap($0) })
    #expect(sets.capSets(of: 0, beside: place.set, server: 0).isEmpty)
    #expect(sets.capSets(of: NameCheck.capBit, beside: 4, server: 1).isEmpty)
    let failed = try #require(sets.checkSet(.unreachable, beside: place.set, server: 0))
    #expect(sets.sets[failed].name == "github-mcp-4/unreachable")
    #expect(sets.checkSet(.sni, beside: 6, server: 1) == nil)
  }
}
