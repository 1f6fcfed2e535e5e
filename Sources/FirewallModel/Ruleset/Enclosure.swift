package import HostNetwork
package import IPNetwork

/// Behind which interfaces of the host governed networks lie: a pure value, found from a plan, the networks that are held
/// and what the kernel says of the host's own network.
///
/// An interface is a network's where the policy pins it, where a route through it leads to the network or to a part of it
/// (an on-link prefix is such a route), or, where there is none of these, where its on-link prefix is the smallest that
/// holds the network. It never is by a default route or a wider route, and an interface that carries a default route or
/// the route to an upstream is never found, only pinned: enclosing it would cut the host off.
package struct Enclosure: Hashable, Sendable {
  /// An interface from which nothing passes that is not of the networks behind it.
  package struct Link: Hashable, Sendable {
    package var interface: String
    /// The interface's index; 0 where it is pinned and not there. One that was made anew has another.
    package var index: UInt32
    /// Whether it is a bridge, whose frames br_netfilter may show to the IP hooks before they come by it.
    package var isBridge = false
    /// Indexes in the plan's list of servers.
    package var servers: [Int]
    /// Networks behind it that no server governs any more.
    package var held: [IPPrefix]
    /// What else lies behind it: it loses its network.
    package var others: [IPPrefix]
  }

  /// Why a network is closed by its source alone although an interface leads to it.
  package enum Gap: Hashable, Sendable {
    case defaultRoute
    case upstream(IPAddress)
    /// nft text cannot hold the interface's name.
    case name
  }

  /// A network of a server that no interface encloses.
  package struct Exposure: Hashable, Sendable {
    /// Index in the plan's list of servers.
    package var server: Int
    package var network: IPPrefix
    package var interface: String
    package var gap: Gap
  }

  /// A network of a server that lies behind another interface than the one that its policy pins: what comes from there is
  /// dropped.
  package struct Displacement: Hashable, Sendable {
    /// Place in the plan's list of servers.
    package var server: Int
    package var network: IPPrefix
    package var pinned: String
    package var interface: String
  }

  /// By interface name.
  package var links: [Link]
  package var exposures: [Exposure]
  package var displacements: [Displacement]
  /// Networks of servers to which no interface of the host leads now.
  package var absent: [IPPrefix]

  package init() {
    links = []
    exposures = []
    displacements = []
    absent = []
  }

  package init(_ plan: FirewallPlan, held: [IPPrefix] = [], host: HostNetwork) {
    self.init()
    guard plan.mode == .managed else { return }
    let search = Search(host, upstreams: plan.everyUpstream.map(\.address))
    var behind: [String: (servers: Set<Int>, held: Set<IPPrefix>)] = [:]
    for (index, server) in plan.servers.enumerated() {
      if let pin = server.interface {
        behind[pin, default: ([], [])].servers.insert(index)
        for network in Set(server.prefixes).sorted() {
          let found = search.interfaces(of: network).map(\.name)
          guard let first = found.first, !found.contains(pin) else { continue }
          displacements.append(Displacement(server: index, network: network, pinned: pin, interface: first))
        }
        continue
      }
      for network in Set(server.prefixes).sorted() {
        let found = search.interfaces(of: network)
        if found.isEmpty { absent.append(network) }
        for interface in found {
          if let gap = search.gap(of: interface) {
            exposures.append(Exposure(server: index, network: network, interface: interface.name, gap: gap))
          } else {
            behind[interface.name, default: ([], [])].servers.insert(index)
          }
        }
      }
    }
    for network in Set(held).sorted() {
      for interface in search.interfaces(of: network) where search.gap(of: interface) == nil {
        behind[interface.name, default: ([], [])].held.insert(network)
      }
    }
    links = behind.sorted { $0.key < $1.key }.map { name, networks in
      let known = networks.servers.flatMap { plan.servers[$0].prefixes } + networks.held
      return Link(
        interface: name, index: search.index(of: name), isBridge: search.isBridge(name),
        servers: networks.servers.sorted(),
        held: networks.held.sorted(),
        others: search.others(behind: name, beside: known))
    }
  }
}

extension Enclosure {
  /// Which routes of the host an enclosure depends on.
  package struct Relevance {
    private let networks: [IPPrefix]
    private let upstreams: [IPAddress]

    package init(_ plan: FirewallPlan, held: [IPPrefix]) {
      networks = Set(plan.servers.flatMap(\.prefixes) + held).sorted()
      upstreams = plan.everyUpstream.map(\.address)
    }

    /// Default routes, on-link ones, those to a network or a part of one, and those to an upstream.
    package func contains(_ route: HostNetwork.Route) -> Bool {
      let destination = route.destination
      if destination.length == 0 || route.gateway == nil || upstreams.contains(where: destination.contains) {
        return true
      }
      // The networks that begin at or before it; nested ones are few.
      var index = networks.partitioningIndex { $0 > destination }
      for _ in 0..<64 where index > 0 {
        index -= 1
        if networks[index].length <= destination.length && networks[index].contains(destination.address) { return true }
      }
      return false
    }
  }

