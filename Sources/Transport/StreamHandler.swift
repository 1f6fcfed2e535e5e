import AuditLog
import IPNetwork
import NIOCore
import Resolver

/// One TCP connection: frames of a two-octet length and a message (RFC 1035 section 4.2.2, RFC 7766).
///
/// Queries are pipelined; answers go out as they come, in any order. What was received is served in turns with other
/// connections (see `StreamTurns`), and more is read only when that is done. All of it runs on the connection's event loop.
final class StreamHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// Whose turns the connection's are.
  let owner: ConnectionSlots.Owner
  private let path: StreamQueryPath
  private let turns: StreamTurns
  private let limits: StreamLimits
  private let sink: PendingSink
  private let source: QuerySource
  /// Says that the connection is in use.
  private let used: () -> Void
  private var context: ChannelHandlerContext?
  private var waitsForTurn = false
  private var received = ByteBuffer()
  private var inFlight = 0
  private var idleDeadline: Scheduled<Void>?
  private var frameDeadline: Scheduled<Void>?
  private var writeDeadline: Scheduled<Void>?
  private var isReading = false
  private var inputEnded = false
  /// Nothing is read or answered any more; the connection is closed when what was written has left.
  private var isEnding = false

  init(
    _ service: StreamService, source: QuerySource, owner: ConnectionSlots.Owner, used: @escaping () -> Void
  ) {
    path = service.path
    turns = service.turns
    limits = service.limits
    sink = service.sink
    self.source = source
    self.owner = owner
    self.used = used
  }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
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
    goOn(context)
    context.fireChannelReadComplete()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable {
      writeDeadline?.cancel()
      writeDeadline = nil
      goOn(context)
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

  /// Asks for a turn where there is something to serve, or for more to read.
  private func goOn(_ context: ChannelHandlerContext) {
    guard isServable(context) else { return settle(context) }
    guard !waitsForTurn else { return }
    waitsForTurn = true
    turns.request(self)
  }

  /// Answers some of the messages that were received; whether it needs another turn.
  func takeTurn() -> Bool {
    waitsForTurn = false
    guard let context, context.channel.isActive else { return false }
    var served = 0
    while served < StreamTurns.messages, isServable(context) {
      guard let length = received.readInteger(as: UInt16.self), length >= 12,
        let message = received.readBytes(length: Int(length)), answer(message, context)
      else {
        end(context)
        return false
      }
      served += 1
    }
    if served > 0 {
      frameDeadline?.cancel()
      frameDeadline = nil
      restartIdle(context)
      used()
    }
    received.discardReadBytes()
    context.flush()
    waitsForTurn = isServable(context)
    if !waitsForTurn { settle(context) }
    return waitsForTurn
  }

  /// Whether a message can be answered, or is no message.
  private func isServable(_ context: ChannelHandlerContext) -> Bool {
    guard !isEnding, inFlight < limits.questionsInFlight, context.channel.isWritable else { return false }
    return holdsWholeMessage
  }

  /// Nothing can be served now.
  private func settle(_ context: ChannelHandlerContext) {
    if received.readableBytes > 0, frameDeadline == nil, inFlight < limits.questionsInFlight, !isEnding,
      context.channel.isWritable
    {
      frameDeadline = closing(context, in: limits.frame)
    }
    requestRead(context)
    endIfDone(context)
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
    context.flush()
    used()
    goOn(context)
  }

  private func write(_ reply: [UInt8], _ context: ChannelHandlerContext) {
    var frame = context.channel.allocator.buffer(capacity: reply.count + 2)
    frame.writeInteger(UInt16(truncatingIfNeeded: reply.count))
    frame.writeBytes(reply)
    context.write(wrapOutboundOut(frame), promise: nil)
  }

  /// Asks for more to read: where there is something to serve, that goes before.
  private func requestRead(_ context: ChannelHandlerContext) {
    guard !isReading, !inputEnded, !isEnding, inFlight < limits.questionsInFlight, context.channel.isWritable else {
      return
    }
    isReading = true
    context.read()
  }

  /// A client that has finished sending gets its outstanding answers, then the connection ends.
  private func endIfDone(_ context: ChannelHandlerContext) {
    guard inputEnded, inFlight == 0, !holdsWholeMessage else { return }
    end(context)
  }

  /// Whether a message was received to its end, or the beginning of what is none.
  private var holdsWholeMessage: Bool {
    guard let length = received.getInteger(at: received.readerIndex, as: UInt16.self) else { return false }
    return length < 12 || received.readableBytes >= 2 + Int(length)
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

  func send(_ message: [UInt8]) {
    loop.execute { finish(message) }
  }
}
