import NIOCore
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
  typealias Face = FakeListener.Face
  typealias Script = @Sendable (SecureArrival) -> [SecureReaction]

  /// What came; connections write it.
  private final class Log: Sendable {
    let arrivals = Mutex<[SecureArrival]>([])
  }

  private let log: Log
  private let listener: FakeListener

  init(_ face: Face, port: UInt16 = 0, _ script: @escaping Script = { [.message($0.plain.answer())] }) throws {
    let log = Log()
    self.log = log
    listener = try FakeListener(face, port: port) { [Speaker(log, $0, script)] }
  }

  var port: UInt16 { listener.port }
  var arrivals: [SecureArrival] { log.arrivals.withLock { $0 } }
  var connections: Int { listener.connections }
  var openConnections: Int { listener.openConnections }
  var raw: [UInt8] { listener.raw }

  func heard(_ label: String) -> Bool { listener.heard(label) }
  func stop() { listener.stop() }

  /// What is above TLS.
  private final class Speaker: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let log: Log
    private let wire: FakeListener.Wire
    private let script: Script
    private var octets: [UInt8] = []

    init(_ log: Log, _ wire: FakeListener.Wire, _ script: @escaping Script) {
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
      let arrival = log.arrivals.withLock { arrivals in
        let arrival = SecureArrival(octets: message, connection: connection, number: arrivals.count)
        arrivals.append(arrival)
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
