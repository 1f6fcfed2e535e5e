import AuditLog
import DNSWire
import IPNetwork
import NIOCore
import NIOEmbedded
import Resolver
import Synchronization
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

  /// Where the answers go of what is still asked for.
  private final class Pending: Sendable {
    private let paths = Mutex<[any ReplyPath]>([])

    func add(_ path: any ReplyPath) { paths.withLock { $0.append(path) } }

    /// Answers all; how many those were.
    func answer() -> Int {
      let all = paths.withLock { exchange(&$0, with: []) }
      for path in all { path.send([UInt8](repeating: 0, count: 12)) }
      return all.count
    }
  }

  /// A connection of a server that may ask for one name.
  private struct Bed {
    let channel = EmbeddedChannel()
    let wire = Wire()
    let pending = Pending()

    init() throws {
      let paths = self.pending
      let shared = SharedState(
        current: CurrentSnapshot(try denyingSnapshot(["127.0.1.0/32"], allowing: ["open.example.com"])),
        epoch: FirewallEpoch(), audit: OpenGate(),
        clocks: { (monotonic: 1_000_000_000_000, wall: 1_763_630_062_000_000_000) }, resolveInterface: { _ in 0 },
        sink: { _, path in paths.add(path) })
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

    /// The answers come to what is still asked for; to how much that is.
    func answer() -> Int {
      let count = pending.answer()
      channel.embeddedEventLoop.run()
      return count
    }

    /// Nothing is left of it: an event loop may not go with tasks that wait.
    func end() throws {
      wire.fail()
      _ = try channel.finish(acceptAlreadyClosed: true)
    }
  }

  private static func frame(_ name: String) -> [UInt8] {
    let message = Messages.query(name, .A)
    return Messages.be16(message.count) + message
  }

  private static let query = frame("denied.example.com")
  /// The answer of which comes later.
  private static let later = frame("open.example.com")
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

  @Test(
    "an answer that comes later is written, and then a connection ends whose client has sent all; nothing more is read")
  func later() throws {
    let bed = try Bed()
    try bed.receive(Self.later)
    bed.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    #expect(bed.channel.isActive && bed.wire.replies == 0)
    let reads = bed.wire.reads
    bed.channel.pipeline.fireChannelReadComplete()
    #expect(bed.wire.reads == reads)
    #expect(bed.answer() == 1)
    #expect(bed.wire.replies == 1 && bed.wire.reads == reads && !bed.channel.isActive)
    try bed.end()
  }

  @Test("an answer that comes when the connection ends, or has ended, is not written")
  func tooLate() throws {
    let ending = try Bed()
    ending.wire.isStuck = true
    try ending.receive(Self.later)
    try ending.receive(Self.noMessage)
    #expect(ending.channel.isActive && ending.answer() == 1 && ending.wire.replies == 0)
    try ending.end()
    let ended = try Bed()
    try ended.receive(Self.later)
    try ended.channel.close().wait()
    #expect(ended.answer() == 1 && ended.wire.replies == 0)
    try ended.end()
  }

  @Test("of a client that takes nothing no more is read")
  func unwritable() throws {
    let bed = try Bed()
    bed.channel.isWritable = false
    let reads = bed.wire.reads
    try bed.receive(Array(Self.query.prefix(5)))
    #expect(bed.wire.reads == reads)
    bed.channel.isWritable = true
    bed.channel.pipeline.fireChannelWritabilityChanged()
    #expect(bed.wire.reads == reads + 1)
    try bed.end()
  }
}
