package import EgressPolicy
import IPNetwork

extension FirewallPlan {
  /// Makes the plan of a table from the policies, in their order: the index of a server is its index there.
  package init(
    mode: Mode, family: Family, table: String, policies: [ServerPolicy], listeners: [Listener], nflogGroup: UInt16 = 53
  ) {
    self.init(
      mode: mode, family: family, table: table, servers: policies.map(Server.init), listeners: listeners,
      nflogGroup: nflogGroup)
  }

  /// Checks every field that becomes text or an index.
  package func validate() throws(FirewallPlanError) {
    guard Self.isName(table) else { throw .tableName }
    guard mode == .sets || family == .inet else { throw .managedFamily }
    guard servers.count <= Self.maximumServerCount else { throw .tooManyServers }
    var names: Set<String> = []
    var prefixes: Set<IPPrefix> = []
    for (index, server) in servers.enumerated() {
      guard (try? ServerName(server.name)) != nil else { throw .serverName(index: index) }
      guard names.insert(server.name).inserted else { throw .serverTwice(index: index) }
      for prefix in Set(server.prefixes) where !prefixes.insert(prefix).inserted {
        throw .prefixTwice(index: index)
      }
      for port in server.staticRules.flatMap(\.ports) where !port.isValid {
        throw .port(index: index)
      }
    }
  }

  /// Whether `text` is safe as an nft identifier: `[A-Za-z_][A-Za-z0-9_-]{0,62}`.
  static func isName(_ text: String) -> Bool {
    let octets = text.utf8
    guard let first = octets.first, octets.count <= ServerName.maximumLength else { return false }
    guard isLetter(first) || first == 0x5F else { return false }
    return octets.allSatisfy { isLetter($0) || $0 == 0x5F || $0 == 0x2D || ($0 >= 0x30 && $0 <= 0x39) }
  }

  private static func isLetter(_ octet: UInt8) -> Bool {
    (octet >= 0x61 && octet <= 0x7A) || (octet >= 0x41 && octet <= 0x5A)
  }
}

extension FirewallPlan.Port {
  var isValid: Bool { (transport == 6 || transport == 17) && port != 0 }
}

extension FirewallPlan.Server {
  package init(_ policy: ServerPolicy) {
    self.init(
      name: policy.name.text, prefixes: policy.networks.map(\.prefix),
      opensAnyPort: policy.rules.contains { $0.ports == .any },
      staticRules: policy.prefixes.map { FirewallPlan.StaticRule(prefix: $0.prefix, ports: .init($0.ports)) })
  }
}

extension [FirewallPlan.Port] {
  fileprivate init(_ set: PortSet) {
    switch set {
    case .any: self = []
    case .ports(let rules): self = rules.map { .init(transport: $0.transport.rawValue, port: $0.port) }
    }
  }
}
