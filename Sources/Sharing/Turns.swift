/// Work that waits, taken in turns: one piece of each owner after the other, however much one of them has brought.
/// An owner's own pieces keep their order.
package struct Turns<Owner: Hashable, Item> {
  private var queues: [Owner: Line<Item>] = [:]
  /// Owners with work, the next one first.
  private var order = Line<Owner>()
  package private(set) var count = 0

  package init() {}

  package var isEmpty: Bool { count == 0 }

  package mutating func append(_ item: Item, of owner: Owner) {
    count += 1
    if queues[owner] == nil { order.append(owner) }
    queues[owner, default: Line()].append(item)
  }

  /// Takes the next piece.
  package mutating func next() -> Item? {
    guard let owner = order.removeFirst(), let item = queues[owner]?.removeFirst() else { return nil }
    count -= 1
    if queues[owner]?.isEmpty ?? true {
      queues[owner] = nil
    } else {
      order.append(owner)
    }
    return item
  }
}

/// First in, first out.
private struct Line<Item> {
  private var items: [Item?] = []
  private var first = 0

  var isEmpty: Bool { first == items.count }

  mutating func append(_ item: Item) { items.append(item) }

  mutating func removeFirst() -> Item? {
    guard first < items.count else { return nil }
    let item = items[first]
    items[first] = nil
    first += 1
    // Half of it is gone: what is left moves to the front.
    if first > 32, first * 2 > items.count {
      items.removeFirst(first)
      first = 0
    }
    return item
  }
}
