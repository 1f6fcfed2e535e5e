import IPNetwork

/// The networks of all servers in the order of their addresses, so that a prefix finds those it overlaps.
struct OwnedNetworks {
  private let networks: [(prefix: IPPrefix, server: ServerName)]

  init(_ servers: [ServerPolicy]) {
    networks = servers.flatMap { server in
      server.networks.lazy.map(\.prefix).filter { $0.length > 0 }.map { (prefix: $0, server: server.name) }
    }.sorted { $0.prefix < $1.prefix }
  }

  /// The first network of another server that has an address in common with a prefix.
  func other(than server: ServerName, overlapping prefix: IPPrefix) -> (prefix: IPPrefix, server: ServerName)? {
    // Those inside of it are neighbours in the order; those around it are found by their address and length.
    var at = lowerBound(prefix)
    while at < networks.count, prefix.contains(networks[at].prefix.address) {
      if networks[at].server != server { return networks[at] }
      at += 1
    }
    for length in stride(from: prefix.length - 1, through: 1, by: -1) {
      guard let outer = IPPrefix(prefix.address, length: length) else { continue }
      let index = lowerBound(outer)
      if index < networks.count, networks[index].prefix == outer, networks[index].server != server {
        return networks[index]
      }
    }
    return nil
  }

  private func lowerBound(_ prefix: IPPrefix) -> Int {
    var (low, high) = (0, networks.count)
    while low < high {
      let middle = (low + high) / 2
      if networks[middle].prefix < prefix { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

/// Prefixes that reach what no server may reach.
extension PolicyLinter {
  static func checkOverlaps(_ server: ServerPolicy, _ networks: OwnedNetworks, _ findings: inout [Diagnostic]) {
    for rule in server.prefixes {
      guard rule.prefix.length > 0 else {
        findings.append(.warning("\(rule.prefix) opens every address", at: rule.location))
        continue
      }
      findings += overlaps("\(rule.prefix)", rule.prefix, "and opens it", rule.location)
      if let other = networks.other(than: server.name, overlapping: rule.prefix) {
        findings.append(
          .warning("\(rule.prefix) opens addresses of \(other.prefix), a network of \(other.server)", at: rule.location)
        )
      }
    }
    for index in server.rules.indices {
      for prefix in server.rules.privatePrefixes(at: index) where !server.privatePrefixes.contains(prefix) {
        guard let other = networks.other(than: server.name, overlapping: prefix) else { continue }
        findings.append(
          .warning(
            "private prefix \(prefix) has addresses of \(other.prefix), a network of \(other.server), which are refused "
              + "all the same", at: server.rules.location(at: index)))
      }
    }
  }
}
