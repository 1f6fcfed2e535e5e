import CLinux
import LinuxIO
import NIOCore
import NIOHTTP1
import NIOPosix

/// Calls the control API of a running `sluice serve`, one call a connection; blocks.
package struct ControlClient {
  package let path: String
  private let patience: Int64

  /// - Parameter patience: seconds that an answer may take.
  package init(path: String, patience: Int64 = 30) {
    self.path = path
    self.patience = patience
  }

  /// - Parameter target: the path, with its query, percent-encoded.
  /// - Throws: `SystemError` when no process listens there (ENOENT, ECONNREFUSED) or the socket is not for this user
  ///   (EACCES); `ControlError` when what answers is no HTTP or takes too long.
  package func call(_ method: ControlRequest.Method, _ target: String, body: [UInt8] = []) throws -> ControlResponse {
    let descriptor = unsafe sluice_unix_connect(path)
    guard descriptor >= 0 else { throw SystemError(call: "connect", errno: -descriptor) }
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    defer { group.end() }
    let promise = group.next().makePromise(of: ControlResponse.self)
    let channel = try ClientBootstrap(group: group)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHTTPClientHandlers()
          try pipeline.addHandler(ResponseCollector(promise))
        }
      }
      .withConnectedSocket(descriptor).wait()
    let timeout = group.next().scheduleTask(in: .seconds(patience)) { [patience] in
      promise.fail(ControlError("no answer within \(patience) s"))
    }
    var head = HTTPRequestHead(version: .http1_1, method: HTTPMethod(rawValue: method.rawValue), uri: target)
    head.headers = ["host": "sluice", "connection": "close", "content-length": "\(body.count)"]
    channel.write(HTTPClientRequestPart.head(head), promise: nil)
    if !body.isEmpty { channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil) }
    channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    let result = Result { try promise.futureResult.wait() }
    timeout.cancel()
    channel.close(promise: nil)
    return try result.get()
  }

  private final class ResponseCollector: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let promise: EventLoopPromise<ControlResponse>
    private var response = ControlResponse(status: 0, body: [])

    init(_ promise: EventLoopPromise<ControlResponse>) {
      self.promise = promise
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head):
        response.status = Int(head.status.code)
        response.contentType = head.headers.first(name: "content-type") ?? ""
      case .body(let part): response.body += part.readableBytesView
      case .end: promise.succeed(response)
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      promise.fail(ControlError("the answer cannot be read: \(error)"))
      context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
      promise.fail(ControlError("the connection was closed before the answer was whole"))
    }
  }
}

/// Why a call came to nothing.
package struct ControlError: Error, CustomStringConvertible {
  package let description: String

  init(_ description: String) {
    self.description = description
  }
}
