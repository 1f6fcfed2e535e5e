/// A binary heap of records by time: nanoseconds of the monotonic clock. A record stands in it once or not at all.
struct SlotHeap {
  private var items: [(due: UInt64, slot: Slot)] = []
  /// Where each record stands in `items`, or `.none`.
  private var positions: [Slot] = []

  var count: Int { items.count }

  var first: (due: UInt64, slot: Slot)? { items.first }

  func contains(_ slot: Slot) -> Bool {
    Int(slot) < positions.count && positions[Int(slot)] != .none
  }

  /// Adds a record, or moves it to another time.
  mutating func set(_ slot: Slot, due: UInt64) {
    while positions.count <= Int(slot) { positions.append(.none) }
    var index = Int(positions[Int(slot)])
    if index < 0 {
      index = items.count
      items.append((due, slot))
      positions[Int(slot)] = Slot(index)
    } else {
      items[index].due = due
    }
    settle(index)
  }

  mutating func remove(_ slot: Slot) {
    guard contains(slot) else { return }
    let index = Int(positions[Int(slot)])
    let last = items.removeLast()
    positions[Int(slot)] = .none
    guard index < items.count else { return }
    items[index] = last
    positions[Int(last.slot)] = Slot(index)
    settle(index)
  }

  /// Every record whose time is at or before `limit`, in no order.
  func slots(dueBy limit: UInt64) -> [Slot] {
    var found: [Slot] = []
    var open = [0]
    while let index = open.popLast() {
      guard index < items.count, items[index].due <= limit else { continue }
      found.append(items[index].slot)
      open.append(2 * index + 1)
      open.append(2 * index + 2)
    }
    return found
  }

  /// Moves an item to where its time belongs, towards the root or away from it.
  private mutating func settle(_ start: Int) {
    let item = items[start]
    var index = start
    while index > 0, case let parent = (index - 1) / 2, item.due < items[parent].due {
      put(items[parent], at: index)
      index = parent
    }
    while true {
      var child = 2 * index + 1
      guard child < items.count else { break }
      if child + 1 < items.count, items[child + 1].due < items[child].due { child += 1 }
      guard items[child].due < item.due else { break }
      put(items[child], at: index)
      index = child
    }
    put(item, at: index)
  }

  private mutating func put(_ item: (due: UInt64, slot: Slot), at index: Int) {
    items[index] = item
    positions[Int(item.slot)] = Slot(index)
  }
}
