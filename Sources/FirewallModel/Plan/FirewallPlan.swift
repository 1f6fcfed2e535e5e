package import EgressPolicy
package import IPNetwork

/// Everything the bridge has to know: the table, the servers and what of each never changes between two policies.
package struct FirewallPlan: Hashable, Sendable {
  /// Who writes the table: the bridge, or the user, who lets the bridge fill sets.
  package enum Mode: UInt8, Sendable {
    case managed = 1
    case sets = 2
  }

  /// The address family of the table, as nf_tables numbers it.
  package enum Family: UInt8, Sendable {
    case inet = 1
    case ip = 2
    case ip6 = 10

    package var name: String {
      switch self {
      case .inet: "inet"
      case .ip: "ip"
      case .ip6: "ip6"
      }
    }
  }

  /// A prefix that is open without any name; no ports means every port and protocol.
  package struct StaticRule: Hashable, Sendable {
    package var prefix: IPPrefix
    package var ports: [PortRule]
    /// What bounds the octets of a connection; nil for nothing.
    package var maxBytes: ByteBound?

    package init(prefix: IPPrefix, ports: [PortRule], maxBytes: ByteBound? = nil) {
      self.prefix = prefix
      self.ports = ports
      self.maxBytes = maxBytes
    }
  }

  /// A server as the firewall knows it; its place in the list is the number that elements and events have.
  package struct Server: Hashable, Sendable {
    /// A valid `ServerName`: it names the server's chain and, with a suffix, its sets.
    package var name: String
    package var prefixes: [IPPrefix]
    /// Whether a rule opens every port, which takes sets of plain addresses beside the usual ones.
    package var opensAnyPort: Bool
    package var staticRules: [StaticRule]
    /// The only interface by which its packets may come in; nil for any.
    package var interface: String?
    /// Distinct bounds; the index in this list is the bit in a grant's `caps`.
    package var caps: [ByteCap]
    /// Its ports that others may connect to; empty means every port and protocol, nil none.
    package var inbound: [PortRule]?
    /// Whether it may ask the host for an address (DHCP, DHCPv6).
    package var asksDHCP: Bool
    /// Whether connections to some of its elements have to say a name, which takes sets of their own.
    package var checksNames = false
    /// No policy has it any more and nothing of it is open: it has its number, and no set, chain or counter.
    package var isGone = false
    /// Proxies of this host to which the gate may take what it passes of this server.
    package var inspectors: [Endpoint] = []
    /// Networks that it may not reach, whatever is open: none lies in another one.
    package var deniedPrefixes: [IPPrefix] = []

    package init(
      name: String, prefixes: [IPPrefix], opensAnyPort: Bool, staticRules: [StaticRule] = [],
      interface: String? = nil, caps: [ByteCap] = [], inbound: [PortRule]? = nil, asksDHCP: Bool = false
    ) {
      self.name = name
      self.prefixes = prefixes
      self.opensAnyPort = opensAnyPort
      self.staticRules = staticRules
      self.interface = interface
      self.caps = caps
      self.inbound = inbound
      self.asksDHCP = asksDHCP
    }
  }

  /// An address and a UDP and TCP port. Where the resolver listens, an unspecified address means every address of the
  /// host.
  package struct Endpoint: Hashable, Sendable, Comparable {
    package var address: IPAddress
    package var port: UInt16

    package init(address: IPAddress, port: UInt16) {
      self.address = address
      self.port = port
    }

    package static func < (left: Self, right: Self) -> Bool {
      (left.address, left.port) < (right.address, right.port)
    }
  }

  /// A greeting lists one octet for each server and has to fit one message; a host has far fewer.
  package static let maximumServerCount = PolicyLinter.maximumServers

  /// A grant has one bit for each, and another for `NameCheck`.
  package static let maximumCapCount = ServerPolicy.maximumCaps

  /// The process through which connections go that have to say a name.
  package struct Gate: Hashable, Sendable {
    /// TCP, on every address of the host.
    package var port: UInt16
    /// Its number as the kernel's: what is not of a checked set it cannot reach.
    package var user: UInt32

    package init(port: UInt16, user: UInt32) {
      self.port = port
      self.user = user
    }
  }

  /// How many elements a set of a managed table may hold; more is refused as `setFull`.
  package static let setSize = 65_536

  package var mode: Mode
  package var family: Family
  package var table: String
  package var servers: [Server]
  /// Where the resolver listens.
  package var listeners: [Endpoint]
  /// Whom the resolver asks: what bears their address counts only from the interface that the route to them has.
  package var upstreams: [Endpoint]
  /// Those of forwarded zones, which a reload changes.
  package var forwardUpstreams: [Endpoint]
  /// Networks that no server governs any more and that the operator has released.
  package var released: [IPPrefix]
  package var nflogGroup: UInt16
  /// Whether servers may reach only the resolver on the host itself.
  package var fencesInput: Bool
  /// Whether connections end with the rule or the network that admitted them.
  package var cutsFlows: Bool
  /// Seconds between two readings of a set's counters; 0 where they are not asked for.
  package var harvestSeconds: UInt16
  /// Whether no other program may change a managed table, where the kernel can keep it so.
  package var isExclusive: Bool
  /// Nil where there is none: then what would have to go through it is closed.
  package var gate: Gate?

  package init(
    mode: Mode, family: Family = .inet, table: String = "sluice", servers: [Server], listeners: [Endpoint] = [],
    upstreams: [Endpoint] = [], forwardUpstreams: [Endpoint] = [], released: [IPPrefix] = [], nflogGroup: UInt16 = 53,
    fencesInput: Bool = true, cutsFlows: Bool = true, harvestSeconds: UInt16 = 10, isExclusive: Bool = false
  ) {
    self.mode = mode
    self.family = family
    self.table = table
    self.servers = servers
    self.listeners = listeners
    self.upstreams = upstreams
    self.forwardUpstreams = forwardUpstreams
    self.released = released
    self.nflogGroup = nflogGroup
    self.fencesInput = fencesInput
    self.cutsFlows = cutsFlows
    self.harvestSeconds = harvestSeconds
    self.isExclusive = isExclusive
  }

  /// Whom the resolver asks, for whatever names.
  package var everyUpstream: [Endpoint] { upstreams + forwardUpstreams }

  /// The families whose addresses a table of `family` can filter.
  package var addressFamilies: [IPAddress.Family] {
    switch family {
    case .inet: [.v4, .v6]
    case .ip: [.v4]
    case .ip6: [.v6]
    }
  }
}

