/// Changes of the table by other processes, as the kernel told of them since it was asked last.
package struct TableChanges: Equatable {
  package var changes: TableChange = []
  /// The sets in which elements came or went.
  package var sets: Set<String> = []

  package init(changes: TableChange = [], sets: Set<String> = []) {
    self.changes = changes
    self.sets = sets
  }

  package var isEmpty: Bool { changes.isEmpty }

  /// Changes after which table, sets or rules may not be what the plan wants.
  package static let harmful: TableChange = [.tableRemoved, .setRemoved, .rulesChanged, .unknown]

  package var isHarmful: Bool { !changes.isDisjoint(with: Self.harmful) }

  /// Adds what the kernel told of another time.
  package mutating func formUnion(_ other: Self) {
    changes.formUnion(other.changes)
    sets.formUnion(other.sets)
  }

  /// The servers of `plan` whose sets were touched; none when too many were for a message.
  package func servers(of plan: FirewallPlan) -> [UInt16] {
    let names = Set(sets.compactMap { SetName($0)?.server })
    guard !names.isEmpty, names.count <= Self.maximumServers else { return [] }
    return plan.servers.indices.filter { names.contains(plan.servers[$0].name) }.map { UInt16($0) }
  }

  /// Beyond this all servers are looked at, which costs little more.
  private static let maximumServers = 1_024
}

extension TableChange {
  /// What may have taken elements out of a set.
  package static let removal: TableChange = [.tableRemoved, .setRemoved, .elementsRemoved, .unknown]
}
