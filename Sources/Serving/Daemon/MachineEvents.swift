/// Events on their way to a machine: one is handled when everything that came of the one before is done.
///
///     guard events.add(event) else { return }
///     while let next = events.next() { for action in machine.handle(next) { perform(action) } }
struct MachineEvents<Event> {
  private var waiting: [Event] = []
  private var isHandling = false

  /// Adds one; false where another one is being handled, after which it is taken.
  mutating func add(_ event: Event) -> Bool {
    waiting.append(event)
    defer { isHandling = true }
    return !isHandling
  }

  /// The next one; nil when there is none, and the next that is added is handled at once.
  mutating func next() -> Event? {
    isHandling = !waiting.isEmpty
    return isHandling ? waiting.removeFirst() : nil
  }
}
