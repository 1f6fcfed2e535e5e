import DNSWire
import IPNetwork

/// What differs between two policies, server by server.
package struct PolicyDifference: Equatable, Sendable {
  /// What became of one server.
  package struct Server: Equatable, Sendable {
    /// Whether one of the policies alone has the server, or both have it.
    package enum Kind: String, Sendable {
      case added
      case removed
      case changed
    }

    package var name: String
    package var kind: Kind
    /// Entries of its egress list, sorted by their text: patterns and, behind them, `cidr: PREFIX` and `deny: PATTERN`.
    package var added: [String] = []
    package var removed: [String] = []
    /// How many of them are prefixes and denials.
    package var addedPrefixes = 0
    package var removedPrefixes = 0
    /// What is another value now: of entries that stay, and of the document itself.
    package var altered: [ChangedValue] = []
  }

  /// Sorted by name; a server that decides and opens as before is not among them.
  package var servers: [Server] = []

  package init(from former: [ServerPolicy], to current: [ServerPolicy]) {
    var common = CommonDenials()
    let before = Dictionary(former.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let after = Set(current.map(\.name))
    for policy in current {
      guard let old = before[policy.name] else {
        let entries = Self.entries(policy)
        servers.append(
          Server(
            name: policy.name.text, kind: .added, added: entries.patterns + entries.prefixes,
            addedPrefixes: entries.prefixes.count))
        continue
      }
      if !policy.decidesLike(old) {
        servers.append(Self.change(from: old, to: policy, common.difference(from: old.layers, to: policy.layers)))
      }
    }
    for old in former where !after.contains(old.name) {
      let entries = Self.entries(old)
      servers.append(
        Server(
          name: old.name.text, kind: .removed, removed: entries.patterns + entries.prefixes,
          removedPrefixes: entries.prefixes.count))
    }
    servers.sort { $0.name < $1.name }
  }

  /// Patterns over all servers.
  package var addedCount: Int { servers.reduce(0) { $0 + $1.added.count - $1.addedPrefixes } }
  package var removedCount: Int { servers.reduce(0) { $0 + $1.removed.count - $1.removedPrefixes } }

  /// What differs between two sets of denials.
  private struct Denials {
    var added: [String] = []
    var removed: [String] = []

    init() {}

    init(from old: RuleList, to new: RuleList) {
      let (before, after) = (Set(old.indices.map { old.pattern(at: $0) }), Set(new.indices.map { new.pattern(at: $0) }))
      added = after.subtracting(before).map { "deny: \($0)" }.sorted()
      removed = before.subtracting(after).map { "deny: \($0)" }.sorted()
    }

    func with(networks old: [PrefixDenial], _ new: [PrefixDenial]) -> Denials {
      let (before, after) = (Set(old.map(\.text)), Set(new.map(\.text)))
      var sum = self
      sum.added += after.subtracting(before).map { "deny: \($0)" }.sorted()
      sum.removed += before.subtracting(after).map { "deny: \($0)" }.sorted()
      return sum
    }
  }

  /// Of the denials that are the same for all servers the difference is looked for once.
  private struct CommonDenials {
    private var known: (old: String, new: String, difference: Denials)?

    mutating func difference(from old: PolicyLayers?, to new: PolicyLayers?) -> Denials {
      let (before, after) = (old?.fingerprint ?? "", new?.fingerprint ?? "")
      if before == after { return Denials() }
      if let known, known.old == before, known.new == after { return known.difference }
      let difference = Denials(from: old?.denials ?? [], to: new?.denials ?? [])
      known = (before, after, difference)
      return difference
    }
  }

  private static func change(from old: ServerPolicy, to new: ServerPolicy, _ common: Denials) -> Server {
    let own = Denials(from: old.denials, to: new.denials).with(networks: old.prefixDenials, new.prefixDenials)
    let (before, after) = (profiles(old.rules), profiles(new.rules))
    let (prefixesBefore, prefixesAfter) = (prefixes(old), prefixes(new))
    var server = Server(name: new.name.text, kind: .changed)
    let (came, went) = (
      prefixesAfter.keys.filter { prefixesBefore[$0] == nil }, prefixesBefore.keys.filter { prefixesAfter[$0] == nil }
    )
    server.added =
      after.keys.filter { before[$0] == nil }.map(\.description).sorted() + came.sorted() + own.added + common.added
    server.removed =
      before.keys.filter { after[$0] == nil }.map(\.description).sorted() + went.sorted() + own.removed
      + common.removed
    server.addedPrefixes = came.count + own.added.count + common.added.count
    server.removedPrefixes = went.count + own.removed.count + common.removed.count
    server.altered = documentChanges(from: old, to: new)
    for (pattern, now) in after {
      guard let was = before[pattern], was != now else { continue }
      server.altered += changes(of: pattern.description, from: was.map(\.values), to: now.map(\.values))
    }
    for (prefix, now) in prefixesAfter {
      guard let was = prefixesBefore[prefix], was != now else { continue }
      server.altered += changes(of: prefix, from: was.map(\.values), to: now.map(\.values))
    }
    server.altered.sort { ($0.entry ?? "", $0.key) < ($1.entry ?? "", $1.key) }
    return server
  }

  /// The keys that stand beside the egress list.
  private static func documentChanges(from old: ServerPolicy, to new: ServerPolicy) -> [ChangedValue] {
    func values(_ policy: ServerPolicy) -> [(key: String, texts: [String])] {
      [
        ("networks", policy.networks.map(\.prefix.description)),
        ("interface", policy.interface.map { [$0] } ?? []),
        ("inbound", policy.inbound?.texts ?? []),
        ("dhcp", policy.asksDHCP ? ["true"] : []), ("cname", policy.cname.texts),
      ]
    }
    return zip(values(old), values(new)).compactMap { old, new in
      ChangedValue(key: old.key, from: old.texts, to: new.texts)
    }
  }

  /// What entries of one name open together is told where it differs, else how many entries there are.
  private static func changes(of entry: String, from old: [EntryValues], to new: [EntryValues]) -> [ChangedValue] {
    func merged(_ entries: [EntryValues], _ place: Int) -> [String] {
      Set(entries.flatMap { $0[place].texts }).sorted()
    }
    guard let keys = new.first?.map(\.key) else { return [] }
    let changes = keys.indices.compactMap { place in
      ChangedValue(entry: entry, key: keys[place], from: merged(old, place), to: merged(new, place))
    }
    guard changes.isEmpty else { return changes }
    func each(_ entries: [EntryValues]) -> [String] {
      entries.map { $0.filter { !$0.texts.isEmpty }.map { "\($0.key): \($0.texts.joined(separator: " "))" } }
        .map { $0.joined(separator: "; ") }.sorted()
    }
    return [ChangedValue(entry: entry, key: "entries", was: each(old), now: each(new))]
  }

  private static func profiles(_ rules: RuleList) -> [NamePattern: Set<RuleList.Profile>] {
    var found: [NamePattern: Set<RuleList.Profile>] = [:]
    for index in rules.indices {
      found[rules.pattern(at: index), default: []].insert(rules.profiles[Int(rules.entries[index].profile)])
    }
    return found
  }

  /// What is open without a name, by `cidr: PREFIX`.
  private static func prefixes(_ policy: ServerPolicy) -> [String: Set<StaticPrefixRule.Opening>] {
    var found: [String: Set<StaticPrefixRule.Opening>] = [:]
    for rule in policy.prefixes { found[rule.text, default: []].insert(rule.opening) }
    return found
  }

  private static func entries(_ policy: ServerPolicy) -> (patterns: [String], prefixes: [String]) {
    let rules = policy.rules
    return (
      Set(rules.indices.map { rules.pattern(at: $0) }).map(\.description).sorted(),
      Set(policy.prefixes.map(\.text)).sorted()
        + Denials(from: [], to: policy.denials).with(networks: [], policy.deniedPrefixes).added
    )
  }
}

/// The keys of an entry in one order, each with its values as the files write them.
private typealias EntryValues = [(key: String, texts: [String])]

extension RuleList.Profile {
  fileprivate var values: EntryValues {
    [
      ("ports", ports.texts), ("types", types.map(\.description)), ("private", privatePrefixes.map(\.description)),
      ("max-bytes", maxBytes.texts), ("max-bytes-per-hour", maxBytesPerHour.texts),
      ("until", until.map { [PolicyTime.text($0)] } ?? []), ("cname", cname.texts),
      ("verify", check.map { ["sni"] + $0.texts } ?? []), ("ech", check.map { [$0.hiding.rawValue] } ?? []),
      ("inspect", check?.inspector.map { [$0.description] } ?? []),
      ("dnssec", dnssec == .off ? [] : [dnssec.rawValue]),
    ]
  }
}

extension ChainPolicy {
  /// Nothing where it is the default.
  fileprivate var texts: [String] { self == .follow ? [] : [rawValue] }
}

extension StaticPrefixRule {
  /// As it stands in an egress list.
  package var text: String { "cidr: \(prefix)" }

  /// All but its prefix and its place.
  fileprivate struct Opening: Hashable {
    var ports: PortSet
    var maxBytes: ByteBound?
    var until: UInt64?

    var values: EntryValues {
      [("ports", ports.texts), ("max-bytes", maxBytes.texts), ("until", until.map { [PolicyTime.text($0)] } ?? [])]
    }
  }

  fileprivate var opening: Opening { Opening(ports: ports, maxBytes: maxBytes, until: until) }
}

extension ByteBound? {
  /// As the files write its value; one that blocks says no more.
  fileprivate var texts: [String] {
    map { [OctetCount.text($0.bytes)] + ($0.excess == .block ? [] : [$0.excess.rawValue]) } ?? []
  }
}
