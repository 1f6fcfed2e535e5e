/// Work that waits, taken in turns: one piece of each owner after the other, however much one of them has brought.
/// An owner's own pieces keep their order.
@frozen @usableFromInline
package struct Turns<Owner: Hashable, Item> {
  @usableFromInline var queues: [Owner: Line<Item>] = [:]
  /// Owners with work, the next one first.
  @usableFromInline var order = Line<Owner>()
  @usableFromInline var waiting = 0

  @inlinable
  package init() {}

  @inlinable
  package var count: Int { waiting }

  @inlinable
  package var isEmpty: Bool { waiting == 0 }

  /// Puts a piece of work behind the owner's others.
  @inlinable
  package mutating func append(_ item: Item, of owner: Owner) {
    waiting += 1
    guard let index = queues.index(forKey: owner) else {
      order.append(owner)
      queues[owner] = Line(item)
      return
    }
    if queues.values[index].isEmpty { order.append(owner) }
    queues.values[index].append(item)
  }

  /// Takes the next piece.
  @inlinable
  package mutating func next() -> Item? {
    guard let owner = order.removeFirst(), let index = queues.index(forKey: owner),
      let item = queues.values[index].removeFirst()
    else { return nil }
    waiting -= 1
    if !queues.values[index].isEmpty {
      order.append(owner)
    } else if queues.count > keptQueues {
      queues.remove(at: index)
    }
    return item
  }

  /// Empty queues of so many owners are kept for their next work: to make one anew costs more than most work does to queue.
  @inlinable
  var keptQueues: Int { 64 }
}

/// First in, first out.
@frozen @usableFromInline
struct Line<Item> {
  @usableFromInline var items: [Item?] = []
  @usableFromInline var first = 0

  @inlinable
  init() {}

  @inlinable
  init(_ item: Item) { items = [item] }

  @inlinable
  var isEmpty: Bool { first == items.count }

  @inlinable
  mutating func append(_ item: Item) { items.append(item) }

  @inlinable
  mutating func removeFirst() -> Item? {
    guard first < items.count else { return nil }
    let item = items[first]
    items[first] = nil
    first += 1
    if first == items.count {
      items.removeAll(keepingCapacity: first <= 64)
      first = 0
    }
    // Half of it is gone: what is left moves to the front.
    if first > 32, first * 2 > items.count {
      items.removeFirst(first)
      first = 0
    }
    return item
  }
}
