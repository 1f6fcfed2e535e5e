/// The last readings of the counters of what `cidr:` entries open: tells what is new in the next one.
package struct PrefixReadings {
  /// By the counter's name; they begin before anything is counted here.
  private var last: [String: ElementCounts]

  /// - Parameter counts: what the counters stand at already: that was told by the worker before.
  package init(_ counts: [String: ElementCounts]) {
    last = counts
  }

  /// What each counted since it was read last, where that is anything. Those that are not named are forgotten: they are gone,
  /// and one of that name begins at nothing.
  package mutating func read(_ counts: [String: ElementCounts]) -> [String: ElementCounts] {
    defer { last = counts }
    return counts.reduce(into: [:]) { news, entry in
      let new = entry.value.since(last[entry.key])
      if new.packets > 0 { news[entry.key] = new }
    }
  }
}
