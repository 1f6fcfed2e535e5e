import EgressPolicy
import GrantLedger
import IPNetwork
import TestSupport
import Testing

@testable import FirewallModel

@Suite("Sets, and the places of elements in them")
struct PlanSetsTests {
  private func element(_ address: String, server: UInt16 = 0, anyPort: Bool = false) -> GrantElement {
    GrantElement(
      server: server, address: IPAddress(address)!, transport: anyPort ? 0 : 6, port: anyPort ? 0 : 443)
  }

  private func refusal(_ element: GrantElement, _ sets: [ServerSets]) -> BridgeRefusal.Reason? {
    switch PlanSets(.sample(), sets).reference(element) {
    case .success: nil
    case .failure(let refusal): refusal.refusal.reason
    }
  }

  @Test("an element has a place where its server has the set for its family and its port, and nowhere else")
  func places() {
    let four: [ServerSets] = [.v4, [.v4, .anyPort4]]
    #expect(refusal(element("192.0.2.1"), four) == nil)
    #expect(refusal(element("192.0.2.1", server: 1, anyPort: true), four) == nil)
    #expect(refusal(element("2001:db8::1"), four) == .missingSet)
    #expect(refusal(element("192.0.2.1", anyPort: true), four) == .missingSet)
    #expect(refusal(element("192.0.2.1", anyPort: true), [[.v4, .plain4], []]) == nil)
    #expect(refusal(element("192.0.2.1", server: 1), [.v4]) == .noSuchServer)
    #expect(refusal(element("192.0.2.1", server: 2), [.v4, .v4, .v4]) == .noSuchServer)
  }

  @Test("a set that the installation did not find is not there, nor one of a server that it does not know")
  func existence() {
    let places = PlanSets(.sample(), [[.v4, .v6]])
    #expect((0..<8).filter(places.exists) == [0, 1])
    var plan = FirewallPlan.sample()
    plan.servers[0].caps = [ByteCap(kind: .perHour, bytes: 5)]
    plan.servers[1].caps = [ByteCap(kind: .perHour, bytes: 5)]
    // Of caps: those without ports only where the server opens every port.
    #expect((8..<16).filter(PlanSets(plan, []).exists) == [8, 9, 12, 13, 14, 15])
  }

  @Test("a set with other elements, of another kind or without times is not fed")
  func faults() {
    let shape = SetShape(family: .v4, kind: .ports)
    func fault(
      keyType: UInt32? = nil, octets: UInt32? = nil, flags: UInt32 = 0x10
    ) -> String? {
      SetDescription(
        name: "a-4", keyType: keyType ?? shape.keyType, keyOctets: octets ?? UInt32(shape.keyOctets), flags: flags,
        size: 1
      ).fault(as: shape)
    }
    #expect(fault() == nil)
    #expect(fault(keyType: 7)?.contains("element type") == true)
    #expect(fault(octets: 4)?.contains("element type") == true)
    for flag: UInt32 in [0x1, 0x2, 0x4, 0x8, 0x40] {
      #expect(fault(flags: 0x10 | flag)?.contains("plain set") == true, "\(flag)")
    }
    #expect(fault(flags: 0)?.contains("lacks flags timeout") == true)
  }

  @Test("a key of another length is no element, and one of addresses alone has no port")
  func keys() {
    let ports = SetShape(family: .v4, kind: .ports)
    let plain = SetShape(family: .v4, kind: .anyPort)
    let key: [UInt8] = [192, 0, 2, 1, 6, 0, 0, 0, 1, 187, 0, 0]
    let found = ports.element(of: key)
    #expect(found?.address == IPAddress("192.0.2.1") && found?.transport == 6 && found?.port == 443)
    #expect(ports.element(of: Array(key.dropLast())) == nil && ports.element(of: key + [0]) == nil)
    let alone = plain.element(of: Array(key.prefix(4)))
    #expect(alone?.address == IPAddress("192.0.2.1") && alone?.transport == 0 && alone?.port == 0)
    #expect(plain.element(of: key) == nil)
  }

  @Test("news of more servers than a message is to name are news of all")
  func news() {
    let servers = (0..<1_100).map { FirewallPlan.Server(name: "s\($0)", prefixes: [], opensAnyPort: false) }
    let plan = FirewallPlan(mode: .managed, servers: servers)
    func named(_ count: Int) -> [UInt16] {
      TableChanges(changes: .elementsRemoved, sets: Set((0..<count).map { "s\($0)-4" })).servers(of: plan)
    }
    #expect(named(0) == [] && named(3) == [0, 1, 2] && named(1_024).count == 1_024 && named(1_025) == [])
  }

  @Test("names of the table's own: counters of servers and of the host, maps and sets of networks")
  func names() {
    #expect(Ruleset.counted(by: "refused/github-mcp") == "github-mcp")
    #expect(Ruleset.counted(by: "refused-host") == Ruleset.hostName)
    for text in ["refused/", "refused/a b", "other/github-mcp", "github-mcp", "refusedXgithub-mcp"] {
      #expect(Ruleset.counted(by: text) == nil, "\(text)")
    }
    for text in ["clients-4/24", "servers-6/128", "clients-4/1"] { #expect(Ruleset.isNetworkTable(text), "\(text)") }
    for text in ["clients-4", "clients-4/024", "clients-4/129", "clients-4/24/1", "clients-4/x", "clients-4/0"] {
      #expect(!Ruleset.isNetworkTable(text), "\(text)")
    }
  }

  @Test("nft gets no name, no dotted tail, a prefix where there is one, and a mask where the kernel is slow without")
  func text() {
    #expect(IPAddress("fd00::1")?.nft == "fd00::1")
    #expect(IPAddress(high: 0, low: 0xFFFF_0102_0304).nft == "0:0:0:0:0:ffff:102:304")
    func matches(_ prefixes: [String], _ family: IPAddress.Family) -> [String] {
      let entries = prefixes.enumerated().map { (prefix: IPPrefix($1)!, owner: $0) }
      return DisjointRanges(entries, family: family).ranges.map { $0.matches("saddr") }
    }
    #expect(matches(["10.7.1.0/24"], .v4) == ["ip saddr & 255.255.255.0 == 10.7.1.0"])
    #expect(matches(["10.7.0.0/16"], .v4) == ["ip saddr 10.7.0.0/16"])
    #expect(matches(["10.7.1.2/32"], .v4) == ["ip saddr 10.7.1.2/32"])
    #expect(matches(["fd00::/24"], .v6) == ["ip6 saddr fd00::/24"])
    #expect(
      matches(["10.7.1.0/24", "10.7.1.0/26"], .v4) == [
        "ip saddr & 255.255.255.192 == 10.7.1.0", "ip saddr 10.7.1.64-10.7.1.255",
      ])
  }

  @Test("lines that name no network and one server are kept, and hold nothing")
  func unreadLines() {
    let lines = ["10.0.0.0/8 a b", "10.1.0.0/16", "10.2.0.0/16 a;b", "10.3.0.0 x/y", "10.4.0.0/16  "]
    let networks = HeldNetworks(text: lines.joined(separator: "\n") + "\n10.5.0.0/16 a\n")
    #expect(networks.unread == lines)
    #expect(networks.text.hasPrefix("10.5.0.0/16 a\n"))
  }
}