  /// The host's routes and on-link prefixes by what they lead to.
  private struct Search {
    private let names: [UInt32: HostNetwork.Interface]
    private let indexes: [String: UInt32]
    /// Interfaces by destination, of all routes but default ones and of on-link prefixes.
    private var destinations: [IPPrefix: Set<UInt32>] = [:]
    /// Interfaces by on-link prefix.
    private var onLink: [IPPrefix: Set<UInt32>] = [:]
    private var onLinkLengths: [IPAddress.Family: [Int]] = [:]
    private var carriesDefault: Set<UInt32> = []
    private var carriesUpstream: [UInt32: IPAddress] = [:]
    /// Sorted, so that what lies in a network is a run.
    private var sorted: [IPPrefix] = []
    private var byInterface: [String: [IPPrefix]] = [:]

    init(_ host: HostNetwork, upstreams: [IPAddress]) {
      names = Dictionary(host.interfaces.map { ($0.index, $0) }, uniquingKeysWith: { first, _ in first })
      indexes = Dictionary(host.interfaces.map { ($0.name, $0.index) }, uniquingKeysWith: { first, _ in first })
      let loopback = Set(host.interfaces.filter(\.isLoopback).map(\.index))
      for address in host.addresses where !loopback.contains(address.interface) && !address.network.isLinkLocal {
        onLink[address.network, default: []].insert(address.interface)
        destinations[address.network, default: []].insert(address.interface)
      }
      for route in host.routes where !loopback.contains(route.interface) {
        if route.destination.length == 0 {
          carriesDefault.insert(route.interface)
        } else if !route.destination.isLinkLocal {
          destinations[route.destination, default: []].insert(route.interface)
        }
      }
      for prefix in onLink.keys {
        onLinkLengths[prefix.address.family, default: []].append(prefix.length)
      }
      for family in onLinkLengths.keys { onLinkLengths[family] = Set(onLinkLengths[family] ?? []).sorted(by: >) }
      sorted = destinations.keys.sorted()
      for prefix in sorted {
        for interface in destinations[prefix] ?? [] {
          if let name = names[interface]?.name { byInterface[name, default: []].append(prefix) }
        }
      }
      for upstream in upstreams {
        for interface in route(to: upstream) { carriesUpstream[interface] = upstream }
      }
    }

    /// The interfaces of the longest destination that holds an address.
    private func route(to address: IPAddress) -> Set<UInt32> {
      let bits = address.family == .v4 ? 32 : 128
      for length in stride(from: bits, through: 1, by: -1) {
        guard let prefix = IPPrefix(address, length: length) else { continue }
        if let found = destinations[prefix] { return found }
      }
      return []
    }

    func interfaces(of network: IPPrefix) -> [HostNetwork.Interface] {
      var found: Set<UInt32> = []
      var index = sorted.partitioningIndex { $0 >= network }
      while index < sorted.count, network.contains(sorted[index].address) {
        if sorted[index].length >= network.length { found.formUnion(destinations[sorted[index]] ?? []) }
        index += 1
      }
      if found.isEmpty {
        for length in onLinkLengths[network.address.family] ?? [] where length < network.length {
          guard let wider = IPPrefix(network.address, length: length), let interfaces = onLink[wider] else { continue }
          found = interfaces
          break
        }
      }
      return found.compactMap { names[$0] }.sorted { $0.name < $1.name }
    }

    func index(of name: String) -> UInt32 { indexes[name] ?? 0 }

    func isBridge(_ name: String) -> Bool { indexes[name].flatMap { names[$0] }?.kind == "bridge" }

    func gap(of interface: HostNetwork.Interface) -> Gap? {
      if carriesDefault.contains(interface.index) { return .defaultRoute }
      if let upstream = carriesUpstream[interface.index] { return .upstream(upstream) }
      return FirewallPlan.isInterface(interface.name) ? nil : .name
    }

    /// What lies behind an interface and in none of the networks, nor is a part of one.
    func others(behind name: String, beside networks: [IPPrefix]) -> [IPPrefix] {
      (byInterface[name] ?? []).filter { !$0.isCovered(by: networks) }
    }
  }
}

extension IPPrefix {
  /// In fe80::/10 (RFC 4291 section 2.5.6), 169.254.0.0/16 (RFC 3927), or multicast (RFC 4291 section 2.7, RFC 5771).
  fileprivate var isLinkLocal: Bool {
    switch address.family {
    case .v4: address.value >> 16 == 0xA9FE && length >= 16 || address.value >> 28 == 0xE && length >= 4
    case .v6: address.high >> 54 == 0x3FA && length >= 10 || address.high >> 56 == 0xFF && length >= 8
    }
  }
}

extension [IPPrefix] {
  /// The index of the first element for which `belongs` holds, in an array that is sorted by it.
  fileprivate func partitioningIndex(where belongs: (IPPrefix) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if belongs(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
