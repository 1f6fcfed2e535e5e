/// The last readings of element counters, by set: tells what is new in the next one, whatever became of the element between.
package struct CounterReadings {
  /// What one set's elements have counted, by their keys.
  package typealias Readings = [ElementKey: ElementCounts]

  /// Only what has counted anything; of a set that is in the plan at least nothing.
  private var last: [String: Readings] = [:]

  package init() {}

  /// Forgets every other set, and whose counters are not known yet what `readings` tell of it: that was told by the worker
  /// before.
  package mutating func retain(_ sets: [String: Readings]) {
    last = sets.reduce(into: [:]) { $0[$1.key] = last[$1.key] ?? $1.value.filter { $0.value.packets > 0 } }
  }

  /// What is known of a set and not among what a dump found: it ended, or the dump, which the kernel walks while the set
  /// changes, has passed it over.
  package func missing(_ set: String, in readings: Readings) -> [ElementKey] {
    last[set].map { $0.keys.filter { readings[$0] == nil } } ?? []
  }

  /// What every element of a set counted since it was read last. Elements that are not named are forgotten.
  ///
  /// - Parameter closed: elements that were closed since the reading began. Each was told by `close`, and whatever the
  ///   reading says of it is part of that, or of another element in its place, and comes with the next reading.
  package mutating func read(_ set: String, _ readings: Readings, closed: Set<ElementKey> = []) -> [(
    ElementKey, ElementCounts
  )] {
    guard let before = last[set] else { return [] }
    var now: Readings = [:]
    var news: [(ElementKey, ElementCounts)] = []
    for (key, counts) in readings where counts.packets > 0 && !closed.contains(key) {
      now[key] = counts
      let new = counts.since(before[key])
      if new.packets > 0 { news.append((key, new)) }
    }
    last[set] = now
    return news
  }

  /// What an element that is gone counted since it was read last.
  package mutating func close(_ set: String, _ key: ElementKey, _ counts: ElementCounts) -> ElementCounts {
    counts.since(last[set]?.removeValue(forKey: key))
  }
}

extension ElementCounts {
  /// A counter that stands lower than before began again at nothing.
  func since(_ before: ElementCounts?) -> ElementCounts {
    guard let before, before.packets <= packets, before.octets <= octets else { return self }
    return ElementCounts(octets: octets - before.octets, packets: packets - before.packets)
  }
}
