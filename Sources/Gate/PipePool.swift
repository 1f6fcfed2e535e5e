import LinuxIO

/// Pipes for octets that are under way; some are kept for the next.
struct PipePool: ~Copyable {
  private let limit: Int
  private var kept: PipeStack?
  private var count = 0

  init(limit: Int) { self.limit = limit }

  /// Nil where the kernel gives none.
  mutating func take() -> PassingPipe? {
    guard let top = kept.take() else {
      do throws(SystemError) {
        return try PassingPipe()
      } catch {
        return nil
      }
    }
    count -= 1
    kept = top.next.take()
    return top.pipe.take()
  }

  /// One with octets in it is closed.
  mutating func give(_ pipe: consuming PassingPipe) {
    guard count < limit, pipe.held == 0 else { return }
    count += 1
    kept = PipeStack(pipe, next: kept.take())
  }
}

/// A pipe, and those below it.
final class PipeStack {
  var pipe: PassingPipe?
  var next: PipeStack?

  init(_ pipe: consuming PassingPipe, next: PipeStack?) {
    self.pipe = consume pipe
    self.next = next
  }
}
