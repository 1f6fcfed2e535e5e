/// What differs between two policies, server by server.
package struct PolicyDifference: Equatable, Sendable {
  package struct Server: Equatable, Sendable {
    package enum Kind: String, Sendable {
      case added
      case removed
      case changed
    }

    package var name: String
    package var kind: Kind
    /// Patterns, sorted by their text.
    package var added: [String] = []
    package var removed: [String] = []
    /// Patterns that stay with other ports, types, prefixes, limits or times.
    package var altered: [String] = []
    /// Networks, interface, inbound ports or static prefixes differ.
    package var isElsewhere = false
  }

  /// Sorted by name; a server that decides and opens as before is not among them.
  package var servers: [Server] = []

  package init(from former: [ServerPolicy], to current: [ServerPolicy]) {
    let before = Dictionary(former.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let after = Set(current.map(\.name))
    for policy in current {
      guard let old = before[policy.name] else {
        servers.append(Server(name: policy.name.text, kind: .added, added: Self.texts(policy.rules)))
        continue
      }
      if !policy.decidesLike(old) { servers.append(Self.change(from: old, to: policy)) }
    }
    for old in former where !after.contains(old.name) {
      servers.append(Server(name: old.name.text, kind: .removed, removed: Self.texts(old.rules)))
    }
    servers.sort { $0.name < $1.name }
  }

  /// Patterns over all servers.
  package var addedCount: Int { servers.reduce(0) { $0 + $1.added.count } }
  package var removedCount: Int { servers.reduce(0) { $0 + $1.removed.count } }

  private static func change(from old: ServerPolicy, to new: ServerPolicy) -> Server {
    let (before, after) = (profiles(old.rules), profiles(new.rules))
    return Server(
      name: new.name.text, kind: .changed,
      added: after.keys.filter { before[$0] == nil }.map(\.description).sorted(),
      removed: before.keys.filter { after[$0] == nil }.map(\.description).sorted(),
      altered: after.filter { pattern, profiles in before[pattern].map { $0 != profiles } ?? false }.keys
        .map(\.description).sorted(),
      isElsewhere: new.interface != old.interface || new.inbound != old.inbound || new.asksDHCP != old.asksDHCP
        || new.networks.map(\.prefix) != old.networks.map(\.prefix)
        || !new.prefixes.elementsEqual(old.prefixes) { $0.opensLike($1) })
  }

  private static func profiles(_ rules: RuleList) -> [NamePattern: Set<RuleList.Profile>] {
    var found: [NamePattern: Set<RuleList.Profile>] = [:]
    for index in rules.indices {
      found[rules.pattern(at: index), default: []].insert(rules.profiles[Int(rules.entries[index].profile)])
    }
    return found
  }

  private static func texts(_ rules: RuleList) -> [String] {
    Set(rules.indices.map { rules.pattern(at: $0) }).map(\.description).sorted()
  }
}
