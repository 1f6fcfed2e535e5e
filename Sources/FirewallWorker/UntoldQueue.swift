/// What serve had no room for yet, in the order in which it came.
struct UntoldQueue<Element> {
  private var waiting: [Element] = []

  var isEmpty: Bool { waiting.isEmpty }

  mutating func append(_ element: Element) { waiting.append(element) }

  mutating func append(contentsOf elements: some Sequence<Element>) { waiting.append(contentsOf: elements) }

  mutating func removeAll() { waiting.removeAll() }

  /// Tells as much as there is room for, and keeps the rest. Returns what was told.
  ///
  /// - Parameters:
  ///   - most: how many go together.
  ///   - send: whether there was room.
  @discardableResult
  mutating func tell(atOnce most: Int, _ send: ([Element]) -> Bool) -> [Element] {
    var told = 0
    while told < waiting.count {
      let part = Array(waiting[told..<min(told + most, waiting.count)])
      guard send(part) else { break }
      told += part.count
    }
    defer { waiting.removeFirst(told) }
    return Array(waiting.prefix(told))
  }
}
