import AuditLog
import DNSWire
import IPNetwork
import NIOCore
import NIOEmbedded
import Resolver
import TestSupport
import Testing

@testable import Transport

/// One TCP connection without a socket: what is read, written and closed when is the test's to say.
@Suite("One TCP connection")
struct StreamHandlerTests {
  /// Between the connection and its socket.
  private final class Wire: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How often more was asked for.
    var reads = 0
    /// Replies that were written.
    var replies = 0
    /// The client takes nothing: what is written does not leave.
    var isStuck = false
    private var stuck: [EventLoopPromise<Void>] = []

    func read(context: ChannelHandlerContext) {
      reads += 1
      context.read()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      if unwrapOutboundIn(data).readableBytes > 0 { replies += 1 }
      if isStuck {
        if let promise { stuck.append(promise) }
      } else {
        context.write(data, promise: promise)
      }
    }

    func fail() {
      for promise in stuck { promise.fail(ChannelError.eof) }
      stuck = []
    }
  }

  /// A connection of a server that may ask for nothing.
  private struct Bed {
    let channel = EmbeddedChannel()
    let wire = Wire()

    init() throws {
      let shared = SharedState(
        current: CurrentSnapshot(try denyingSnapshot(["127.0.1.0/32"])), epoch: FirewallEpoch(), audit: OpenGate(),
        clocks: { (monotonic: 1_000_000_000_000, wall: 1_763_630_062_000_000_000) }, resolveInterface: { _ in 0 },
        sink: { _, _ in })
      let service = StreamService(
        path: StreamQueryPath(QueryThread(shared, ring: AuditRing.onHeap(4 << 20))),
        turns: StreamTurns(loop: channel.embeddedEventLoop), limits: StreamLimits(), sink: shared.sink)
      let source = QuerySource(client: IPAddress(v4: 0x7F00_0100), port: 40_000, transport: .tcp, interface: 0)
      try channel.pipeline.syncOperations.addHandlers([
        wire, StreamHandler(service, source: source, owner: 0) {},
      ])
      try channel.connect(to: try SocketAddress(ipAddress: "127.0.1.0", port: 40_000)).wait()
    }

    /// What came is there in one piece.
    func receive(_ octets: [UInt8]) throws { try channel.writeInbound(ByteBuffer(bytes: octets)) }

    /// Nothing is left of it: an event loop may not go with tasks that wait.
    func end() throws {
      wire.fail()
      _ = try channel.finish(acceptAlreadyClosed: true)
    }
  }

  private static let query = {
    let message = Messages.query("denied.example.com", .A)
    return Messages.be16(message.count) + message
  }()
  /// Shorter than any message.
  private static let noMessage: [UInt8] = [0, 5, 1, 2, 3, 4, 5]

  @Test("a query that comes alone is answered at once, however often that happens")
  func atOnce() throws {
    let bed = try Bed()
    for count in 1...3 {
      try bed.receive(Self.query)
      // No task of the event loop has run.
      #expect(bed.wire.replies == count)
    }
    try bed.receive(Self.query + Self.query)
    #expect(bed.wire.replies == 5)
    #expect(bed.wire.reads == 5, "once at the beginning, and after each piece")
    try bed.end()
  }

  @Test("behind what is no message nothing is answered or read any more, also while the end has not left yet")
  func ending() throws {
    let bed = try Bed()
    bed.wire.isStuck = true
    try bed.receive(Self.query + Self.noMessage + Self.query)
    #expect(bed.wire.replies == 1 && bed.channel.isActive)
    let reads = bed.wire.reads
    bed.channel.pipeline.fireChannelWritabilityChanged()
    try bed.receive(Self.query)
    #expect(bed.wire.replies == 1 && bed.wire.reads == reads)
    bed.channel.embeddedEventLoop.advanceTime(by: StreamLimits().frame)
    #expect(!bed.channel.isActive, "a client that does not take its answers is not waited for")
    try bed.end()
  }

  @Test("a connection ends when the client has sent all and has all its answers")
  func halfClosed() throws {
    let bed = try Bed()
    try bed.receive(Self.query)
    bed.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    #expect(bed.wire.replies == 1 && !bed.channel.isActive)
    try bed.end()
    let open = try Bed()
    open.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.outputClosed)
    #expect(open.channel.isActive)
    try open.end()
  }
}
