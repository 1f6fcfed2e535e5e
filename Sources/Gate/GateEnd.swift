import Glibc
import LinuxIO

/// One end of a connection, and what it is waited for.
final class GateEnd {
  let socket: Int32
  var onReady: (ReadyEvents) -> Void = { _ in }
  /// Neither side of it sends any more: the kernel says so again and again.
  var isHungUp = false
  private let reactor: Reactor
  private var watched: (readable: Bool, writable: Bool)?
  /// Whether the kernel sends a reset when it is closed.
  private let resetsAtClose: Bool

  /// - Parameter resetsAtClose: how the socket came.
  init(_ socket: Int32, _ reactor: Reactor, resetsAtClose: Bool) {
    self.socket = socket
    self.reactor = reactor
    self.resetsAtClose = resetsAtClose
  }

  /// Waits for this and nothing else; false where the kernel refuses.
  func watch(readable: Bool, writable: Bool) -> Bool {
    if let watched {
      // That it is reset is told in any case, and so is that it hung up, which nothing comes of while nothing is waited for.
      if isHungUp && !readable && !writable {
        reactor.unregister(socket)
        self.watched = nil
      } else if watched != (readable, writable) {
        reactor.modify(socket, readable: readable, writable: writable)
        self.watched = (readable, writable)
      }
      return true
    }
    guard readable || writable || !isHungUp else { return true }
    do throws(SystemError) {
      try reactor.register(socket, readable: readable, writable: writable) { [unowned self] in onReady($0) }
      watched = (readable, writable)
      return true
    } catch {
      return false
    }
  }

  func close(resets: Bool) {
    onReady = { _ in }
    if watched != nil { reactor.unregister(socket, closes: true) }
    watched = nil
    if resets != resetsAtClose { PassingSockets.resetsAtClose(socket, resets) }
    Glibc.close(socket)
  }
}
