import BridgeProcesses
import FirewallModel
import Gate
import Glibc
import LinuxIO
import Settings

/// Starting the gate, before serve gives up what it takes to make it another user.
enum GateSession {
  /// Milliseconds in which the gate of the run before has let go of the port: it ends a moment after its serve.
  private static let portPatience: UInt64 = 5_000
  private static let portRhythm: UInt32 = 50_000

  /// Starts one and waits until it is at work.
  ///
  /// - Returns: nil where no policy will need one; or where none needs one yet and it cannot be had, which is told.
  /// - Throws: `StartError` where one is needed and cannot be had; the rules are in force by then.
  static func start(_ settings: Settings, _ bridge: BridgeSession?, reactor: Reactor) throws(StartError) -> GateLink? {
    guard let bridge, GateAccount.isWanted(settings) else { return nil }
    do throws(StartError) {
      return try begin(settings, bridge, reactor)
    } catch {
      guard !GateAccount.isNeeded(settings, settings.policies) else { throw error }
      StandardError.write("sluice: no policy needs the gate yet, and there is none until a restart: \(error.reason)")
      return nil
    }
  }

  private static func begin(
    _ settings: Settings, _ bridge: BridgeSession, _ reactor: Reactor
  ) throws(StartError) -> GateLink {
    let account: GateStart.Account
    switch GateAccount.find(settings) {
    case .success(let found): account = found
    case .failure(let error): throw StartError(error.text)
    }
    let link: GateLink
    do throws(SystemError) {
      let listeners = try listen(settings.firewall.gatePort).map { $0.release() }
      defer { for listener in listeners { close(listener) } }
      link = try GateLink(reactor: reactor, socket: try GateStart.start(listeners: listeners, as: account)) { _ in
        reactor.stop()
      }
    } catch {
      throw StartError(
        "the gate cannot be started at port \(settings.firewall.gatePort) (`firewall.gate-port`): \(error)")
    }
    try bridge.runReactor("the gate did not start within 10 s") { link.hasGreeted || !link.isOpen }
    guard link.isOpen else {
      throw StartError(
        "the gate ended at once: to make it \(GateAccount.name) serve needs root, or CAP_SETUID and CAP_SETGID")
    }
    return link
  }

  private static func listen(_ port: UInt16) throws(SystemError) -> [GateListener] {
    let deadline = MonotonicTime.now().adding(milliseconds: portPatience)
    while true {
      do throws(SystemError) {
        return try listenNow(port)
      } catch {
        guard error.errno == EADDRINUSE, MonotonicTime.now() < deadline else { throw error }
        usleep(portRhythm)
      }
    }
  }

  private static func listenNow(_ port: UInt16) throws(SystemError) -> [GateListener] {
    var listeners = [GateListener(try Sockets.listenTCP(SocketAddress(isV6: false, high: 0, low: 0, port: port)))]
    do throws(SystemError) {
      listeners.append(GateListener(try Sockets.listenTCP(SocketAddress(isV6: true, high: 0, low: 0, port: port))))
    } catch  where [EAFNOSUPPORT, EADDRNOTAVAIL].contains(error.errno) {
      // A host without IPv6 redirects none of it.
    }
    return listeners
  }
}

/// A socket that listens until it is released.
private final class GateListener {
  private var socket: FileDescriptor?

  init(_ socket: consuming FileDescriptor) { self.socket = consume socket }

  func release() -> Int32 { socket.take()?.release() ?? -1 }
}
