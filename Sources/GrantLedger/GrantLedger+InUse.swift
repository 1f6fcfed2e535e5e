extension GrantLedger {
  /// The open elements that end within `limit` nanoseconds and that may be kept open for longer: until `bound`
  /// nanoseconds after they were first opened. Costs what ends by then.
  package func due(within limit: UInt64, bound: UInt64, now: UInt64) -> [GrantElement] {
    servers.indices.flatMap { servers[$0].due(within: limit, bound: bound, now: now) }
  }

  /// Keeps elements open that are in use: for `by` nanoseconds from now, but no longer than `bound` after they were
  /// first opened. No answer promises that: when room is needed, they may be evicted.
  package mutating func extend(_ elements: [GrantElement], by: UInt64, bound: UInt64, now: UInt64) -> [GrantCommit] {
    elements.compactMap { element in
      guard let index = index(of: element.server) else { return nil }
      guard let commit = servers[index].extend(element, by: by, bound: bound, now: now) else { return nil }
      let until = now.addingSaturating(UInt64(commit.lifetimeMilliseconds) * 1_000_000)
      histories[index].extend(element, until: until, now: now)
      return commit
    }
  }
}
