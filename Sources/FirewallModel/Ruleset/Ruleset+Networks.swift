import EgressPolicy
import IPNetwork

/// The maps and sets of servers' networks, and of others that only a plan fills.
extension Ruleset {
  /// More lookups than this for each packet cost more than one search in an interval map.
  private static let maximumLengths = 4

  /// The prefix lengths of a family, the longest first, if they are few enough for a hash map each: its lookup costs the
  /// same with one server and with thousands. Empty where the interval map serves.
  static func hashedLengths(_ plan: FirewallPlan, _ family: IPAddress.Family) -> [Int] {
    hashedLengths(plan.servers.flatMap(\.prefixes), family) ?? []
  }

  private static func hashedLengths(_ prefixes: [IPPrefix], _ family: IPAddress.Family) -> [Int]? {
    let lengths = Set(prefixes.lazy.filter { $0.address.family == family }.map(\.length))
    return lengths.count <= maximumLengths && !lengths.contains(0) ? lengths.sorted(by: >) : nil
  }

  /// `servers-4/24`: keyed by the first 24 bits of the source. No server's name holds a '/'.
  static func hashedMap(_ family: IPAddress.Family, _ length: Int) -> String { "servers-\(family.rawValue)/\(length)" }

  /// `clients-4/24`: the same networks, for those who only ask whether one is a server's.
  static func hashedSet(_ family: IPAddress.Family, _ length: Int) -> String { "clients-\(family.rawValue)/\(length)" }

  /// The hash maps and sets that a plan needs.
  package static func hashedMaps(_ plan: FirewallPlan, _ held: [HeldNetwork]) -> [String] {
    plan.addressFamilies.flatMap { family in
      hashedLengths(plan, family).flatMap { [hashedMap(family, $0), hashedSet(family, $0)] }
    } + networkSets(plan, held).map(\.name) + gateMapNames(plan)
  }

  /// A set of networks, or of networks and ports, that only a plan fills.
  struct NetworkSet {
    /// What stands before the family in its name.
    enum Purpose: String, CaseIterable {
      case held
      /// Network and port that others may connect to. A set for each transport: kernels of the 6.12 series refuse the
      /// protocol in a key of ranges.
      case inboundTCP = "inbound-tcp"
      case inboundUDP = "inbound-udp"
      /// Networks whose every port others may connect to.
      case inboundAny = "inbound-any"
    }

    var purpose: Purpose
    var family: IPAddress.Family
    /// The bits of an address that are looked up; nil for ranges.
    var length: Int?
    var elements: [String]

    /// `held-4/24`; `held-4/0` holds ranges.
    var name: String { "\(purpose.rawValue)-\(family.rawValue)/\(length ?? 0)" }

    var declaration: String {
      let hasPorts = purpose == .inboundTCP || purpose == .inboundUDP
      let type = hasPorts ? "\(family.type) . inet_service" : family.type
      return "{ type \(type);\(length == nil ? " flags interval;" : "") }"
    }

    /// What nft matches a packet's source or, for ports, its destination with.
    var match: String {
      switch purpose {
      case .held: "\(family.header) saddr\(length.map { " & \(family.mask($0))" } ?? "") @\(name)"
      case .inboundTCP: "meta l4proto tcp \(family.header) daddr . th dport @\(name)"
      case .inboundUDP: "meta l4proto udp \(family.header) daddr . th dport @\(name)"
      case .inboundAny: "\(family.header) daddr @\(name)"
      }
    }
  }

  /// The sets of networks that a plan needs; none is empty.
  static func networkSets(_ plan: FirewallPlan, _ held: [HeldNetwork]) -> [NetworkSet] {
    plan.addressFamilies.flatMap { heldSets(Set(held.map(\.prefix)), $0) + inboundSets(plan, $0) }
  }

  private static func heldSets(_ networks: Set<IPPrefix>, _ family: IPAddress.Family) -> [NetworkSet] {
    let mine = networks.filter { $0.address.family == family }.sorted()
    guard !mine.isEmpty else { return [] }
    guard let lengths = hashedLengths(mine, family) else {
      let ranges = DisjointRanges(mine.map { (prefix: $0, owner: 0) }, family: family).ranges
      return [NetworkSet(purpose: .held, family: family, length: nil, elements: ranges.map(\.nft))]
    }
    return lengths.map { length in
      NetworkSet(
        purpose: .held, family: family, length: length,
        elements: mine.filter { $0.length == length }.map(\.address.nft))
    }
  }

  /// Ranges, because the longest prefix owns an address. The kernel exchanges a set of several fields as a whole: none of
  /// them is ever missing from it while a transaction takes effect.
  private static func inboundSets(_ plan: FirewallPlan, _ family: IPAddress.Family) -> [NetworkSet] {
    var elements: [NetworkSet.Purpose: [String]] = [:]
    for range in ownedRanges(plan, family) {
      guard let ports = plan.servers[range.owner].inbound else { continue }
      if ports.isEmpty { elements[.inboundAny, default: []].append(range.nft) }
      for port in Set(ports).sorted() {
        elements[port.transport == .tcp ? .inboundTCP : .inboundUDP, default: []].append("\(range.nft) . \(port.port)")
      }
    }
    return NetworkSet.Purpose.allCases.compactMap { purpose in
      elements[purpose].map { NetworkSet(purpose: purpose, family: family, length: nil, elements: $0) }
    }
  }

  static func isMap(_ text: String) -> Bool { text.hasPrefix("servers") || text.hasPrefix("\(gatePurpose)-") }

  /// Whether the text is the name of a map or set of networks that a ruleset can have, or can begin with.
  package static func isNetworkTable(_ text: String) -> Bool {
    if isClosing(text) { return true }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let length = UInt8(parts[1]), length <= 128, String(length) == parts[1] else {
      return false
    }
    let purposes =
      NetworkSet.Purpose.allCases.map(\.rawValue) + [gatePurpose] + (length > 0 ? ["servers", "clients"] : [])
    return purposes.contains { purpose in
      [IPAddress.Family.v4, .v6].contains { "\(purpose)-\($0.rawValue)" == parts[0] }
    }
  }

  /// The ranges of each server, by its index in the plan.
  static func rangesByOwner(_ plan: FirewallPlan) -> [Int: [OwnedRange]] {
    Dictionary(grouping: plan.addressFamilies.flatMap { ownedRanges(plan, $0) }, by: \.owner)
  }

  static func ownedRanges(_ plan: FirewallPlan, _ family: IPAddress.Family) -> [OwnedRange] {
    let entries = plan.servers.enumerated().flatMap { index, server in
      server.prefixes.map { (prefix: $0, owner: index) }
    }
    return DisjointRanges(entries, family: family).ranges
  }
}
