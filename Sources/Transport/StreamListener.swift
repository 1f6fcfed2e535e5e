import AuditLog
import CLinux
import Glibc
import IPNetwork
package import LinuxIO
import NIOCore
import NIOPosix
package import Resolver

/// What the connections of an event loop share.
struct StreamService {
  let path: StreamQueryPath
  let turns: StreamTurns
  let limits: StreamLimits
  let sink: PendingSink
}

/// The TCP side of the listen addresses, on one event loop.
package final class StreamListener: Sendable {
  private let group: MultiThreadedEventLoopGroup
  private let channels: [any Channel]

  /// Takes over the passed sockets and listens at every other address; none need be there yet. The sockets listen when
  /// this returns.
  ///
  /// - Parameters:
  ///   - passed: sockets that are bound already; their descriptors stay the caller's.
  ///   - thread: what the event loop answers with.
  /// - Throws: `SystemError` for an address that cannot be bound.
  package init(
    addresses: [LinuxIO.SocketAddress], passed: [Int32] = [], thread: QueryThread, limits: StreamLimits
  ) throws {
    // All of them before the event loop has a thread, which nothing would end where one is refused.
    let sockets = try Self.sockets(addresses, passed)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    self.group = group
    let loop = group.next()
    let slots = ConnectionSlots(limits: limits)
    let service = try loop.submit {
      let service = StreamService(
        path: StreamQueryPath(thread), turns: StreamTurns(loop: loop), limits: limits, sink: thread.shared.sink)
      return NIOLoopBound(service, eventLoop: loop)
    }.wait()
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: CInt(SLUICE_BACKLOG))
      .childChannelOption(.autoRead, value: false)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
      .childChannelOption(
        .writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: 16_384, high: 131_072)
      )
      .childChannelInitializer { channel in
        Self.admit(channel, current: thread.shared.current, service: service, slots: slots)
      }
    channels = try sockets.map { try bootstrap.withBoundSocket($0).wait() }
  }

  private static func sockets(_ addresses: [LinuxIO.SocketAddress], _ passed: [Int32]) throws(SystemError) -> [Int32] {
    var sockets: [Int32] = []
    do throws(SystemError) {
      for descriptor in passed { sockets.append(try Sockets.duplicate(descriptor).release()) }
      for address in addresses { sockets.append(try Sockets.listenTCP(address).release()) }
    } catch {
      for socket in sockets { close(socket) }
      throw error
    }
    return sockets
  }

  /// Runs `body` on the thread that serves the connections: what a thread gives up, each thread gives up for itself.
  package func onThread(_ body: @escaping @Sendable () throws -> Void) throws {
    try group.next().submit(body).wait()
  }

  /// Stops accepting and closes every connection.
  package func stop() {
    for channel in channels { channel.close(promise: nil) }
    // It fails where that was done before, and then nothing is left to do.
    try? group.syncShutdownGracefully()
  }

  private static func admit(
    _ channel: any Channel, current: CurrentSnapshot, service: NIOLoopBound<StreamService>, slots: ConnectionSlots
  ) -> EventLoopFuture<Void> {
    guard let remote = channel.remoteAddress, let port = remote.port, let text = remote.ipAddress,
      let client = IPAddress(text.prefix { $0 != "%" })?.unmapped
    else { return channel.close() }
    let snapshot = current.load()
    let owner = snapshot.server(of: client).map { snapshot.servers[$0].firewallIndex }
    let now = MonotonicTime.now().nanoseconds
    guard let slot = slots.enter(owner, now: now, closing: { channel.close(promise: nil) }) else {
      return channel.close()
    }
    channel.closeFuture.whenComplete { _ in slots.leave(slot) }
    return ingress(of: channel, isV6: remote.protocol == .inet6).flatMapThrowing { interface in
      let source = QuerySource(
        client: client, port: UInt16(truncatingIfNeeded: port), transport: .tcp, interface: interface)
      let handler = StreamHandler(service.value, source: source, owner: owner) {
        slots.use(slot, now: MonotonicTime.now().nanoseconds)
      }
      try channel.pipeline.syncOperations.addHandler(handler)
    }
  }

  /// Index of the interface that a connection came in by; 0 when the kernel does not say.
  private static func ingress(of channel: any Channel, isV6: Bool) -> EventLoopFuture<UInt32> {
    guard let options = channel as? any SocketOptionProvider else { return channel.eventLoop.makeSucceededFuture(0) }
    let level: NIOBSDSocket.OptionLevel = isV6 ? .ipv6 : .ip
    // IPV6_RECVPKTINFO is 49, IP_PKTINFO is 8.
    let wanted = NIOBSDSocket.Option(rawValue: isV6 ? 49 : 8)
    let name = NIOBSDSocket.Option(rawValue: CInt(isV6 ? SLUICE_IPV6_2292PKTOPTIONS : SLUICE_IP_PKTOPTIONS))
    return options.unsafeSetSocketOption(level: level, name: wanted, value: CInt(1)).flatMap {
      options.unsafeGetSocketOption(level: level, name: name) as EventLoopFuture<sluice_packet_options>
    }.map { (found: sluice_packet_options) in
      unsafe withUnsafePointer(to: found) { UInt32(bitPattern: unsafe sluice_ingress_interface($0)) }
    }.flatMapError { _ in channel.eventLoop.makeSucceededFuture(0) }
  }
}
