/// What the kernel said that somebody else did to our table since it was asked last.
struct ForeignNews: Equatable {
  var changes: ForeignChange = []
  /// The sets in which elements came or went.
  var sets: Set<String> = []

  var isEmpty: Bool { changes.isEmpty }

  /// Changes after which table, sets or rules may not be what the plan wants.
  static let harmful: ForeignChange = [.tableRemoved, .setRemoved, .rulesChanged, .unknown]

  var isHarmful: Bool { !changes.isDisjoint(with: Self.harmful) }

  mutating func formUnion(_ other: Self) {
    changes.formUnion(other.changes)
    sets.formUnion(other.sets)
  }

  /// The servers of `plan` whose sets were touched; none when too many were for a message.
  func servers(of plan: FirewallPlan) -> [UInt16] {
    let names = Set(sets.compactMap { SetName($0)?.server })
    guard !names.isEmpty, names.count <= Self.maximumServers else { return [] }
    return plan.servers.indices.filter { names.contains(plan.servers[$0].name) }.map { UInt16($0) }
  }

  /// Beyond this all servers are looked at, which costs little more.
  private static let maximumServers = 1_024
}

extension ForeignChange {
  /// What may have taken elements out of a set.
  static let removal: ForeignChange = [.tableRemoved, .setRemoved, .elementsRemoved, .unknown]
}
