/// The last readings of element counters: tells what is new in the next one, whatever became of the element between.
struct CounterBook {
  /// By set; only what has counted anything.
  private var last: [Int: [ElementKey: ElementCounts]] = [:]

  /// What every element of a set counted since it was read last. Elements that are not named are forgotten.
  mutating func read(_ set: Int, _ readings: [(key: ElementKey, counts: ElementCounts)]) -> [(
    ElementKey, ElementCounts
  )] {
    let before = last.removeValue(forKey: set) ?? [:]
    var now: [ElementKey: ElementCounts] = [:]
    var news: [(ElementKey, ElementCounts)] = []
    for (key, counts) in readings where counts.packets > 0 {
      now[key] = counts
      let new = counts.since(before[key])
      if new.packets > 0 { news.append((key, new)) }
    }
    if !now.isEmpty { last[set] = now }
    return news
  }

  /// What an element that is gone counted since it was read last.
  mutating func close(_ set: Int, _ key: ElementKey, _ counts: ElementCounts) -> ElementCounts {
    counts.since(last[set]?.removeValue(forKey: key))
  }
}

extension ElementCounts {
  /// A counter that stands lower than before began again at nothing.
  fileprivate func since(_ before: ElementCounts?) -> ElementCounts {
    guard let before, before.packets <= packets, before.octets <= octets else { return self }
    return ElementCounts(octets: octets - before.octets, packets: packets - before.packets)
  }
}
