/// How many connections the gate cut for one change, which it says in parts.
final class GateTally {
  private var count = 0
  private var left: Int
  /// Nil once it was told.
  private var completion: ((Int) -> Void)?

  /// - Parameter parts: how many it says; at least 1.
  init(_ parts: Int, _ completion: @escaping (Int) -> Void) {
    left = parts
    self.completion = completion
  }

  /// One part of it.
  func add(_ connections: Int) {
    count += connections
    left -= 1
    if left == 0 { end() }
  }

  /// Tells what is known by now.
  func end() {
    completion?(count)
    completion = nil
  }
}
