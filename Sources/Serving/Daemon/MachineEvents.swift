/// Events on their way to a machine: one is handled when everything that came of the one before is done.
final class MachineEvents<Event> {
  private var waiting: [Event] = []
  private var isHandling = false

  /// Handles an event, and those that are added meanwhile in their turn; at once, where none is being handled.
  ///
  /// - Parameter handle: called for each, never while it runs for another.
  func add(_ event: Event, _ handle: (Event) -> Void) {
    waiting.append(event)
    guard !isHandling else { return }
    isHandling = true
    while !waiting.isEmpty { handle(waiting.removeFirst()) }
    isHandling = false
  }
}
