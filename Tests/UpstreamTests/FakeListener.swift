import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport

/// What is below all that a fake upstream says by connections: a loopback port, TLS where it has that, and a look at what comes.
final class FakeListener: Sendable {
  /// What a connection finds.
  enum Face: Sendable {
    /// `protocols`: those that it takes within TLS.
    case tls(TestAuthority.Identity, newest: TLSVersion = .tlsv13, protocols: [String] = [])
    /// No TLS: DNS in the clear.
    case plain
    /// Says this, in the clear.
    case clear(String)
    /// Ends each connection with the first octets that come.
    case hangUp
    /// Takes octets and says nothing.
    case silent
  }

  fileprivate struct State {
    var connections = 0
    /// Of those, how many are no more.
    var ended = 0
    /// What came over the network, before TLS.
    var raw: [UInt8] = []
  }

  /// What was seen; connections write it.
  fileprivate final class Log: Sendable {
    let state = Mutex(State())
  }

  private let log: Log
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let listener: any Channel
  let port: UInt16

  /// - Parameter above: what speaks on a connection, where something does.
  init(_ face: Face, port: UInt16 = 0, above: @escaping @Sendable (Wire) -> [any ChannelHandler]) throws {
    let context = try Self.context(of: face)
    let log = Log()
    self.log = log
    listener = try ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let wire = Wire(log, face)
          let handlers = channel.pipeline.syncOperations
          try handlers.addHandler(wire)
          if let context { try handlers.addHandler(NIOSSLServerHandler(context: context)) }
          switch face {
          case .tls, .plain: for handler in above(wire) { try handlers.addHandler(handler) }
          case .clear, .hangUp, .silent: break
          }
        }
      }
      .bind(host: "127.0.0.1", port: Int(port)).wait()
    self.port = UInt16(listener.localAddress?.port ?? 0)
  }

  private static func context(of face: Face) throws -> NIOSSLContext? {
    guard case .tls(let identity, let newest, let protocols) = face else { return nil }
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMFile(identity.certificate).map { .certificate($0) },
      privateKey: .privateKey(try NIOSSLPrivateKey(file: identity.key, format: .pem)))
    (configuration.minimumTLSVersion, configuration.maximumTLSVersion) = (.tlsv1, newest)
    configuration.applicationProtocols = protocols
    // A client's farewell is not waited for.
    configuration.shutdownTimeout = .milliseconds(20)
    return try NIOSSLContext(configuration: configuration)
  }

  var connections: Int { log.state.withLock { $0.connections } }
  var openConnections: Int { log.state.withLock { $0.connections - $0.ended } }
  var raw: [UInt8] { log.state.withLock { $0.raw } }

  /// Whether a label of a name came in the clear.
  func heard(_ label: String) -> Bool { raw.firstRange(of: Array(label.utf8)) != nil }

  func stop() {
    try? listener.close().wait()
    try? group.syncShutdownGracefully()
  }

  /// One connection, below TLS.
  final class Wire: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer

    private let log: Log
    private let face: Face
    private var context: ChannelHandlerContext?
    /// From 0, in the order in which they came.
    private(set) var number = 0

    fileprivate init(_ log: Log, _ face: Face) { (self.log, self.face) = (log, face) }

    func channelActive(context: ChannelHandlerContext) {
      self.context = context
      number = log.state.withLock { state in
        state.connections += 1
        return state.connections - 1
      }
      if case .clear(let text) = face {
        context.writeAndFlush(NIOAny(ByteBuffer(string: text)), promise: nil)
      }
      context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
      log.state.withLock { $0.ended += 1 }
      self.context = nil
      context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let octets = unwrapInboundIn(data)
      log.state.withLock { $0.raw += Array(buffer: octets) }
      switch face {
      case .tls, .plain: context.fireChannelRead(data)
      case .hangUp: context.close(promise: nil)
      case .clear, .silent: break
      }
    }

    /// Ends the connection without a word in TLS.
    func cut() { context?.close(promise: nil) }
  }
}
