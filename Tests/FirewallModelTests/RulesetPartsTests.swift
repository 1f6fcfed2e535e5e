import EgressPolicy
import HostNetwork
import IPNetwork
import TestSupport
import Testing

@testable import FirewallModel

/// Which parts of the ruleset a plan has, and which none needs.
@Suite("Parts of the ruleset")
struct RulesetPartsTests {
  private static func server(_ prefixes: String...) -> FirewallPlan.Server {
    FirewallPlan.Server(name: "s", prefixes: prefixes.map { FirewallPlan.prefix($0) }, opensAnyPort: false)
  }

  @Test("without a listener no query is met, and without the fence nothing is remembered of who dials the host")
  func queries() throws {
    let whole = FirewallPlan.sample()
    #expect(try Ruleset.render(whole).contains("redirected/"))
    #expect(try Ruleset.render(whole).contains("dialling/"))
    #expect(try Ruleset.render(whole).contains("goto host/fence"))
    var open = whole
    open.fencesInput = false
    let text = try Ruleset.render(open)
    #expect(text.contains("redirected/") && !text.contains("dialling/") && !text.contains("goto host/fence"))
    var silent = whole
    silent.listeners = []
    #expect(try !Ruleset.render(silent).contains("redirected/"))
  }

  @Test("of a family without a network nothing is shared out, of a network of all addresses all are one")
  func shares() {
    let plan = FirewallPlan(mode: .managed, servers: [Self.server("10.77.1.0/24", "10.78.0.0/16")])
    #expect(
      Ruleset.shares(plan, "saddr", .v4).map(\.match) == [
        "ip saddr & 255.255.255.0 @clients-4/24", "ip saddr & 255.255.0.0 @clients-4/16",
      ])
    #expect(Ruleset.shares(plan, "saddr", .v6).isEmpty)
    let all = FirewallPlan(mode: .managed, servers: [Self.server("0.0.0.0/0")])
    #expect(Ruleset.shares(all, "saddr", .v4).map(\.match) == ["ip saddr @clients-4"])
  }

  @Test("rules that are the user's enclose no interface")
  func enclosure() {
    var plan = FirewallPlan.sample(mode: .sets)
    plan.servers[0].interface = "br-mcp"
    #expect(Enclosure(plan, host: HostNetwork()) == Enclosure())
    plan.mode = .managed
    #expect(Enclosure(plan, host: HostNetwork()) != Enclosure())
  }

  @Test("ports that others may connect to stand only where some may")
  func inbound() throws {
    var plan = FirewallPlan(mode: .managed, servers: [Self.server("10.77.1.0/24")])
    plan.servers[0].inbound = [PortRule(8080, .tcp)]
    var octets = plan.encoded()
    #expect(try FirewallPlan(decoding: octets) == plan)
    // Whether there are any, how many, protocol and port.
    let part: [UInt8] = [1, 1, 0, 0, 0, 6, 0x90, 0x1F]
    let start = try #require(octets.indices.first { octets[$0...].starts(with: part) })
    octets[start] = 0
    #expect(throws: BridgeFormatError.field) { try FirewallPlan(decoding: octets) }
  }
}
