import HostNetwork
import IPNetwork
import TestSupport
import Testing

@testable import FirewallModel

/// Which interface is a network's, as a pure value.
@Suite("Behind which interfaces governed networks lie")
struct EnclosureModelTests {
  private static func prefix(_ text: String) -> IPPrefix { IPPrefix(text)! }

  private static func host(
    _ interfaces: [String], on: [(String, String)] = [], routes: [(String, String, String?)] = []
  ) -> HostNetwork {
    let index = Dictionary(uniqueKeysWithValues: interfaces.enumerated().map { ($1, UInt32($0 + 2)) })
    return HostNetwork(
      interfaces: interfaces.map { HostNetwork.Interface(index: index[$0]!, name: $0, isLoopback: $0 == "lo") },
      addresses: on.map { name, text in
        let parts = text.split(separator: "/")
        let address = IPAddress(parts[0])!
        return HostNetwork.Address(
          interface: index[name]!, address: address, network: IPPrefix(address, length: Int(parts[1])!)!)
      },
      routes: routes.map { destination, name, gateway in
        HostNetwork.Route(
          destination: prefix(destination), interface: index[name]!, gateway: gateway.map { IPAddress($0)! })
      })
  }

  private static func plan(
    _ networks: [String], pin: String? = nil, upstreams: [String] = ["192.0.2.54"]
  ) -> FirewallPlan {
    FirewallPlan(
      mode: .managed,
      servers: networks.enumerated().map { index, text in
        FirewallPlan.Server(
          name: "s\(index)", prefixes: text.split(separator: " ").map { prefix(String($0)) }, opensAnyPort: false,
          interface: index == 0 ? pin : nil)
      }, upstreams: upstreams.map { FirewallPlan.Endpoint(address: IPAddress($0)!, port: 53) })
  }

  private static func links(_ enclosure: Enclosure) -> [String: [Int]] {
    Dictionary(uniqueKeysWithValues: enclosure.links.map { ($0.interface, $0.servers) })
  }

  @Test("an on-link prefix that holds the network, or is a part of it, makes the interface the network's")
  func onLink() {
    let host = Self.host(
      ["lo", "br-a", "br-b", "eth0"],
      on: [("lo", "127.0.0.1/8"), ("br-a", "10.77.1.1/24"), ("br-b", "10.78.5.1/24"), ("eth0", "192.0.2.1/24")])
    let whole = Enclosure(Self.plan(["10.77.1.0/24", "10.77.1.200/32", "10.78.0.0/16"]), host: host)
    #expect(Self.links(whole) == ["br-a": [0, 1], "br-b": [2]])
    #expect(whole.exposures.isEmpty && whole.absent.isEmpty)
  }

  @Test("a route to the network or a part of it counts, whether it has a gateway or not; a wider one never does")
  func routes() {
    let host = Self.host(
      ["tap0", "wg0", "eth1"], on: [("eth1", "172.20.0.1/16")],
      routes: [
        ("10.77.1.0/25", "tap0", nil), ("10.78.0.0/16", "eth1", "172.20.0.9"), ("10.0.0.0/8", "wg0", nil),
        ("10.79.0.0/16", "eth1", "172.20.0.9"),
      ])
    let enclosure = Enclosure(Self.plan(["10.77.1.0/24", "10.78.0.0/16", "10.79.1.0/24", "10.80.0.0/24"]), host: host)
    #expect(Self.links(enclosure) == ["tap0": [0], "eth1": [1]])
    #expect(enclosure.absent == [Self.prefix("10.79.1.0/24"), Self.prefix("10.80.0.0/24")])
  }

  @Test("where a network has an interface of its own, a wider on-link prefix of another one is not its")
  func wider() {
    let host = Self.host(["br-a", "lan"], on: [("br-a", "10.77.1.1/24"), ("lan", "10.0.0.1/8")])
    #expect(Self.links(Enclosure(Self.plan(["10.77.1.0/24"]), host: host)) == ["br-a": [0]])
    #expect(Self.links(Enclosure(Self.plan(["10.77.0.0/16"]), host: host)) == ["br-a": [0]])
    #expect(Self.links(Enclosure(Self.plan(["10.99.1.0/24"]), host: host)) == ["lan": [0]])
  }

