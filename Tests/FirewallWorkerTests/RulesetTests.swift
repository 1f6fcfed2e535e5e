import EgressPolicy
import IPNetwork
import LinuxIO
import TestSupport
import Testing

import BridgeProcesses
import FirewallBridge
@testable import FirewallModel
import NFTables

@testable import FirewallWorker

@Suite(.enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)), .serialized)
struct RulesetTests {
  @Test("nft accepts the ruleset, of few servers and of a thousand")
  func accepted() throws {
    try Kernel.inNamespace {
      try Kernel.nft(Ruleset.render(.sample()), checkOnly: true)
      var plan = FirewallPlan.sample()
      plan.servers = (0..<1_000).map { index in
        .init(
          name: "server-\(index)",
          prefixes: [
            IPPrefix(IPAddress(v4: 0x0A00_0000 + UInt32(index) * 256), length: 24)!,
            IPPrefix(IPAddress(high: 0xFD00_0000_0000_0000 + UInt64(index), low: 0), length: 64)!,
          ], opensAnyPort: index % 7 == 0)
      }
      try Kernel.nft(Ruleset.render(plan))
      #expect(try KernelSets().sets(family: .inet, table: "sluice").count == 2_000 + 2 * 143 + 9 + 8 + 6)
    }
  }

  @Test("an empty plan is a table that refuses no packet")
  func empty() throws {
    try Kernel.inNamespace {
      try Kernel.nft(Ruleset.render(FirewallPlan(mode: .managed, servers: [])))
    }
  }

  @Test("applying the ruleset again keeps the elements and leaves other tables alone")
  func idempotent() throws {
    try Kernel.inNamespace {
      let text = try Ruleset.render(.sample())
      try Kernel.nft("add table inet other\nadd set inet other s { type ipv4_addr; }\n")
      try Kernel.nft(text)
      try Kernel.nft("add element inet sluice github-mcp-4 { 192.0.2.1 . tcp . 443 timeout 60s }")
      let before = try Kernel.run("nft -s list table inet sluice")
      try Kernel.nft(text)
      #expect(try Kernel.run("nft -s list table inet sluice") == before)
      #expect(before.contains("192.0.2.1 . tcp . 443"))
      #expect(try Kernel.run("nft list tables").contains("other"))
    }
  }

