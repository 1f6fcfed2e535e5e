import HostNetwork
import Testing

@testable import sluice

/// What `doctor` says of links, bridges and flowtables, by what the kernel tells of them.
@Suite struct WaysOutTests {
  private func link(
    _ index: UInt32, _ name: String, _ kind: String, port: UInt32 = 0, on lower: UInt32 = 0, isolated: Bool = false
  ) -> HostNetwork.Interface {
    var link = HostNetwork.Interface(index: index, name: name, kind: kind, controller: port)
    link.lower = lower
    link.isIsolated = isolated
    return link
  }

  private func ways(
    _ links: [HostNetwork.Interface], servers: [String: Set<String>] = ["br-mcp": ["a"]], v4: Bool = true,
    v6: Bool = true,
    flowtables: [WaysOut.Flowtable] = []
  ) -> WaysOut {
    WaysOut(
      serversByInterface: servers, host: HostNetwork(interfaces: links),
      bridgeFilter: WaysOut.BridgeFilter(v4: v4, v6: v6),
      flowtables: flowtables)
  }

  private func serious(_ ways: WaysOut) -> [String] {
    ways.findings.filter { $0.severity == .serious }.map(\.text)
  }

  private var bridge: HostNetwork.Interface { link(5, "br-mcp", "bridge") }

  @Test func `a bridge of veths and taps has nothing, without br_netfilter neither`() {
    let links = [
      bridge, link(6, "veth0", "veth", port: 5, on: 2), link(7, "tap0", "tun", port: 5), link(2, "eth0", ""),
    ]
    #expect(ways(links, v4: false, v6: false).findings == [])
  }

  @Test(arguments: ["", "vxlan", "bond", "vlan", "macvlan", "gretap"])
  func `any other port is a way out`(kind: String) {
    let found = serious(ways([bridge, link(6, "lan0", kind, port: 5)]))
    #expect(found.count == 1 && found.allSatisfy { $0.hasPrefix("lan0 (") && $0.contains("is a port of br-mcp") })
    #expect(serious(ways([bridge, link(6, "lan0", kind, port: 9)])) == [])
  }

  @Test(arguments: ["macvlan", "macvtap", "ipvlan", "ipvtap"])
  func `a server's interface that shares its link is a way out`(kind: String) {
    let links = [link(2, "eth1", ""), link(5, "br-mcp", kind, on: 2)]
    let found = serious(ways(links))
    #expect(found.count == 1 && found.allSatisfy { $0.hasPrefix("br-mcp is \(kind) on eth1") })
  }

  @Test func `what stands on a server's interface or on a port of it gets frames that are not enclosed`() {
    let port = link(6, "veth0", "veth", port: 5)
    let found = serious(ways([bridge, port, link(8, "shim0", "macvlan", on: 5), link(9, "veth0.7", "vlan", on: 6)]))
    #expect(found.count == 2)
    #expect(found.contains { $0.hasPrefix("shim0 (macvlan) stands on br-mcp") })
    #expect(found.contains { $0.hasPrefix("veth0.7 (vlan) stands on veth0") })
    // Enclosed itself, or the other end of a veth.
    let own = ways(
      [bridge, link(8, "shim0", "macvlan", on: 5)], servers: ["br-mcp": ["a"], "shim0": ["b"]])
    #expect(serious(own).allSatisfy { $0.hasPrefix("shim0 is macvlan") })
    #expect(serious(ways([link(5, "br-mcp", "veth", on: 6), link(6, "far", "veth", on: 5)])) == [])
  }

  @Test func `two servers on one bridge are neighbours unless IPv4 and IPv6 pass the hooks or every port is isolated`()
  {
    let servers: [String: Set<String>] = ["br-mcp": ["a", "b"]]
    func found(_ change: (inout HostNetwork.Interface) -> Void = { _ in }, v4: Bool, v6: Bool) -> [Finding] {
      var links = [bridge, link(6, "veth0", "veth", port: 5), link(7, "veth1", "veth", port: 5)]
      for index in links.indices { change(&links[index]) }
      return ways(links, servers: servers, v4: v4, v6: v6).findings
    }
    for (v4, v6, words) in [(false, false, "IPv4 and IPv6"), (true, false, "IPv6"), (false, true, "IPv4")] {
      let findings = found(v4: v4, v6: v6)
      #expect(findings.map(\.severity) == [.serious])
      #expect(findings.allSatisfy { $0.text.contains("a, b are neighbours on br-mcp, which passes \(words) between") })
    }
    #expect(found(v4: true, v6: true).map(\.severity) == [.warning])
    let own = found(
      {
        $0.callsIPTables = true
        $0.callsIP6Tables = true
      }, v4: false, v6: false)
    #expect(own.map(\.severity) == [.warning])
    #expect(found({ $0.isIsolated = true }, v4: false, v6: false) == [])
    #expect(found({ $0.isIsolated = $0.name == "veth0" }, v4: false, v6: false).map(\.severity) == [.serious])
    let one = ways([bridge], servers: ["br-mcp": ["a"]], v4: false, v6: false)
    #expect(one.findings == [])
  }

  @Test func `a flowtable over a server's interface or a port of it is serious, another one a warning`() {
    let links = [bridge, link(6, "veth0", "veth", port: 5), link(7, "eth0", "")]
    func severities(_ devices: String...) -> [Finding.Severity] {
      ways(links, flowtables: [WaysOut.Flowtable(title: "inet filter fast", devices: devices)]).findings.map(\.severity)
    }
    #expect(severities("br-mcp", "eth0") == [.serious])
    #expect(severities("veth0") == [.serious])
    #expect(severities("br-*") == [.serious])
    #expect(severities("eth0") == [.warning])
    #expect(severities() == [.warning])
  }

  @Test func `flowtables are read from nft's JSON, with one device, several, or none`() throws {
    let json = """
      {"nftables": [{"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}},
      {"flowtable": {"family": "inet", "name": "fast", "table": "filter", "handle": 3, "hook": "ingress", "prio": 0,
      "dev": ["br-mcp", "eth0"]}}, {"flowtable": {"family": "ip", "name": "one", "table": "t", "handle": 4,
      "hook": "ingress", "prio": 0, "dev": "eth0"}}, {"flowtable": {"family": "ip", "name": "none", "table": "t",
      "handle": 5, "hook": "ingress", "prio": 0}}]}
      """
    #expect(
      try WaysOut.flowtables(json) == [
        WaysOut.Flowtable(title: "inet filter fast", devices: ["br-mcp", "eth0"]),
        WaysOut.Flowtable(title: "ip t one", devices: ["eth0"]), WaysOut.Flowtable(title: "ip t none", devices: []),
      ])
    #expect(throws: DecodingError.self) { try WaysOut.flowtables("") }
  }
}