  @Test("an interface with a default route or the route to an upstream is never found, and may be pinned")
  func exposed() {
    let host = Self.host(
      ["eth0", "eth1"], on: [("eth0", "10.77.1.1/24"), ("eth1", "10.78.1.1/24"), ("eth1", "2001:db8::1/64")],
      routes: [("0.0.0.0/0", "eth0", "10.77.1.254")])
    let plan = Self.plan(["10.77.1.0/24", "10.78.1.0/24"], upstreams: ["2001:db8::54"])
    let enclosure = Enclosure(plan, host: host)
    #expect(enclosure.links.isEmpty)
    #expect(
      enclosure.exposures == [
        .init(server: 0, network: Self.prefix("10.77.1.0/24"), interface: "eth0", gap: .defaultRoute),
        .init(
          server: 1, network: Self.prefix("10.78.1.0/24"), interface: "eth1",
          gap: .upstream(IPAddress("2001:db8::54")!)),
      ])
    let pinned = Enclosure(Self.plan(["10.77.1.0/24"], pin: "eth0"), host: host)
    #expect(Self.links(pinned) == ["eth0": [0]] && pinned.exposures.isEmpty)
    #expect(
      Self.links(Enclosure(Self.plan(["10.77.1.0/24"], pin: "br-later"), host: HostNetwork())) == ["br-later": [0]])
  }

  @Test("a network that lies behind another interface than the pinned one is told, one that is nowhere is not")
  func displaced() {
    let host = Self.host(["br-a", "br-b"], on: [("br-a", "10.77.1.1/24"), ("br-b", "10.78.1.1/24")])
    for pin in ["br-b", "br-gone"] {
      let enclosure = Enclosure(Self.plan(["10.77.1.0/24 10.79.1.0/24"], pin: pin), host: host)
      let found = Enclosure.Displacement(
        server: 0, network: Self.prefix("10.77.1.0/24"), pinned: pin, interface: "br-a")
      #expect(enclosure.displacements == [found])
      let report = EnclosureReport(enclosure)
      #expect(report.displacements.map(\.pinned) == [pin] && report.displacements.map(\.interface) == ["br-a"])
    }
    #expect(Enclosure(Self.plan(["10.77.1.0/24"], pin: "br-a"), host: host).displacements == [])
    #expect(Enclosure(Self.plan(["10.77.1.0/24"]), host: host).displacements == [])
  }

  @Test("a report is read as it was written")
  func report() throws {
    let prefix = Self.prefix("10.77.1.0/24")
    let report = EnclosureReport(
      links: [.init(interface: "br-a", servers: [0, 7], others: [prefix])],
      exposures: [.init(server: 1, network: prefix, interface: "eth0", gap: .defaultRoute)],
      displacements: [.init(server: 2, network: prefix, pinned: "br-b", interface: "br-a")], absent: [prefix])
    let message = BridgeMessage.enclosure(report)
    #expect(try BridgeMessage(decoding: message.encoded()) == message)
  }

  @Test("what else lies behind the interface is named, what is governed or link-local is not")
  func others() {
    let host = Self.host(
      ["br-a"], on: [("br-a", "10.77.1.1/24"), ("br-a", "fe80::1/64"), ("br-a", "10.99.0.1/24")],
      routes: [("10.55.0.0/16", "br-a", "10.77.1.9"), ("10.77.1.128/25", "br-a", nil), ("169.254.0.0/16", "br-a", nil)])
    let enclosure = Enclosure(Self.plan(["10.77.1.0/24"]), host: host)
    #expect(enclosure.links.map(\.others) == [[Self.prefix("10.55.0.0/16"), Self.prefix("10.99.0.0/24")]])
    // Two that make up the whole of what is on the link leave nothing to others.
    let halves = Enclosure(Self.plan(["10.77.1.0/25", "10.77.1.128/25", "10.55.0.0/16"]), host: host)
    #expect(halves.links.map(\.others) == [[Self.prefix("10.99.0.0/24")]])
  }

  @Test("networks that are held are enclosed like governed ones, and names that nft cannot hold are said")
  func held() {
    let host = Self.host(["br-a", "br b"], on: [("br-a", "10.99.0.1/24"), ("br b", "10.77.1.1/24")])
    let enclosure = Enclosure(Self.plan(["10.77.1.0/24"]), held: [Self.prefix("10.99.0.0/24")], host: host)
    #expect(enclosure.links.map(\.interface) == ["br-a"] && enclosure.links[0].held == [Self.prefix("10.99.0.0/24")])
    #expect(enclosure.exposures.map(\.gap) == [.name])
  }

  @Test("of a router's table only the routes that matter are kept")
  func relevance() {
    let relevance = Enclosure.Relevance(Self.plan(["10.77.0.0/16", "10.77.1.0/24"]), held: [])
    func route(_ text: String, gateway: Bool = true) -> HostNetwork.Route {
      HostNetwork.Route(destination: Self.prefix(text), interface: 2, gateway: gateway ? IPAddress("10.0.0.1")! : nil)
    }
    for kept in ["10.77.0.0/16", "10.77.1.0/24", "10.77.200.0/24", "10.77.1.7/32", "0.0.0.0/0", "192.0.2.0/24"] {
      #expect(relevance.contains(route(kept)), "\(kept)")
    }
    #expect(relevance.contains(route("203.0.113.0/24", gateway: false)))
    for left in ["10.76.0.0/16", "10.78.0.0/16", "10.0.0.0/8", "203.0.113.0/24", "2001:db8::/32"] {
      #expect(!relevance.contains(route(left)), "\(left)")
    }
  }

  // MARK: - Held networks

  @Test("what was governed once is held, until another policy governs it or it is released")
  func heldNetworks() throws {
    var networks = HeldNetworks()
    #expect(try networks.govern(Self.plan(["10.77.1.0/24 10.77.2.0/24", "10.78.0.0/16"])) == [])
    let held = try networks.govern(Self.plan(["10.77.1.0/24"]))
    #expect(held.map(\.prefix) == [Self.prefix("10.77.2.0/24"), Self.prefix("10.78.0.0/16")])
    #expect(held.map(\.server) == ["s0", "s1"])
    // Narrowed: the rest of it is held; taken over as a whole, in two parts, it is not.
    #expect(
      try networks.govern(Self.plan(["10.77.2.0/24", "10.78.0.0/17"])).map(\.prefix.description) == [
        "10.77.1.0/24", "10.78.0.0/16",
      ])
    #expect(
      try networks.govern(Self.plan(["10.77.2.0/24 10.77.1.0/24", "10.78.0.0/17", "10.78.128.0/17"])) == [])
    var plan = Self.plan(["10.1.0.0/16"])
    plan.released = [Self.prefix("10.78.0.0/16")]
    #expect(try networks.govern(plan).map(\.prefix.description) == ["10.77.1.0/24", "10.77.2.0/24"])
    #expect(HeldNetworks(text: networks.text) == networks)
    // A line that cannot be read must not be lost.
    let damaged = HeldNetworks(text: "10.77.1.0/244 gone\n" + networks.text + "what\n")
    #expect(damaged.unread == ["10.77.1.0/244 gone", "what"])
    #expect(damaged.text == networks.text + "10.77.1.0/244 gone\nwhat\n")
  }

  @Test("a network is released as it was governed, and what cannot be says why")
  func release() throws {
    var networks = HeldNetworks()
    _ = try networks.govern(Self.plan(["10.77.1.0/24", "10.78.0.0/16", "10.78.5.0/24"]))
    let plan = Self.plan(["10.77.1.0/24"])
    #expect(throws: HeldNetworks.ReleaseError.governed(Self.prefix("10.77.1.0/24"), by: "s0")) {
      try networks.release(Self.prefix("10.77.1.0/24"), beside: plan)
    }
    #expect(throws: HeldNetworks.ReleaseError.notHeld(Self.prefix("10.9.0.0/24"))) {
      try networks.release(Self.prefix("10.9.0.0/24"), beside: plan)
    }
    #expect(
      throws: HeldNetworks.ReleaseError.partOf(
        Self.prefix("10.78.9.0/24"), HeldNetwork(prefix: Self.prefix("10.78.0.0/16"), server: "s1"))
    ) { try networks.release(Self.prefix("10.78.9.0/24"), beside: plan) }
    try networks.release(Self.prefix("10.78.0.0/16"), beside: plan)
    #expect(networks.held(beside: plan).isEmpty, "what lies in it goes with it")
  }

  @Test("more than the list may hold is refused, and changes nothing")
  func tooMany() throws {
    var networks = HeldNetworks()
    let many = (0...HeldNetworks.maximumHeld).map { "10.\($0 >> 8).\($0 & 0xFF).0/24" }
    _ = try networks.govern(Self.plan(many))
    let before = networks
    #expect(throws: HeldNetworks.TooManyError.self) { try networks.govern(Self.plan(["192.168.0.0/24"])) }
    #expect(networks == before)
  }
}
