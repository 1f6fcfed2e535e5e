import Foundation
import NIOCore
import NIOHTTP1

/// One connection: reads a call, hands it over, writes what comes back, and reads the next one.
final class ControlConnection: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let peer: ControlPeer
  private let calls: CallQueue
  private let handler: ControlHandler
  private var head: HTTPRequestHead?
  private var body: [UInt8] = []
  private var isTooLarge = false
  /// A call is with its handler.
  private var isAnswering = false

  init(peer: ControlPeer, calls: CallQueue, handler: @escaping ControlHandler) {
    self.peer = peer
    self.calls = calls
    self.handler = handler
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      self.head = head
      body = []
      isTooLarge = false
    case .body(let part):
      guard body.count + part.readableBytes <= ControlServer.maxBody else {
        isTooLarge = true
        return
      }
      body += part.readableBytesView
    case .end:
      guard let head else { return }
      self.head = nil
      take(head, context)
    }
  }

  private func take(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    guard !isTooLarge else {
      return write(.error(413, "the body is longer than \(ControlServer.maxBody) octets"), head, context)
    }
    guard let method = ControlRequest.Method(rawValue: head.method.rawValue) else {
      return write(.error(405, "the method is \(head.method.rawValue); expected GET, POST or DELETE"), head, context)
    }
    guard let target = ControlTarget(head.uri) else {
      return write(.error(400, "the target is not a path: \(head.uri)"), head, context)
    }
    let request = ControlRequest(method: method, path: target.path, query: target.query, body: body, peer: peer)
    isAnswering = true
    let loop = context.eventLoop
    let own = NIOLoopBound((self, context), eventLoop: loop)
    calls.enter { [handler] in
      guard own.value.1.channel.isActive else { return false }
      handler(request) { response in
        loop.execute {
          let (connection, context) = own.value
          connection.isAnswering = false
          connection.calls.leave()
          connection.write(response, head, context)
        }
      }
      return true
    }
  }

  private func write(_ response: ControlResponse, _ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    guard context.channel.isActive else { return }
    let headers: HTTPHeaders = [
      "content-type": response.contentType, "content-length": "\(response.body.count)", "cache-control": "no-store",
      "connection": head.isKeepAlive ? "keep-alive" : "close",
    ]
    let status = HTTPResponseStatus(statusCode: response.status)
    context.write(
      wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers))), promise: nil)
    let isKept = head.isKeepAlive
    let own = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    // The end is written when the caller took what comes before: only then is his next call read.
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: response.body))))).whenSuccess {
      let (connection, context) = own.value
      let channel = context.channel
      context.writeAndFlush(connection.wrapOutboundOut(.end(nil))).whenComplete { _ in
        if !isKept { channel.close(promise: nil) }
      }
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // A handler may take its time; a caller who stops in the middle of a call may not.
    if event is IdleStateHandler.IdleStateEvent, !isAnswering { context.close(promise: nil) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}

/// A request target in origin form (RFC 9112 section 3.2.1), taken apart and decoded.
struct ControlTarget: Equatable {
  var path: [String]
  var query: [String: String] = [:]

  /// Nil for what begins with no slash or holds a broken escape.
  init?(_ target: String) {
    guard target.hasPrefix("/") else { return nil }
    let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    var path: [String] = []
    for component in parts[0].split(separator: "/") {
      guard let text = component.removingPercentEncoding else { return nil }
      path.append(text)
    }
    self.path = path
    for pair in (parts.count > 1 ? parts[1] : "").split(separator: "&") {
      let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let value = sides.count > 1 ? sides[1].replacing("+", with: " ") : ""
      guard let key = sides[0].removingPercentEncoding, let text = value.removingPercentEncoding else { return nil }
      query[key] = text
    }
  }
}

extension ControlResponse {
  /// `{"error": TEXT}` with this status.
  package static func error(_ status: Int, _ text: String) -> ControlResponse {
    struct Failure: Encodable { let error: String }
    // A string is always JSON; the status says the same without it.
    let body = (try? JSONEncoder().encode(Failure(error: text))) ?? Data()
    return ControlResponse(status: status, body: Array(body))
  }
}
