import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport

/// A query that came to a fake upstream by TLS.
struct SecureArrival: Sendable {
  var octets: [UInt8]
  /// Which connection it came by, from 0.
  var connection: Int
  /// How many came before it, by all connections.
  var number: Int

  /// As `Arrival` of the clear transports.
  var plain: Arrival { Arrival(octets: octets, overStream: true, number: number, port: 0) }
  var hasOPT: Bool { plain.hasOPT }
}

/// What a fake upstream does about a query, in order.
enum SecureReaction: Sendable {
  /// A message with its length.
  case message([UInt8])
  /// Octets within TLS as they are.
  case octets([UInt8])
  /// Ends TLS, then the connection.
  case close
  /// Ends the connection without a word in TLS.
  case cut
}

/// An upstream on a loopback port that speaks TLS, or pretends to, or TCP alone, and follows a script.
final class FakeSecureUpstream: Sendable {
  /// What a connection finds.
  enum Face: Sendable {
    case tls(TestAuthority.Identity, newest: TLSVersion = .tlsv13)
    /// No TLS: DNS in the clear.
    case plain
    /// Says this, in the clear.
    case clear(String)
    /// Ends each connection with the first octets that come.
    case hangUp
    /// Takes octets and says nothing.
    case silent
  }

  typealias Script = @Sendable (SecureArrival) -> [SecureReaction]

  /// What the upstream saw; its connections write it.
  private final class Log: Sendable {
    let state = Mutex(State())
  }

  private struct State {
    var arrivals: [SecureArrival] = []
    var connections = 0
    /// Of those, how many are no more.
    var ended = 0
    /// What came over the network, before TLS.
    var raw: [UInt8] = []
  }

  private let log: Log
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let listener: any Channel
  let port: UInt16

  init(_ face: Face, port: UInt16 = 0, _ script: @escaping Script = { [.message($0.plain.answer())] }) throws {
    let context = try Self.context(of: face)
    let log = Log()
    self.log = log
    listener = try ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let wire = Wire(log, face)
          try channel.pipeline.syncOperations.addHandler(wire)
          if case .plain = face {
            return try channel.pipeline.syncOperations.addHandler(Speaker(log, wire, script))
          }
          guard let context else { return }
          try channel.pipeline.syncOperations.addHandlers([
            NIOSSLServerHandler(context: context), Speaker(log, wire, script),
          ])
        }
      }
      .bind(host: "127.0.0.1", port: Int(port)).wait()
    self.port = UInt16(listener.localAddress?.port ?? 0)
  }

  private static func context(of face: Face) throws -> NIOSSLContext? {
    guard case .tls(let identity, let newest) = face else { return nil }
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMFile(identity.certificate).map { .certificate($0) },
      privateKey: .privateKey(try NIOSSLPrivateKey(file: identity.key, format: .pem)))
    (configuration.minimumTLSVersion, configuration.maximumTLSVersion) = (.tlsv1, newest)
    // A client's farewell is not waited for.
    configuration.shutdownTimeout = .milliseconds(20)
    return try NIOSSLContext(configuration: configuration)
  }

  var arrivals: [SecureArrival] { log.state.withLock { $0.arrivals } }
  var connections: Int { log.state.withLock { $0.connections } }
  var openConnections: Int { log.state.withLock { $0.connections - $0.ended } }
  var raw: [UInt8] { log.state.withLock { $0.raw } }

  /// Whether a label of a name came in the clear.
  func heard(_ label: String) -> Bool {
    let octets = Array(label.utf8)
    let raw = raw
    return raw.indices.contains { raw[$0...].starts(with: octets) }
  }

  func stop() {
    try? listener.close().wait()
    try? group.syncShutdownGracefully()
  }

  /// What is below TLS.
  private final class Wire: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer

    private let log: Log
    private let face: Face
    private var context: ChannelHandlerContext?
    private(set) var number = 0

    init(_ log: Log, _ face: Face) { (self.log, self.face) = (log, face) }

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

    /// Ends the connection below TLS.
    func cut() { context?.close(promise: nil) }
  }

  /// What is above TLS.
  private final class Speaker: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let log: Log
    private let wire: Wire
    private let script: Script
    private var octets: [UInt8] = []

    init(_ log: Log, _ wire: Wire, _ script: @escaping Script) {
      (self.log, self.wire, self.script) = (log, wire, script)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      octets += unwrapInboundIn(data).readableBytesView
      while octets.count >= 2, octets.count >= 2 + Int(octets[0]) << 8 + Int(octets[1]) {
        let length = Int(octets[0]) << 8 + Int(octets[1])
        let message = Array(octets[2..<(2 + length)])
        octets.removeFirst(2 + length)
        react(to: message, context)
      }
    }

    private func react(to message: [UInt8], _ context: ChannelHandlerContext) {
      let connection = wire.number
      let arrival = log.state.withLock { state in
        let arrival = SecureArrival(octets: message, connection: connection, number: state.arrivals.count)
        state.arrivals.append(arrival)
        return arrival
      }
      for reaction in script(arrival) {
        switch reaction {
        case .message(let message): write(FakeUpstream.framed(message), context)
        case .octets(let octets): write(octets, context)
        case .close: context.close(promise: nil)
        case .cut: wire.cut()
        }
      }
    }

    private func write(_ octets: [UInt8], _ context: ChannelHandlerContext) {
      context.writeAndFlush(NIOAny(ByteBuffer(bytes: octets)), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
