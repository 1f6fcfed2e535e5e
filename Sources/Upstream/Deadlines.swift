import LinuxIO

/// When things end of which most end before: what is taken out in time costs no timer of its own. One timer is set for the
/// earliest of all, and when that comes they are looked through.
struct Deadlines<Item: AnyObject> {
  private var entries: [(time: MonotonicTime, item: Item)?] = []
  private var free: [Int] = []

  /// Returns the place by which it is taken out.
  mutating func add(_ item: Item, at time: MonotonicTime) -> Int {
    guard let place = free.popLast() else {
      entries.append((time, item))
      return entries.count - 1
    }
    entries[place] = (time, item)
    return place
  }

  mutating func remove(_ place: Int) {
    entries[place] = nil
    free.append(place)
  }

  /// Takes out what is due, `most` of it at the most; the places of these are others' from now on.
  mutating func takeDue(_ now: MonotonicTime, atMost most: Int) -> [Item] {
    var due: [Item] = []
    for place in entries.indices {
      guard due.count < most else { break }
      guard let entry = entries[place], entry.time <= now else { continue }
      due.append(entry.item)
      remove(place)
    }
    return due
  }

  /// The earliest of all; nil where there is nothing.
  var earliest: MonotonicTime? { entries.lazy.compactMap { $0?.time }.min() }
}
