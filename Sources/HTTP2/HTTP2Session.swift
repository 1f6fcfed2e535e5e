import NIOCore
import NIOEmbedded
import NIOHPACK
import NIOHTTP2

/// The client's side of one HTTP/2 connection (RFC 9113) that carries DNS messages (RFC 8484), without a socket and without
/// TLS: octets of the server go in, octets for it come out, and what came of the messages.
///
/// Each message is a POST of its own, whose octets depend on the server and on the message alone. SwiftNIO HTTP/2 does the
/// work, in a channel that has no event loop. Lives on the thread that made it.
package final class HTTP2Session {
  /// Streams at a time: what servers are advised to take at least (RFC 9113 section 6.5.2).
  package static let mostStreams = 100
  /// Octets of answers that are not whole: sixteen of the longest. Flow control keeps the server from sending more, since what
  /// is held is not given back to the window before it is whole or given up.
  static let window = 1 << 20
  /// What the window is before we say otherwise (RFC 9113 section 6.9.2).
  static let firstWindow = 65_535
  /// The same of one answer: the longest with as much padding, so that it never has to be renewed.
  static let streamWindow = 1 << 17
  /// Octets of a response's headers (RFC 9113 section 6.5.2). Servers send some hundred.
  static let mostHeaderOctets = 8_192
  /// After which another connection is made: ids of streams are used once and end at 2^31.
  static let lastStream: UInt32 = 1 << 30
  /// Streams that we reset of which frames may still be under way: as many as may be in use.
  private static let mostResetStreams = mostStreams

  /// Octets of answers that are not whole.
  var heldOctets: Int { streams.heldOctets }

  /// What came of a message, by its stream.
  package enum Event: Equatable, Sendable {
    case answered(UInt32, HTTPAnswer)
    case failed(UInt32, HTTPFailure)
    /// The server gave the stream up, or did not look at it: another connection may do better.
    case dropped(UInt32)
    /// The server takes no more messages on this connection.
    case leaving
  }

  let channel = EmbeddedChannel()
  private let streams = HTTP2Streams()
  private let head: HPACKHeaders
  private var nextStream: UInt32 = 1
  private var isEnded = false

  /// Begins the connection: there is output.
  ///
  /// - Parameters:
  ///   - authority: the name of the server, with the port where it is not 443.
  ///   - path: of the resource that messages are posted to.
  package init(authority: String, path: String) {
    head = [
      ":method": "POST", ":scheme": "https", ":authority": authority, ":path": path,
      "accept": HTTPResponse.mediaType, "content-type": HTTPResponse.mediaType,
    ]
    do {
      try channel.pipeline.syncOperations.addHandlers([Self.handler(), streams])
      channel.connect(to: try SocketAddress(unixDomainSocketPath: "http"), promise: nil)
    } catch {
      preconditionFailure("a channel in memory takes its handlers and an address")
    }
  }

  private static func handler() -> NIOHTTP2Handler {
    var connection = NIOHTTP2Handler.ConnectionConfiguration()
    connection.initialSettings = [
      HTTP2Setting(parameter: .enablePush, value: 0),
      HTTP2Setting(parameter: .maxConcurrentStreams, value: 0),
      HTTP2Setting(parameter: .initialWindowSize, value: streamWindow),
      HTTP2Setting(parameter: .maxHeaderListSize, value: mostHeaderOctets),
    ]
    connection.maximumRecentlyResetStreams = mostResetStreams
    return NIOHTTP2Handler(mode: .client, connectionConfiguration: connection)
  }

  /// Whether messages may be sent, as far as the server is concerned.
  package var isOpen: Bool { streams.hasSettings && !isBroken && !isSpent && !isEnded }
  /// Whether one more message may be sent now.
  package var hasRoom: Bool { isOpen && streams.count < streams.limit }
  /// Whether no message may be sent ever again.
  package var isSpent: Bool { streams.isLeaving || nextStream > Self.lastStream }
  /// Whether the server broke the rules: nothing of the connection is to be believed.
  package var isBroken: Bool { streams.isBroken }

  /// Sends a message, and returns the stream by which its answer comes. There is output.
  ///
  /// - Precondition: `hasRoom`.
  package func post(_ message: [UInt8]) -> UInt32 {
    precondition(hasRoom)
    while streams.isFull, let former = streams.takeAbandoned() { reset(former) }
    let stream = nextStream
    nextStream += 2
    streams.add(stream)
    var headers = head
    // Not remembered by the compression: the octets of a request are the same whatever was asked before.
    headers.add(name: "content-length", value: "\(message.count)", indexing: .nonIndexable)
    let id = HTTP2StreamID(Int(stream))
    write(id, .headers(.init(headers: headers)))
    write(id, .data(.init(data: .byteBuffer(ByteBuffer(bytes: message)), endStream: true)))
    channel.flush()
    return stream
  }

  /// A message is waited for no more. Its stream is reset only when its place is needed: servers take many resets for an
  /// attack.
  package func abandon(_ stream: UInt32) { streams.abandon(stream) }

  /// Takes octets of the server; returns what came of messages in them. There may be output.
  package func receive(_ octets: [UInt8]) -> [Event] {
    guard !isBroken, !isEnded else { return [] }
    channel.pipeline.syncOperations.fireChannelRead(NIOAny(ByteBuffer(bytes: octets)))
    channel.pipeline.syncOperations.fireChannelReadComplete()
    if !isBroken { giveBack() }
    defer { streams.events = [] }
    return streams.events
  }

  /// Ends streams that the server left open, and gives it room for more octets.
  private func giveBack() {
    for stream in streams.unwanted { reset(stream) }
    streams.unwanted = []
    let room = Self.window - streams.heldOctets - streams.window
    if streams.hasSettings, room >= Self.window / 4 { write(.rootStream, .windowUpdate(windowSizeIncrement: room)) }
    channel.flush()
  }

  private func reset(_ stream: UInt32) { write(HTTP2StreamID(Int(stream)), .rstStream(.cancel)) }

  private func write(_ stream: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload) {
    channel.write(HTTP2Frame(streamID: stream, payload: payload), promise: nil)
  }

  /// Appends what is to be sent to the server.
  package func takeOutput(into out: inout [UInt8]) {
    do {
      while let octets = try channel.readOutbound(as: ByteBuffer.self) {
        out.append(contentsOf: octets.readableBytesView)
      }
    } catch {
      preconditionFailure("what the handler of HTTP/2 writes are octets")
    }
  }

  /// Says to the server that nothing more comes (RFC 9113 section 6.8), which is output, and frees what the session has.
  package func end() {
    guard !isEnded else { return }
    isEnded = true
    if !isBroken {
      write(.rootStream, .goAway(lastStreamID: .rootStream, errorCode: .noError, opaqueData: nil))
      channel.flush()
    }
    channel.close(promise: nil)
    channel.embeddedEventLoop.run()
  }

  deinit { end() }
}
