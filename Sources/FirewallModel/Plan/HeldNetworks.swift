package import IPNetwork

/// A network that was governed once, and the server whose document governed it last.
package struct HeldNetwork: Hashable, Sendable {
  package var prefix: IPPrefix
  package var server: String

  package init(prefix: IPPrefix, server: String) {
    self.prefix = prefix
    self.server = server
  }
}

/// Which networks were ever governed: what no policy governs any more stays closed until it is released.
///
/// A pure value; its text is what the state folder keeps, one network a line: `10.77.1.0/24 github-mcp`.
package struct HeldNetworks: Hashable, Sendable {
  /// Networks that may be held at a time; a host has far fewer, and each costs a rule's element.
  package static let maximumHeld = 4_096

  /// More networks were governed once than the list holds: none is forgotten, so that the plan is refused.
  package struct TooManyError: Error, CustomStringConvertible {
    package var description: String {
      "more than \(HeldNetworks.maximumHeld) networks that no policy governs any more: "
        + "release those that are gone with `sluice firewall release NETWORK`"
    }
  }

  /// Why a network cannot be released.
  package enum ReleaseError: Error, Hashable, CustomStringConvertible {
    case notHeld(IPPrefix)
    case partOf(IPPrefix, HeldNetwork)
    case governed(IPPrefix, by: String)

    package var description: String {
      switch self {
      case .notHeld(let network): "\(network) is not held: no policy governed it, or it was released"
      case .partOf(let network, let whole):
        "\(network) is a part of \(whole.prefix) (\(whole.server)), which is held as a whole, expected \(whole.prefix)"
      case .governed(let network, let server):
        "\(network) is governed by \(server) now: take it out of that document, reload, and release it then"
      }
    }
  }

  /// The server that governs or governed a network last.
  private var servers: [IPPrefix: String] = [:]
  /// Lines that name no network and server: they hold nothing, and stay where they are.
  package private(set) var unread: [String] = []

  package init() {}

  /// Reads the state folder's text.
  package init(text: String) {
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 2, let prefix = IPPrefix(words[0]), FirewallPlan.isName(String(words[1])) else {
        unread.append(String(line))
        continue
      }
      servers[prefix] = String(words[1])
    }
  }

  package var text: String {
    servers.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)\n" }.joined() + unread.map { $0 + "\n" }.joined()
  }

  /// Takes note of what a plan governs and releases; what is held then.
  ///
  /// - Throws: `TooManyError`; then nothing has changed.
  package mutating func govern(_ plan: FirewallPlan) throws(TooManyError) -> [HeldNetwork] {
    var next = self
    for released in plan.released {
      for prefix in servers.keys where released.length <= prefix.length && released.contains(prefix.address) {
        next.servers[prefix] = nil
      }
    }
    let governed = GovernedRanges(plan)
    for (prefix, _) in next.servers where governed.cover(prefix) { next.servers[prefix] = nil }
    let held = next.list
    guard held.count <= Self.maximumHeld else { throw TooManyError() }
    for server in plan.servers {
      for prefix in server.prefixes { next.servers[prefix] = server.name }
    }
    self = next
    return held
  }

  /// What of these networks no server of `plan` governs as a whole.
  package func held(beside plan: FirewallPlan) -> [HeldNetwork] {
    let governed = GovernedRanges(plan)
    return list.filter { !governed.cover($0.prefix) }
  }

  /// Forgets a network and what lies in it.
  package mutating func release(_ network: IPPrefix, beside plan: FirewallPlan) throws(ReleaseError) {
    let held = held(beside: plan)
    let gone = held.filter { network.length <= $0.prefix.length && network.contains($0.prefix.address) }
    guard !gone.isEmpty else {
      if let whole = held.first(where: { $0.prefix.length < network.length && $0.prefix.contains(network.address) }) {
        throw .partOf(network, whole)
      }
      if let server = plan.servers.first(where: { $0.prefixes.contains(network) }) {
        throw .governed(network, by: server.name)
      }
      throw .notHeld(network)
    }
    for held in gone { servers[held.prefix] = nil }
  }

  private var list: [HeldNetwork] {
    servers.map { HeldNetwork(prefix: $0.key, server: $0.value) }.sorted { $0.prefix < $1.prefix }
  }
}

/// The addresses that a plan's servers govern, as ranges in order.
private struct GovernedRanges {
  private let ranges: [IPAddress.Family: [OwnedRange]]

  init(_ plan: FirewallPlan) {
    let entries = plan.servers.flatMap(\.prefixes).map { (prefix: $0, owner: 0) }
    var ranges: [IPAddress.Family: [OwnedRange]] = [:]
    // Ranges of one owner that touch are one.
    for family in [IPAddress.Family.v4, .v6] { ranges[family] = DisjointRanges(entries, family: family).ranges }
    self.ranges = ranges
  }

  /// Whether they hold every address of the network.
  func cover(_ prefix: IPPrefix) -> Bool {
    let ranges = ranges[prefix.address.family] ?? []
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].first > prefix.firstValue { high = middle } else { low = middle + 1 }
    }
    return low > 0 && prefix.lastValue <= ranges[low - 1].last
  }
}
