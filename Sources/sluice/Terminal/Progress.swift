import Foundation
import Synchronization

/// Says on a terminal what is being waited for, from the second second on; in a pipe or a journal nothing.
final class Progress: Sendable {
  private struct State {
    var isOver = false
    var isShown = false
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
      for second in 1... {
        sleep(1)
        let isOver = state.withLock { state in
          guard !state.isOver else { return true }
          state.isShown = true
          Self.write("\r\(what) … \(second) s\u{1B}[K")
          return false
        }
        if isOver { return }
      }
    }
  }

  func end() {
    state.withLock { state in
      if state.isShown, !state.isOver { Self.write("\r\u{1B}[K") }
      state.isOver = true
    }
  }

  private static func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
