import NIOCore
import NIOHPACK
import NIOHTTP2
import Synchronization
import TestSupport

/// A query that came to a fake upstream by HTTPS.
struct HTTPArrival: Sendable {
  var octets: [UInt8]
  /// As "name: value", in order.
  var headers: [String]
  /// Which connection it came by, from 0.
  var connection: Int
  var stream: Int
  /// How many came before it, by all connections.
  var number: Int

  /// As `Arrival` of the clear transports.
  var plain: Arrival { Arrival(octets: octets, overStream: true, number: number, port: 0) }
}

/// What a fake upstream does about a query, in order.
enum HTTPReaction: Sendable {
  /// A response with status 200 and these octets.
  case message([UInt8], headers: [String: String] = [:], stream: Int? = nil)
  case status(Int, type: String? = "application/dns-message")
  /// Takes no more, and none above this stream.
  case leave(last: Int)
  case reset
  /// Ends the connection.
  case close
}

/// An upstream on a loopback port that speaks HTTP/2 within TLS, or pretends to, and follows a script.
final class FakeHTTPUpstream: Sendable {
  typealias Script = @Sendable (HTTPArrival) -> [HTTPReaction]

  private struct State {
    var arrivals: [HTTPArrival] = []
    var openStreams = 0
    var mostOpenStreams = 0
  }

  private final class Log: Sendable {
    let state = Mutex(State())
  }

  private let log: Log
  private let listener: FakeListener

  /// - Parameters:
  ///   - protocols: those that it takes within TLS.
  ///   - greeting: what it says within TLS instead of HTTP/2.
  init(
    _ identity: TestAuthority.Identity, protocols: [String] = ["h2"], greeting: String? = nil, streams: Int = 100,
    _ script: @escaping Script = { [.message($0.plain.answer([9]))] }
  ) throws {
    let log = Log()
    self.log = log
    listener = try FakeListener(.tls(identity, protocols: protocols)) { wire in
      if let greeting { return [Greeter(greeting)] }
      let settings = [HTTP2Setting(parameter: .maxConcurrentStreams, value: streams)]
      return [NIOHTTP2Handler(mode: .server, initialSettings: settings), Speaker(log, wire, script)]
    }
  }

  var port: UInt16 { listener.port }
  var arrivals: [HTTPArrival] { log.state.withLock { $0.arrivals } }
  var connections: Int { listener.connections }
  var mostOpenStreams: Int { log.state.withLock { $0.mostOpenStreams } }

  func heard(_ label: String) -> Bool { listener.heard(label) }
  func stop() { listener.stop() }

  /// What is above TLS where it is not HTTP/2.
  private final class Greeter: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let greeting: String
    init(_ greeting: String) { self.greeting = greeting }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      context.writeAndFlush(NIOAny(ByteBuffer(string: greeting)), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }

  private final class Speaker: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame

    private let log: Log
    private let wire: FakeListener.Wire
    private let script: Script
    private var requests: [Int: (headers: [String], body: [UInt8])] = [:]

    init(_ log: Log, _ wire: FakeListener.Wire, _ script: @escaping Script) {
      (self.log, self.wire, self.script) = (log, wire, script)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let frame = unwrapInboundIn(data)
      let stream = Int(frame.streamID)
      switch frame.payload {
      case .headers(let headers):
        requests[stream] = (headers.headers.map { "\($0.name): \($0.value)" }, [])
        log.state.withLock { state in
          state.openStreams += 1
          state.mostOpenStreams = max(state.mostOpenStreams, state.openStreams)
        }
      case .data(let data):
        guard case .byteBuffer(let octets) = data.data else { return }
        requests[stream]?.body += Array(buffer: octets)
        if data.endStream { react(stream, context) }
      default: break
      }
    }

    private func react(_ stream: Int, _ context: ChannelHandlerContext) {
      guard let request = requests.removeValue(forKey: stream) else { return }
      let connection = wire.number
      let arrival = log.state.withLock { state in
        let arrival = HTTPArrival(
          octets: request.body, headers: request.headers, connection: connection, stream: stream,
          number: state.arrivals.count)
        state.arrivals.append(arrival)
        return arrival
      }
      for reaction in script(arrival) { perform(reaction, stream, context) }
      context.flush()
    }

    private func perform(_ reaction: HTTPReaction, _ stream: Int, _ context: ChannelHandlerContext) {
      switch reaction {
      case .message(let message, let headers, let other):
        var head: HPACKHeaders = [":status": "200", "content-type": "application/dns-message"]
        for (name, value) in headers { head.add(name: name, value: value) }
        respond(head, message, other ?? stream, context)
      case .status(let status, let type):
        var head: HPACKHeaders = [":status": "\(status)"]
        if let type { head.add(name: "content-type", value: type) }
        respond(head, Array("nothing here".utf8), stream, context)
      case .leave(let last):
        write(
          .rootStream, .goAway(lastStreamID: HTTP2StreamID(last), errorCode: .noError, opaqueData: nil), context)
      case .reset: write(HTTP2StreamID(stream), .rstStream(.refusedStream), context)
      case .close:
        context.flush()
        context.close(promise: nil)
      }
    }

    private func respond(_ head: HPACKHeaders, _ body: [UInt8], _ stream: Int, _ context: ChannelHandlerContext) {
      log.state.withLock { $0.openStreams -= 1 }
      write(HTTP2StreamID(stream), .headers(.init(headers: head)), context)
      write(
        HTTP2StreamID(stream), .data(.init(data: .byteBuffer(ByteBuffer(bytes: body)), endStream: true)), context)
    }

    private func write(_ stream: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload, _ context: ChannelHandlerContext) {
      context.write(NIOAny(HTTP2Frame(streamID: stream, payload: payload)), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
  }
}
