/// A binary heap of keys by the time at which they are due: nanoseconds of the monotonic clock.
///
/// Keys are not updated in place. Whoever takes a due key looks up whether it still ends then, and puts it back if not.
struct ExpiryHeap<Key> {
  private var items: [(due: UInt64, key: Key)] = []

  mutating func insert(_ key: Key, due: UInt64) {
    items.append((due, key))
    var child = items.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard items[child].due < items[parent].due else { return }
      items.swapAt(child, parent)
      child = parent
    }
  }

  /// Removes and returns a key that was due at or before `now`.
  mutating func takeDue(_ now: UInt64) -> Key? {
    guard let first = items.first, first.due <= now else { return nil }
    let last = items.count - 1
    items.swapAt(0, last)
    items.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < items.count && items[child].due < items[least].due {
        least = child
      }
      guard least != parent else { return first.key }
      items.swapAt(parent, least)
      parent = least
    }
  }
}
