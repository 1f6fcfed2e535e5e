import DNSWire
package import IPNetwork

/// Finds what is wrong or risky in a set of policy documents that are each well formed.
package enum PolicyLinter {
  /// What the plan of the firewall bridge has room for.
  package static let maximumServers = 16_384

  /// All findings, in the order of the documents.
  ///
  /// - Parameter now: seconds since 1970; entries whose time is over by then are warned about.
  package static func check(_ servers: [ServerPolicy], now: UInt64 = 0) -> [Diagnostic] {
    var findings = checkServers(servers) + checkNetworks(servers)
    let networks = OwnedNetworks(servers)
    checkInspectors(servers, &findings)
    checkLayers(servers, &findings)
    let above = above(servers)
    for server in servers {
      checkTimes(server, now, &findings)
      checkCaps(server, &findings)
      checkDenials(server, above: above, &findings)
      for index in server.rules.indices {
        let isOwn = server.layers == nil || server.rules.layer(at: index) == nil
        let inherited = isOwn ? server.privatePrefixes : server.layers?.privatePrefixes ?? []
        check(server.rules, index, inherited: inherited, &findings)
      }
      checkOverlaps(server, networks, &findings)
    }
    guard servers.contains(where: { $0.layers != nil }) else { return findings }
    // What stands above all documents is found with each of them.
    var told: Set<Diagnostic> = []
    return findings.filter { told.insert($0).inserted }
  }

  /// The findings on one rule.
  package static func check(_ rule: EgressRule) -> [Diagnostic] {
    var findings: [Diagnostic] = []
    check([rule], 0, inherited: [], &findings)
    return findings
  }

  private static func checkServers(_ servers: [ServerPolicy]) -> [Diagnostic] {
    var findings: [Diagnostic] = []
    var locations: [ServerName: SourceLocation] = [:]
    for server in servers {
      if let location = locations.updateValue(server.location, forKey: server.name) {
        findings.append(
          .error(
            "server \(server.name) stands already at \(location.full), expected each name once", at: server.location))
        locations[server.name] = location
      }
    }
    if servers.count > maximumServers, let last = servers.last {
      findings.append(.error("\(servers.count) servers, expected at most \(maximumServers)", at: last.location))
    }
    return findings
  }

  private static func checkNetworks(_ servers: [ServerPolicy]) -> [Diagnostic] {
    var findings: [Diagnostic] = []
    var owners: [IPPrefix: (name: ServerName, location: SourceLocation)] = [:]
    for server in servers {
      for network in server.networks {
        if let owner = owners[network.prefix] {
          findings.append(
            .error(
              "network \(network.prefix) belongs to server \(owner.name) already, at \(owner.location.full)",
              at: network.location))
        } else {
          owners[network.prefix] = (server.name, network.location)
        }
        if network.prefix.address.unmapped != network.prefix.address {
          findings.append(
            .error("network \(network.prefix) is an IPv4-mapped form, expected the IPv4 form", at: network.location))
        }
        if network.prefix.length == 0 {
          findings.append(
            .warning("network \(network.prefix) makes every other client server \(server.name)", at: network.location))
        }
      }
    }
    return findings
  }

  /// - Parameter inherited: what stands in the document or the configuration, and is looked at there.
  private static func check(
    _ rules: RuleList, _ index: Int, inherited: [IPPrefix], _ findings: inout [Diagnostic]
  ) {
    if rules.kind(at: index) != .exact { checkWildcard(rules, index, &findings) }
    switch rules.specialUse(at: index) {
    case nil: break
    case .staysHere:
      findings.append(
        .warning(
          "\(rules.pattern(at: index)) is answered locally, never forwarded: the entry has no effect",
          at: rules.location(at: index)))
    case .forwardedIfListed:
      findings.append(
        .warning(
          "\(rules.pattern(at: index)) is a special-use name that is otherwise answered locally: this entry forwards it",
          at: rules.location(at: index)))
    }
    if rules.isEnginesHost(at: index) {
      findings.append(
        .warning(
          "\(rules.pattern(at: index)) is an engine's name for this host: containers have it from their hosts file and do not ask, "
            + "and the fence around the host refuses what it leads to", at: rules.location(at: index)))
    }
    for prefix in rules.privatePrefixes(at: index) where !inherited.contains(prefix) {
      checkPrivate(prefix, rules.location(at: index), &findings)
    }
  }

  /// The findings on prefixes that are admitted for more than one entry.
  package static func check(private prefixes: [IPPrefix], at location: SourceLocation) -> [Diagnostic] {
    var findings: [Diagnostic] = []
    for prefix in prefixes { checkPrivate(prefix, location, &findings) }
    return findings
  }

  private static func checkPrivate(_ prefix: IPPrefix, _ location: SourceLocation, _ findings: inout [Diagnostic]) {
    if !privateSpace.contains(where: { $0.length <= prefix.length && $0.contains(prefix.address) }) {
      findings.append(
        .warning("private prefix \(prefix) is not inside private address space", at: location))
    }
    findings += overlaps("private prefix \(prefix)", prefix, "which is refused all the same", location)
  }

  /// What a listed prefix has in common with addresses that no rule may open.
  static func overlaps(
    _ what: String, _ prefix: IPPrefix, _ consequence: String, _ location: SourceLocation
  ) -> [Diagnostic] {
    var findings: [Diagnostic] = []
    let metadata = CloudMetadata.prefixes.filter { $0.overlaps(prefix) }
    if let first = metadata.first {
      let others = metadata.count > 1 ? " and \(metadata.count - 1) more" : ""
      findings.append(
        .warning("\(what) holds \(first)\(others), a cloud's metadata service, \(consequence)", at: location))
    }
    if let form = IPAddress.embeddingPrefixes.first(where: { $0.overlaps(prefix) }) {
      findings.append(
        .warning(
          "\(what) holds IPv6 addresses that carry IPv4 addresses (\(form)); an answer's are judged as those as well",
          at: location))
    }
    return findings
  }

  /// RFC 1918, 6598, 1122 (loopback), 3927, 4193, 4291 (loopback, link-local), and 2544, from which proxies answer.
  private static let privateSpace: [IPPrefix] = [
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "198.18.0.0/15",
    "fc00::/7", "fe80::/10", "::1/128",
  ].compactMap { (text: String) in IPPrefix(text) }
}

extension RuleList {
  func privatePrefixes(at index: Int) -> [IPPrefix] {
    profiles[Int(entries[index].profile)].privatePrefixes
  }

  /// Whether an entry is for the name that a container engine gives to its host.
  fileprivate func isEnginesHost(at index: Int) -> Bool {
    guard kind(at: index) == .exact else { return false }
    let start = Int(entries[index].nameStart)
    let wire = names[start..<(start + Int(entries[index].nameLength))]
    return Self.enginesHosts.contains { $0.count == wire.count && wire.elementsEqual($0) }
  }

  /// Of Docker and Podman (`--add-host`, containers.conf).
  private static let enginesHosts: [[UInt8]] = [
    "host.docker.internal", "gateway.docker.internal", "host.containers.internal",
  ].map { name in name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0] }

  fileprivate func specialUse(at index: Int) -> SpecialUseNames.Treatment? {
    let start = Int(entries[index].nameStart)
    let wire = names[start..<(start + Int(entries[index].nameLength))]
    if kind(at: index) == .exact && SpecialUseNames.isSingleLabel(wire) { return .staysHere }
    return SpecialUseNames.treatment(of: wire)
  }
}
