package import IPNetwork

/// Which addresses an answer may not hold, whatever name it is of.
///
/// An ordinary public address is admitted, and one in a `private` prefix of the rule. Never admitted, `private` or not,
/// are metadata services of clouds, the host's own addresses, and networks of other servers; without `private` neither
/// what is on a link of the host nor the server's own networks. An IPv6 address that carries an IPv4 address must be
/// admitted itself, and so must what it carries.
package struct ForbiddenAddresses: Equatable, Sendable {
  /// What is wrong with an address; the raw value is the word of the audit log.
  package enum Reason: String, Sendable {
    case metadata
    case hostAddress = "host-address"
    case serverNetwork = "server-network"
    case onLink = "on-link"
    case notPublic = "not-public"
  }

  /// A network and the server that it belongs to, by the firewall's index.
  package struct Network: Hashable, Sendable {
    package var prefix: IPPrefix
    /// Its index in the firewall plan.
    package var server: UInt16

    package init(prefix: IPPrefix, server: UInt16) {
      self.prefix = prefix
      self.server = server
    }
  }

  /// Behind one reference: each answer is judged by a copy.
  private final class Tables: Sendable {
    let serverNetworks: Set<Network>
    let hostAddresses: Set<IPAddress>
    let onLink: Set<IPPrefix>
    let owners: PrefixTable
    let links: PrefixTable

    init(_ serverNetworks: Set<Network>, _ hostAddresses: Set<IPAddress>, _ onLink: Set<IPPrefix>) {
      self.serverNetworks = serverNetworks
      self.hostAddresses = hostAddresses
      self.onLink = onLink
      owners = PrefixTable(serverNetworks.map { ($0.prefix, UInt32($0.server)) })
      links = PrefixTable(onLink.map { ($0, 1) })
    }
  }

  private let tables: Tables

  package var serverNetworks: Set<Network> { tables.serverNetworks }
  package var hostAddresses: Set<IPAddress> { tables.hostAddresses }
  package var onLink: Set<IPPrefix> { tables.onLink }

  /// Prefixes of length 0 are left out: a network that takes every other client in, and a tunnel's default route, say
  /// nothing of where an address lives.
  package init(serverNetworks: [Network] = [], hostAddresses: Set<IPAddress> = [], onLink: [IPPrefix] = []) {
    tables = Tables(
      Set(serverNetworks.filter { $0.prefix.length > 0 }), Set(hostAddresses.map(\.unmapped)),
      Set(onLink.filter { $0.length > 0 }))
  }

  package static func == (left: Self, right: Self) -> Bool {
    left.serverNetworks == right.serverNetworks && left.hostAddresses == right.hostAddresses
      && left.onLink == right.onLink
  }

  /// Whether an answer for `server` may hold `address`.
  ///
  /// - Parameter prefixes: those that the rule lists as `private`.
  package func admits(_ address: IPAddress, private prefixes: [IPPrefix], server: UInt16) -> Bool {
    refusal(of: address, private: prefixes, server: server) == nil
  }

  /// Why an answer may not hold `address`; nil where it may.
  package func refusal(of address: IPAddress, private prefixes: [IPPrefix], server: UInt16) -> Reason? {
    if let refusal = judge(address, prefixes, server) { return refusal }
    for carried in address.embedded {
      if let refusal = judge(carried, prefixes, server) { return refusal }
    }
    return nil
  }

  private func judge(_ address: IPAddress, _ prefixes: [IPPrefix], _ server: UInt16) -> Reason? {
    if CloudMetadata.contains(address) { return .metadata }
    if hostAddresses.contains(address) || Self.loopback.contains(where: { $0.contains(address) }) {
      return .hostAddress
    }
    let owner = tables.owners.lookup(address)
    if let owner, owner != UInt32(server) { return .serverNetwork }
    if prefixes.contains(where: { $0.contains(address) }) { return nil }
    if owner != nil { return .serverNetwork }
    if tables.links.lookup(address) != nil { return .onLink }
    return address.isPublic ? nil : .notPublic
  }

  /// RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3.
  private static let loopback: [IPPrefix] = ["127.0.0.0/8", "::1/128"].compactMap { (text: String) in IPPrefix(text) }

  /// What is refused beside what `former` refused, as far as an answer could have held it: in public space, or in a prefix
  /// that some rule lists as `private`.
  package func additions(since former: ForbiddenAddresses, private listed: Set<IPPrefix>) -> [IPPrefix] {
    let hosts = hostAddresses.subtracting(former.hostAddresses).compactMap { IPPrefix($0, length: $0.octetCount * 8) }
    let networks = serverNetworks.subtracting(former.serverNetworks).map(\.prefix)
    let added = Set(hosts + networks).union(onLink.subtracting(former.onLink))
    return added.filter { prefix in
      prefix.address.isPublic || prefix.last.isPublic || listed.contains { $0.overlaps(prefix) }
    }.sorted()
  }
}

extension PolicySnapshot {
  /// Every prefix that a rule lists as `private`.
  package var privatePrefixes: Set<IPPrefix> {
    servers.reduce(into: []) { $0.formUnion($1.rules.privatePrefixes) }
  }
}
