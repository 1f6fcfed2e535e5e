import Foundation
import Synchronization

/// Says on a terminal what is being waited for, from the second second on; in a pipe or a journal nothing.
final class Progress: Sendable {
  private struct State {
    var isOver = false
    var isShown = false

    /// Tells of the waiting, unless it is over; whether it goes on.
    mutating func show(_ text: String) -> Bool {
      guard !isOver else { return false }
      isShown = true
      Progress.write(text)
      return true
    }
  }

  private let state = Mutex(State())

  /// Shown until `end`, which must come before anything else is written.
  init(_ what: String) {
    if isatty(STDERR_FILENO) == 1 { start(what) }
  }

  static func during<Result>(_ what: String, _ body: () throws -> Result) rethrows -> Result {
    let progress = Progress(what)
    defer { progress.end() }
    return try body()
  }

  private func start(_ what: String) {
    Thread.detachNewThread { [self] in
      var second = 0
      repeat {
        sleep(1)
        second += 1
      } while state.withLock { $0.show("\r\(what) … \(second) s\u{1B}[K") }
    }
  }

  func end() {
    state.withLock { state in
      if state.isShown, !state.isOver { Self.write("\r\u{1B}[K") }
      state.isOver = true
    }
  }

  fileprivate static func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
