package import IPNetwork

/// Everything the bridge has to know: the table, the servers and what of each never changes between two policies.
package struct FirewallPlan: Hashable, Sendable {
  /// Who writes the table: the bridge, or the user, who lets us fill sets.
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

  /// A transport protocol (6 or 17) and a port of it.
  package struct Port: Hashable, Sendable, Comparable {
    package var transport: UInt8
    package var port: UInt16

    package init(transport: UInt8, port: UInt16) {
      self.transport = transport
      self.port = port
    }

    package static func < (left: Self, right: Self) -> Bool {
      (left.transport, left.port) < (right.transport, right.port)
    }
  }

  /// A prefix that is open without any name; no ports means every port and protocol.
  package struct StaticRule: Hashable, Sendable {
    package var prefix: IPPrefix
    package var ports: [Port]

    package init(prefix: IPPrefix, ports: [Port]) {
      self.prefix = prefix
      self.ports = ports
    }
  }

  package struct Server: Hashable, Sendable {
    /// A valid `ServerName`: it names the server's chain and, with a suffix, its sets.
    package var name: String
    package var prefixes: [IPPrefix]
    /// Whether a rule opens every port, which takes sets of plain addresses beside the usual ones.
    package var opensAnyPort: Bool
    package var staticRules: [StaticRule]

    package init(name: String, prefixes: [IPPrefix], opensAnyPort: Bool, staticRules: [StaticRule] = []) {
      self.name = name
      self.prefixes = prefixes
      self.opensAnyPort = opensAnyPort
      self.staticRules = staticRules
    }
  }

  /// Where the resolver listens; an unspecified address means every address of the host.
  package struct Listener: Hashable, Sendable {
    package var address: IPAddress
    package var port: UInt16

    package init(address: IPAddress, port: UInt16) {
      self.address = address
      self.port = port
    }
  }

  /// A greeting lists one octet for each server and has to fit one message; a host has far fewer.
  package static let maximumServerCount = 16_384

  /// How many elements a set of ours may hold; more is refused as `setFull`.
  package static let setSize = 65_536

  package var mode: Mode
  package var family: Family
  package var table: String
  package var servers: [Server]
  package var listeners: [Listener]
  package var nflogGroup: UInt16

  package init(
    mode: Mode, family: Family = .inet, table: String = "sluice", servers: [Server], listeners: [Listener] = [],
    nflogGroup: UInt16 = 53
  ) {
    self.mode = mode
    self.family = family
    self.table = table
    self.servers = servers
    self.listeners = listeners
    self.nflogGroup = nflogGroup
  }

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
    }
  }
}
