import AuditLog
import Glibc
import IPNetwork
import Resolver
import TestSupport

/// Messages and who sent them, side by side as in a worker's arena.
struct Packets {
  fileprivate var octets: [UInt8] = []
  fileprivate var ranges: [Range<Int>] = []
  fileprivate var sources: [QuerySource] = []

  mutating func append(_ message: [UInt8], from client: IPAddress) {
    ranges.append(octets.count..<(octets.count + message.count))
    octets += message
    sources.append(QuerySource(client: client, port: 40_188, transport: .udp, interface: 3))
  }
}

/// What became of a batch.
struct Seen: Equatable {
  var replies = 0
  var drops = 0
  var pending = 0
  /// Sum of the response codes.
  var codes = 0
  /// Sum of the answer counts.
  var answers = 0
}

/// A worker's session and reply buffer, without its sockets.
struct Replay: ~Copyable {
  /// Nanoseconds; the same for every batch, as a count must not depend on when it is made.
  static let now: UInt64 = 1_000_000_000_000

  private let waste: Waste
  private var wasted: [[UInt8]]
  private var session: QuerySession
  private var reply = [UInt8](repeating: 0, count: ReplyWriter.maxDatagram)

  init(_ waste: Waste, with snapshot: ResolverSnapshot) {
    self.waste = waste
    wasted = [[1], [2]]
    let shared = SharedState(
      current: CurrentSnapshot(snapshot), epoch: FirewallEpoch(), audit: OpenGate(),
      clocks: { (Self.now, wall: 1_763_630_062_000_000_000) }, resolveInterface: { _ in 0 }, sink: { _, _ in })
    session = QuerySession(QueryThread(shared, ring: Self.ring()))
  }

  /// Answers every packet, as `DatagramWorker` does with what one `recvmmsg` returned.
  mutating func batch(_ packets: borrowing Packets) -> Seen {
    var seen = Seen()
    for index in 0..<packets.ranges.count {
      if index.isMultiple(of: QuerySession.slots) {
        if index > 0 { session.end() }
        session.begin()
        lookAhead(packets, from: index)
      }
      switch waste {
      case .nothing: break
      case .allocation: wasted[0] = [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: 64)
      case .reference: wasted[1] = wasted[0]
      }
      let outcome = unsafe reply.withUnsafeMutableBufferPointer { buffer in
        var output = unsafe OutputSpan(buffer: buffer, initializedCount: 0)
        let outcome = session.answer(
          index % QuerySession.slots, packets.octets.span.extracting(packets.ranges[index]),
          from: packets.sources[index], into: &output)
        _ = unsafe output.finalize(for: buffer)
        return outcome
      }
      switch outcome {
      case .reply:
        seen.replies += 1
        seen.codes += Int(reply[3] & 0xF)
        seen.answers += Int(reply[7])
      case .drop:
        seen.drops += 1
      case .pending(let question):
        seen.pending += 1
        question.state.leave()
      }
    }
    session.end()
    return seen
  }

  private mutating func lookAhead(_ packets: borrowing Packets, from first: Int) {
    let batch = first..<min(first + QuerySession.slots, packets.ranges.count)
    for index in batch {
      session.screen(
        index - first, packets.octets.span.extracting(packets.ranges[index]), from: packets.sources[index].client)
    }
    session.prefetch(batch.count)
  }

  /// A ring that holds the events of a few batches, because nothing reads it. Full, it shows as SERVFAIL.
  private static func ring() -> AuditRing {
    guard let region = Pages(AuditRing.overhead + 1 << 23).region, let ring = AuditRing(region) else {
      fail("no memory for the audit ring")
    }
    return ring
  }
}

/// Zeroed memory that stands for a mapped file.
@safe
private final class Pages: Sendable {
  private nonisolated(unsafe) let buffer: UnsafeMutableRawBufferPointer

  init(_ count: Int) {
    let start = unsafe mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    unsafe buffer = UnsafeMutableRawBufferPointer(start: start == MAP_FAILED ? nil : start, count: count)
  }

  deinit { _ = unsafe munmap(buffer.baseAddress, buffer.count) }

  var region: SharedRegion? { unsafe SharedRegion(buffer, keeping: self) }
}