/// Why a plan is refused before anything of it reaches the kernel.
package enum FirewallPlanError: Error, Hashable {
  case tableName
  case managedFamily
  case tooManyServers
  case serverName(index: Int)
  case serverTwice(index: Int)
  case prefixTwice(index: Int)
  case port(index: Int)
  case interface(index: Int)
  case caps(index: Int)
  case gone(index: Int)
  case inspectors(index: Int)
  case denied(index: Int)

  /// What was wrong, as a sentence.
  package var reason: String {
    switch self {
    case .tableName: "the table's name holds something else than letters, digits, '-' and '_'"
    case .managedFamily: "a managed table must be of family inet"
    case .tooManyServers: "there are more than \(FirewallPlan.maximumServerCount) servers"
    case .serverName(let index): "server \(index) has a name that nft could misread"
    case .serverTwice(let index): "server \(index) has the name of an earlier one"
    case .prefixTwice(let index): "server \(index) has a network of an earlier one"
    case .port(let index): "server \(index) has a rule for a port that is none"
    case .interface(let index):
      "server \(index) has an interface of other characters than letters, digits, '-', '_' and '.'"
    case .inspectors(let index):
      "server \(index) has more than \(PolicyLinter.maximumInspectors) inspectors, or one without a port"
    case .denied(let index):
      "server \(index) is denied more than \(PolicyLinter.maximumDeniedNetworks) networks, or one within another one"
    case .gone(let index): "server \(index) is gone and has networks or rules"
    case .caps(let index):
      "server \(index) has more than \(FirewallPlan.maximumCapCount) byte caps, one twice, or one of 0"
    }
  }
}
