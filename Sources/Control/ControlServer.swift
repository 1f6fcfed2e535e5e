import CLinux
import Glibc
package import LinuxIO
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// HTTP/1.1 for an operator's tools, on a thread of its own: calls on a Unix socket, and metrics on loopback.
package final class ControlServer: Sendable {
  /// Octets of a call's body.
  static let maxBody = 64 << 10
  /// Connections at a time; more are closed at once.
  static let maxConnections = 64
  /// Of these, how many those may have who may not change anything: root finds a place.
  static let maxReaders = 48
  /// Calls that are with the handler at a time, whether or not their callers still wait: a list may take the handler
  /// milliseconds, which all others wait.
  static let maxCalls = 8
  /// Seconds after which a connection without a call is closed.
  static let idleSeconds: Int64 = 60

  /// The address for metrics cannot be listened at.
  package struct MetricsError: Error {
    package let cause: SystemError
  }

  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let channels: [any Channel]
  /// Nil where the socket was passed in: its path is not removed here.
  private let path: String?
  private let isStopped = Atomic(false)

  /// Listens on a Unix socket, and by TCP where `metrics` says so.
  ///
  /// - Parameters:
  ///   - user: whose processes alone are heard, besides root's, as the kernel tells them; nil for whoever can connect.
  ///   - metrics: a loopback address; what comes by it is handled with a peer of whom nothing is known.
  /// - Throws: `SystemError`: EADDRINUSE when a process answers there, EEXIST when it is another file. `MetricsError`.
  package init(
    _ socket: ControlSocket, user: UInt32? = nil, metrics: (host: String, port: Int)? = nil,
    idleSeconds: Int64 = ControlServer.idleSeconds, handler: @escaping ControlHandler
  ) throws {
    path = socket.passed == nil ? socket.path : nil
    do {
      var channels: [any Channel] = []
      if let metrics {
        let figures = try Self.bootstrap(group, idleSeconds, handler)
        do {
          channels.append(try figures.bind(host: metrics.host, port: metrics.port).wait())
        } catch let error as IOError {
          throw MetricsError(cause: SystemError(call: "bind", errno: error.errnoCode))
        }
      }
      // Last, so that no socket is left behind where the other cannot be had.
      let unix = try socket.passed.map { try Sockets.duplicate($0).release() } ?? socket.listen()
      channels.append(try Self.bootstrap(group, idleSeconds, user: user, handler).withBoundSocket(unix).wait())
      self.channels = channels
    } catch {
      group.end()
      throw error
    }
  }

  /// Runs `body` on the thread that serves.
  package func onThread(_ body: @escaping @Sendable () throws -> Void) throws {
    try group.next().submit(body).wait()
  }

  /// Ends every connection and removes the socket, once: the next server's may be there already.
  package func stop() {
    guard !isStopped.exchange(true, ordering: .relaxed) else { return }
    if let path { _ = unsafe unlink(path) }
    for channel in channels { channel.close(promise: nil) }
    group.end()
  }

  private static func bootstrap(
    _ group: MultiThreadedEventLoopGroup, _ idleSeconds: Int64, user: UInt32? = nil, _ handler: @escaping ControlHandler
  ) throws -> ServerBootstrap {
    let loop = group.next()
    let shared = try loop.submit { NIOLoopBound((count: ConnectionCount(), calls: CallQueue()), eventLoop: loop) }
      .wait()
    return ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 16)
      .childChannelInitializer { channel in
        peer(of: channel).flatMapThrowing { peer in
          let (count, calls) = shared.value
          // Others take no place.
          guard user == nil || peer.uid == user || peer.uid == 0 else { throw ChannelError.ioOnClosedChannel }
          let isReader = user == nil && !peer.mayChange
          guard count.enter(isReader) else { throw ChannelError.ioOnClosedChannel }
          channel.closeFuture.whenComplete { _ in shared.value.count.leave(isReader) }
          let pipeline = channel.pipeline.syncOperations
          try pipeline.configureHTTPServerPipeline(withErrorHandling: true)
          try pipeline.addHandler(IdleStateHandler(allTimeout: .seconds(idleSeconds)))
          try pipeline.addHandler(ControlConnection(peer: peer, calls: calls, handler: handler))
        }
      }
  }

  private static func peer(of channel: any Channel) -> EventLoopFuture<ControlPeer> {
    guard channel.remoteAddress == nil || channel.localAddress?.protocol == .unix,
      let options = channel as? any SocketOptionProvider
    else { return channel.eventLoop.makeSucceededFuture(.nobody) }
    let name = NIOBSDSocket.Option(rawValue: SO_PEERCRED)
    let credentials = options.unsafeGetSocketOption(level: .socket, name: name) as EventLoopFuture<sluice_credentials>
    return credentials.map { ControlPeer(pid: $0.pid, uid: $0.uid, gid: $0.gid) }
      .flatMapErrorThrowing { _ in .nobody }
  }
}

extension MultiThreadedEventLoopGroup {
  /// Closes every channel of the group and ends its threads.
  func end() {
    // It fails where that was done before, and then nothing is left to do.
    try? syncShutdownGracefully()
  }
}

/// Connections of one listener; reached on its event loop only.
private final class ConnectionCount {
  private var count = 0
  private var readers = 0

  func enter(_ isReader: Bool) -> Bool {
    guard count < ControlServer.maxConnections, !isReader || readers < ControlServer.maxReaders else { return false }
    count += 1
    if isReader { readers += 1 }
    return true
  }

  func leave(_ isReader: Bool) {
    count -= 1
    if isReader { readers -= 1 }
  }
}

/// Calls of one listener that are with the handler, and those that wait for their turn; reached on its event loop only.
final class CallQueue {
  private var inside = 0
  private var waiting: [() -> Bool] = []

  /// Has `start` called when there is room; it says whether the client is still there, and then `leave` follows.
  func enter(_ start: @escaping () -> Bool) {
    guard inside < ControlServer.maxCalls else { return waiting.append(start) }
    if start() { inside += 1 }
  }

  func leave() {
    inside -= 1
    while inside < ControlServer.maxCalls, !waiting.isEmpty {
      if waiting.removeFirst()() { inside += 1 }
    }
  }
}
