import NIOCore
import NIOHPACK
import NIOHTTP2

/// The streams of one connection, each of which is a message that was sent and what comes of it; and what the server says of
/// the connection itself. Hears the frames and writes none: what is to be written is left for the session.
final class HTTP2Streams: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame

  /// What came of messages since it was taken last.
  var events: [HTTP2Session.Event] = []
  /// Streams on which nothing more is wanted, and which the server may not have ended.
  var unwanted: [UInt32] = []
  /// Whether the server's settings came, which are the first that it says (RFC 9113 section 3.4).
  private(set) var hasSettings = false
  /// Whether the server takes no more streams.
  private(set) var isLeaving = false
  /// Whether rules were broken, after which nothing counts any more.
  private(set) var isBroken = false
  /// How many streams the server takes at a time, and we do.
  private(set) var limit = HTTP2Session.mostStreams
  /// How many octets of answers the server may send now, of all streams.
  private(set) var window = HTTP2Session.firstWindow
  /// Octets of answers that are not whole.
  private(set) var heldOctets = 0
  /// Those that are waited for.
  private var responses: [UInt32: HTTPResponse] = [:]
  /// Those that are waited for no more and may still come, the oldest first.
  private var abandoned: [UInt32] = []

  /// Of those that are waited for.
  var count: Int { responses.count }
  /// Whether the server has no place for another one.
  var isFull: Bool { responses.count + abandoned.count >= limit }

  func add(_ stream: UInt32) { responses[stream] = HTTPResponse() }

  /// A message is waited for no more.
  func abandon(_ stream: UInt32) {
    if remove(stream) { abandoned.append(stream) }
  }

  /// Gives up the oldest stream that is waited for no more, to have its place; nil where there is none.
  func takeAbandoned() -> UInt32? { abandoned.isEmpty ? nil : abandoned.removeFirst() }

  @discardableResult
  private func remove(_ stream: UInt32) -> Bool {
    guard let response = responses.removeValue(forKey: stream) else { return false }
    heldOctets -= response.controlledOctets
    return true
  }

  // MARK: - What is heard

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = unwrapInboundIn(data)
    let stream = UInt32(Int(frame.streamID))
    switch frame.payload {
    case .headers(let headers):
      take(stream, isLast: headers.endStream) { $0.take(headers.headers) }
    case .data(let data):
      // One octet says how many of padding there are (RFC 9113 section 6.1).
      let controlled = data.data.readableBytes + (data.paddingBytes.map { $0 + 1 } ?? 0)
      guard case .byteBuffer(let octets) = data.data else { return }
      if responses[stream] != nil { heldOctets += controlled }
      take(stream, isLast: data.endStream) { $0.take(octets.readableBytesView, controlled: controlled) }
    case .settings(.settings(let settings)): take(settings)
    case .goAway:
      if !isLeaving { events.append(.leaving) }
      isLeaving = true
    // We said that there are to be none.
    case .pushPromise: isBroken = true
    default: break
    }
  }

  private func take(_ stream: UInt32, isLast: Bool, _ body: (inout HTTPResponse) -> HTTPFailure?) {
    guard var response = responses[stream] else { return }
    let failure = body(&response)
    responses[stream] = response
    guard failure != nil || isLast else { return }
    remove(stream)
    unwanted.append(stream)
    switch failure.map({ .failure($0) }) ?? response.whole {
    case .success(let answer): events.append(.answered(stream, answer))
    case .failure(let failure): events.append(.failed(stream, failure))
    }
  }

  private func take(_ settings: HTTP2Settings) {
    hasSettings = true
    // The last one counts (RFC 9113 section 6.5.3).
    guard let most = settings.last(where: { $0.parameter == .maxConcurrentStreams }) else { return }
    limit = min(most.value, HTTP2Session.mostStreams)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case let event as StreamClosedEvent:
      let stream = UInt32(Int(event.streamID))
      if remove(stream) { events.append(.dropped(stream)) }
      abandoned.removeAll { $0 == stream }
      unwanted.removeAll { $0 == stream }
    case let event as NIOHTTP2WindowUpdatedEvent where event.streamID == .rootStream:
      if let size = event.inboundWindowSize { window = size }
    default: break
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { isBroken = true }
}