  @Test("servers that are no longer wanted leave the table, what others put there stays")
  func leftovers() throws {
    try Kernel.inNamespace {
      let kernel = try KernelSets()
      let installer = TableInstaller(kernel: kernel) { _ in }
      var plan = FirewallPlan.sample()
      _ = try installer.install(plan)
      try Kernel.nft("add set inet sluice mine-4 { type ipv4_addr; }\nadd chain inet sluice mine")
      #expect(
        try kernel.counters(family: .inet, table: "sluice").keys.sorted() == [
          "opened/github-mcp/198.51.100.0-24", "opened/github-mcp/20010db8000000000000000000000000-32", "refused-host",
          "refused/db_tools", "refused/github-mcp",
        ])
      plan.servers.remove(at: 0)
      plan.servers[0].opensAnyPort = false
      _ = try installer.install(plan)
      #expect(
        try kernel.counters(family: .inet, table: "sluice").keys.sorted() == ["refused-host", "refused/db_tools"])
      let sets = try kernel.sets(family: .inet, table: "sluice").keys.sorted()
      #expect(
        sets == [
          "clients-4", "clients-4/16", "clients-6", "clients-6/32", "db_tools-4", "db_tools-6", "dialling/4",
          "dialling/6",
          "links", "mine-4", "redirected/4", "redirected/6", "redirecting/4", "redirecting/6",
          "servers-4", "servers-4/16",
          "servers-6", "servers-6/32", "told-bytes/4", "told-bytes/6", "told-host/4", "told-host/6", "told-sources/4",
          "told-sources/6", "told/4", "told/6",
        ])
      #expect(
        try kernel.chains(family: .inet, table: "sluice") == [
          "db_tools", "db_tools/new", "db_tools/unconnected", "forward", "host/arriving", "host/fence", "host/held",
          "host/inbound",
          "host/queries/input", "host/queries/untracked", "host/refused/prohibited", "host/refused/reset",
          "host/responses/untracked",
          "host/unreachable/output", "input", "mine", "output",
        ])
    }
  }

  @Test("packets of the host meet the chain before fragments only while a link is a bridge, or queries come elsewhere")
  func arrivingChain() throws {
    try Kernel.inNamespace {
      _ = try Kernel.run("ip link add br-mcp type bridge")
      _ = try Kernel.run("ip link add mcp0 type veth peer name mcp1")
      let kernel = try KernelSets()
      let installer = TableInstaller(kernel: kernel) { _ in }
      var plan = FirewallPlan.sample()
      plan.listeners.removeAll { $0.address.value == 0 }
      func surroundings(_ bridge: Bool) throws -> Ruleset.Surroundings {
        var surroundings = Ruleset.Surroundings()
        surroundings.enclosure.links = [
          Enclosure.Link(
            interface: bridge ? "br-mcp" : "mcp0", index: try #require(UInt32(exactly: bridge ? 2 : 3)),
            isBridge: bridge,
            servers: [0], held: [], others: [])
        ]
        return surroundings
      }
      let (direct, bridged) = (try surroundings(false), try surroundings(true))
      func hasChain() throws -> Bool {
        try kernel.chains(family: .inet, table: "sluice").contains(Ruleset.arriving)
      }
      // Chains are listed in the order in which they were made.
      func listing() throws -> [String] {
        try Kernel.run("nft -s list table inet sluice").split(separator: "\n").map(String.init).sorted()
      }
      _ = try installer.install(plan, direct)
      #expect(try !hasChain())
      let apart = try listing()
      _ = try installer.install(plan, bridged)
      #expect(try hasChain())
      let together = try listing()
      #expect(
        together.contains { $0.contains("hook prerouting") } && !apart.contains { $0.contains("hook prerouting") })
      // As the host's network changes, and as a plan does: the same table.
      try installer.enclose(plan, direct, instead: bridged)
      #expect(try listing() == apart)
      try installer.enclose(plan, bridged, instead: direct)
      #expect(try listing() == together)
      _ = try installer.install(plan, direct)
      #expect(try listing() == apart)
      // Nor is it left when the resolver listens nowhere.
      plan.listeners = []
      _ = try installer.install(plan, direct)
      #expect(try !listing().contains { $0.contains("/untracked") })
      plan = .sample()
      _ = try installer.install(plan, direct)
      #expect(try hasChain(), "which addresses are the host's own is asked there")
    }
  }

  @Test("the chain of a device is listed as it is wanted", arguments: ["10.77.1.9/32", "10.77.0.0/17", "::/0"])
  func deviceChain(network: String) throws {
    try Kernel.inNamespace {
      _ = try Kernel.run("ip link add mcp0 type veth peer name mcp1")
      let installer = TableInstaller(kernel: try KernelSets()) { _ in }
      let plan = FirewallPlan(
        mode: .managed,
        servers: [
          FirewallPlan.Server(name: "s", prefixes: [try #require(IPPrefix(network))], opensAnyPort: false),
          // Leaves the first of them two ranges.
          FirewallPlan.Server(name: "t", prefixes: [try #require(IPPrefix("10.77.3.0/24"))], opensAnyPort: false),
        ],
        listeners: [5353, 53].map { FirewallPlan.Endpoint(address: IPAddress("10.77.3.1")!, port: $0) })
      var surroundings = Ruleset.Surroundings()
      surroundings.enclosure.links = [
        Enclosure.Link(interface: "mcp0", index: 3, servers: [0, 1], held: [], others: [])
      ]
      _ = try installer.install(plan, surroundings)
      let listed = try Kernel.run("nft -s list chain inet sluice ingress/mcp0").split(separator: "\n").map {
        $0.drop { $0 == "\t" }
      }
      let wanted = try #require(Ruleset.listedDeviceChains(plan, surroundings)["ingress/mcp0"])
      #expect(listed.dropFirst(2).dropLast(2).map(String.init) == wanted)
    }
  }

  @Test("a table that is as it is written today is changed in place, whatever kinds of sets it has")
  func layout() throws {
    try Kernel.inNamespace {
      let kernel = try KernelSets()
      let installer = TableInstaller(kernel: kernel) { _ in }
      var plan = FirewallPlan.sample()
      plan.servers[0].caps = [
        ByteCap(kind: .perConnection, bytes: 262_144), ByteCap(kind: .perHour, bytes: 262_144),
      ]
      _ = try installer.install(plan)
      try Kernel.nft("add element inet sluice github-mcp-4 { 192.0.2.1 . tcp . 443 timeout 60s }\n")
      _ = try installer.install(plan)
      #expect(try Kernel.run("nft list set inet sluice github-mcp-4").contains("192.0.2.1"))
    }
  }

  @Test("a set of the wrong shape is an error that names it")
  func misshapen() throws {
    try Kernel.inNamespace {
      let installer = TableInstaller(kernel: try KernelSets()) { _ in }
      for set in ["type ipv4_addr; flags timeout", "type ipv4_addr . inet_proto . inet_service"] {
        try Kernel.nft("add table inet sluice\nadd set inet sluice github-mcp-4 { \(set); }")
        let fault = #expect(throws: TableInstaller.InstallationError.self) { try installer.install(.sample()) }
        #expect(fault?.text.contains("set github-mcp-4") == true)
        try Kernel.nft("delete table inet sluice")
      }
    }
  }

  @Test("in mode sets nothing is created, and what is there decides what is fed")
  func setsMode() throws {
    try Kernel.inNamespace {
      let kernel = try KernelSets()
      let installer = TableInstaller(kernel: kernel) { _ in }
      let plan = FirewallPlan.sample(table: "mine", mode: .sets)
      let fault = #expect(throws: TableInstaller.InstallationError.self) { try installer.install(plan) }
      #expect(fault?.text == "table inet mine holds neither set github-mcp-4 nor github-mcp-6")
      try Kernel.nft(
        """
        add table inet mine
        add set inet mine github-mcp-4 { type ipv4_addr; flags timeout; }
        add set inet mine db_tools-6 { type ipv6_addr . inet_proto . inet_service; flags timeout; }
        add set inet mine db_tools-6-any { type ipv6_addr; flags timeout; }
        """)
      #expect(try installer.install(plan) == [[.v4, .plain4], [.v6, .anyPort6]])
      #expect(try kernel.sets(family: .inet, table: "mine").count == 3)
    }
  }
}
