import NIOCore
import NIOEmbedded
import NIOHPACK
import NIOHTTP2

@testable import HTTP2

/// The server's side of a connection in memory, which says what a test tells it to.
final class HTTP2Peer {
  /// A request, as far as it came.
  struct Request {
    var headers: HPACKHeaders
    var body: [UInt8] = []
    var isWhole = false
  }

  private final class Recorder: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame

    var requests: [UInt32: Request] = [:]
    var resets: [UInt32] = []
    var hasLeft = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let frame = unwrapInboundIn(data)
      let stream = UInt32(Int(frame.streamID))
      switch frame.payload {
      case .headers(let headers): requests[stream] = Request(headers: headers.headers)
      case .data(let data):
        guard case .byteBuffer(let octets) = data.data else { return }
        requests[stream]?.body += Array(buffer: octets)
        requests[stream]?.isWhole = data.endStream
      case .rstStream: resets.append(stream)
      case .goAway: hasLeft = true
      default: break
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
  }

  private let channel: EmbeddedChannel
  private let recorder = Recorder()
  let session: HTTP2Session
  /// All that the client said.
  private(set) var octets: [UInt8] = []

  init(_ settings: HTTP2Settings = [], authority: String = "dns.example.net", path: String = "/dns-query") throws {
    session = HTTP2Session(authority: authority, path: path)
    channel = EmbeddedChannel()
    try channel.pipeline.syncOperations.addHandlers([
      NIOHTTP2Handler(mode: .server, initialSettings: settings), recorder,
    ])
    channel.connect(to: try SocketAddress(unixDomainSocketPath: "client"), promise: nil)
  }

  var requests: [UInt32: Request] { recorder.requests }
  var resets: [UInt32] { recorder.resets }
  var hasLeft: Bool { recorder.hasLeft }

  /// What the server would put on the network now.
  func output() -> [UInt8] {
    var out: [UInt8] = []
    while let buffer = try? channel.readOutbound(as: ByteBuffer.self) { out += buffer.readableBytesView }
    return out
  }

  /// Carries octets to and fro until none are left.
  ///
  /// - Parameter piece: how many the client hears at a time.
  @discardableResult
  func talk(pieces piece: Int = .max) -> [HTTP2Session.Event] {
    var events: [HTTP2Session.Event] = []
    while true {
      var out: [UInt8] = []
      session.takeOutput(into: &out)
      octets += out
      if !out.isEmpty { _ = try? channel.writeInbound(ByteBuffer(bytes: out)) }
      let back = output()
      if out.isEmpty, back.isEmpty { return events }
      var rest = back[...]
      while !rest.isEmpty {
        events += session.receive(Array(rest.prefix(piece)))
        rest = rest.dropFirst(piece)
      }
    }
  }

  func write(_ stream: UInt32, _ payload: HTTP2Frame.FramePayload) {
    channel.writeAndFlush(HTTP2Frame(streamID: HTTP2StreamID(Int(stream)), payload: payload), promise: nil)
  }

  func head(
    _ stream: UInt32, status: String = "200", _ more: HPACKHeaders = ["content-type": "application/dns-message"],
    isLast: Bool = false
  ) {
    var headers: HPACKHeaders = [":status": status]
    headers.add(contentsOf: more)
    write(stream, .headers(.init(headers: headers, endStream: isLast)))
  }

  func data(_ stream: UInt32, _ octets: [UInt8], isLast: Bool = true) {
    write(stream, .data(.init(data: .byteBuffer(ByteBuffer(bytes: octets)), endStream: isLast)))
  }

  func answer(_ stream: UInt32, _ octets: [UInt8]) {
    head(stream)
    data(stream, octets)
  }

  deinit {
    channel.close(promise: nil)
  }
}
