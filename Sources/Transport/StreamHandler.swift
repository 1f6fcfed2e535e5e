import AuditLog
import IPNetwork
import NIOCore
import Resolver

/// One TCP connection: frames of a two-octet length and a message (RFC 1035 section 4.2.2, RFC 7766).
///
/// Queries are pipelined; answers go out as they come, in any order. All of it runs on the connection's event loop.
final class StreamHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let path: StreamQueryPath
  private let limits: StreamLimits
  private let sink: PendingSink
  private let source: QuerySource
  private var received = ByteBuffer()
  private var inFlight = 0
  private var idleDeadline: Scheduled<Void>?
  private var frameDeadline: Scheduled<Void>?
  private var writeDeadline: Scheduled<Void>?
  private var isReading = false
  private var inputEnded = false
  /// Nothing is read or answered any more; the connection is closed when what was written has left.
  private var isEnding = false

  init(path: StreamQueryPath, limits: StreamLimits, source: QuerySource, sink: @escaping PendingSink) {
    self.path = path
    self.limits = limits
    self.source = source
    self.sink = sink
  }

  func channelActive(context: ChannelHandlerContext) {
    restartIdle(context)
    requestRead(context)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    for deadline in [idleDeadline, frameDeadline, writeDeadline] {
      deadline?.cancel()
    }
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var chunk = unwrapInboundIn(data)
    received.writeBuffer(&chunk)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    isReading = false
    serve(context)
    context.flush()
    requestRead(context)
    context.fireChannelReadComplete()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable {
      writeDeadline?.cancel()
      writeDeadline = nil
      serve(context)
      context.flush()
      requestRead(context)
      endIfDone(context)
    } else if writeDeadline == nil {
      writeDeadline = closing(context, in: limits.frame)
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let event = event as? ChannelEvent, event == .inputClosed {
      inputEnded = true
      endIfDone(context)
      return
    }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  /// Answers every whole message that was received, as long as the client takes the answers.
  private func serve(_ context: ChannelHandlerContext) {
    while !isEnding, inFlight < limits.questionsInFlight, context.channel.isWritable {
      guard let length = received.getInteger(at: received.readerIndex, as: UInt16.self) else { break }
      guard length >= 12 else { return end(context) }
      guard received.readableBytes >= 2 + Int(length) else { break }
      received.moveReaderIndex(forwardBy: 2)
      guard let message = received.readBytes(length: Int(length)) else { break }
      guard answer(message, context) else { return end(context) }
      frameDeadline?.cancel()
      frameDeadline = nil
      restartIdle(context)
    }
    received.discardReadBytes()
    if received.readableBytes > 0, frameDeadline == nil, inFlight < limits.questionsInFlight,
      context.channel.isWritable
    {
      frameDeadline = closing(context, in: limits.frame)
    }
  }

  /// False when the message deserves no answer: then the connection is closed.
  private func answer(_ message: [UInt8], _ context: ChannelHandlerContext) -> Bool {
    switch path.answer(message, from: source) {
    case .reply(let reply):
      write(reply, context)
      return true
    case .drop:
      return false
    case .pending(let question):
      inFlight += 1
      let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
      let context = NIOLoopBound(context, eventLoop: context.eventLoop)
      sink(question, StreamReplyPath(loop: context.value.eventLoop) { handler.value.finish($0, context.value) })
      return true
    }
  }

  private func finish(_ reply: [UInt8], _ context: ChannelHandlerContext) {
    inFlight -= 1
    guard context.channel.isActive, !isEnding else { return }
    write(reply, context)
    serve(context)
    context.flush()
    requestRead(context)
    endIfDone(context)
  }

  private func write(_ reply: [UInt8], _ context: ChannelHandlerContext) {
    var frame = context.channel.allocator.buffer(capacity: reply.count + 2)
    frame.writeInteger(UInt16(truncatingIfNeeded: reply.count))
    frame.writeBytes(reply)
    context.write(wrapOutboundOut(frame), promise: nil)
  }

  private func requestRead(_ context: ChannelHandlerContext) {
    guard !isReading, !inputEnded, !isEnding, inFlight < limits.questionsInFlight, context.channel.isWritable,
      received.readableBytes <= Int(UInt16.max) + 2
    else { return }
    isReading = true
    context.read()
  }

  /// A client that has finished sending gets its outstanding answers, then the connection ends.
  private func endIfDone(_ context: ChannelHandlerContext) {
    guard inputEnded, inFlight == 0, !holdsWholeMessage else { return }
    end(context)
  }

  /// Whether a message waits until the client takes the answers that are there.
  private var holdsWholeMessage: Bool {
    guard let length = received.getInteger(at: received.readerIndex, as: UInt16.self) else { return false }
    return received.readableBytes >= 2 + Int(length)
  }

  /// Closes when what was written has left: a close at once would throw it away, in the middle of a frame.
  private func end(_ context: ChannelHandlerContext) {
    guard !isEnding else { return }
    isEnding = true
    frameDeadline?.cancel()
    // A client that does not take its answers is not waited for.
    frameDeadline = closing(context, in: limits.frame)
    let context = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.value.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in
      context.value.close(promise: nil)
    }
  }

  private func restartIdle(_ context: ChannelHandlerContext) {
    idleDeadline?.cancel()
    idleDeadline = closing(context, in: limits.idle)
  }

  private func closing(_ context: ChannelHandlerContext, in amount: TimeAmount) -> Scheduled<Void> {
    let context = NIOLoopBound(context, eventLoop: context.eventLoop)
    return context.value.eventLoop.scheduleTask(in: amount) {
      context.value.close(promise: nil)
    }
  }
}

/// The way back into a TCP connection.
struct StreamReplyPath: ReplyPath {
  let loop: any EventLoop
  let finish: @Sendable ([UInt8]) -> Void

  init(loop: any EventLoop, _ finish: @escaping @Sendable ([UInt8]) -> Void) {
    self.loop = loop
    self.finish = finish
  }

  var isDatagram: Bool { false }

  func send(_ message: [UInt8]) {
    loop.execute { finish(message) }
  }
}
