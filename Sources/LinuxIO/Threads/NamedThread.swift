import CLinux
import Glibc

/// A thread that runs one function and can be waited for.
package struct NamedThread: Sendable {
  private final class Body {
    let name: String
    let run: @Sendable () -> Void

    init(_ name: String, _ run: @escaping @Sendable () -> Void) {
      self.name = name
      self.run = run
    }
  }

  private let thread: pthread_t

  /// Starts the thread. Signals stay with the other threads.
  ///
  /// - Parameter name: as `ps -L` shows it, at most 15 octets.
  /// - Throws: EAGAIN where there is no room for another thread.
  package init(_ name: String, _ run: @escaping @Sendable () -> Void) throws(SystemError) {
    var all = sigset_t()
    var before = sigset_t()
    unsafe sigfillset(&all)
    unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
    var made = pthread_t()
    let body = unsafe Unmanaged.passRetained(Body(name, run))
    let result = unsafe pthread_create(
      &made, nil,
      { argument in
        // What was retained for this call alone, below.
        guard let argument = unsafe argument else { return nil }
        let body = unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
        unsafe sluice_thread_name(body.name)
        body.run()
        return nil
      }, body.toOpaque())
    guard result == 0 else {
      unsafe body.release()
      throw SystemError(call: "pthread_create", errno: result)
    }
    thread = made
  }

  /// Waits for the end of the function; to be called once.
  package func join() { pthread_join(thread, nil) }
}
