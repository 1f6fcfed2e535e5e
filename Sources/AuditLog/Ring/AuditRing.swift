import DNSWire
import IPNetwork

/// A ring of records between one worker thread and the writer, in memory that outlives the process.
///
/// One producer, one consumer. Positions only grow; a record is in the ring from the moment that `head` moved past it
/// until the consumer moved `tail` past it, so a killed process leaves every stored record to the next run.
///
///     0 head │ 8 the producer's copy of tail │ 64 tail │ 128 the consumer sleeps │ 192 records …
package final class AuditRing: Sendable {
  /// What became of a record that was pushed.
  package enum PushResult: Sendable {
    case stored
    /// Stored; the consumer had declared itself asleep and must be woken.
    case storedWakeConsumer
    /// Not stored: the decision must not be carried out (P6).
    case full
  }

  /// Octets before the records.
  package static let overhead = 192
  /// The smallest room for records: a few records of the greatest size without members.
  package static let minCapacity = 4096
  /// Members beyond this are left out of the event, which then says so: a ring must hold many records.
  package static let maxMembers = 32_768

  private static let headAt = 0
  private static let knownTailAt = 8
  private static let tailAt = 64
  private static let asleepAt = 128
  /// Octets of a record before its server.
  static let fixed = 48
  private static let skip = UInt32.max

  /// The bits of a record's octet 5.
  private enum Flag {
    static let isTCP: UInt8 = 1
    static let isV6: UInt8 = 2
    static let membersOmitted: UInt8 = 4
    static let hasNoTransport: UInt8 = 8
    static let hasNoClient: UInt8 = 16
  }

  private let region: SharedRegion
  private let capacity: UInt64
  private let mask: UInt64
  private let membersLimit: Int

  /// Opens the ring that is in `region`, as an earlier run left it; zeroed memory is an empty ring.
  ///
  /// Nil unless the room for records is a power of two of at least `minCapacity`.
  package init?(_ region: SharedRegion) {
    let capacity = region.count - Self.overhead
    guard capacity >= Self.minCapacity, capacity & (capacity - 1) == 0 else { return nil }
    self.region = region
    self.capacity = UInt64(capacity)
    mask = UInt64(capacity) - 1
    membersLimit = min(Self.maxMembers, capacity / 4)
  }

  // MARK: - The producer

  /// Puts a record into the ring. For one thread at a time; allocates nothing, waits for nothing.
  ///
  /// - Parameters:
  ///   - server: at most 255 octets; more are cut off. Empty is written as `unknown`.
  ///   - name: of a query, its name in canonical wire form; else the destination as text, of which 255 octets count.
  ///   - extra: JSON members, each with its comma before it, or empty.
  package func push(
    _ header: AuditRecordHeader, server: Span<UInt8>, name: Span<UInt8>, extra: Span<UInt8>
  ) -> PushResult {
    let serverCount = min(server.count, 255)
    let nameCount = min(name.count, NameWire.maxOctets)
    let omitted = extra.count > membersLimit
    let extraCount = omitted ? 0 : extra.count
    let length = UInt64((Self.fixed + serverCount + nameCount + extraCount + 7) & ~7)
    let head: UInt64 = region.load(Self.headAt)
    var index = head & mask
    let untilEnd = capacity &- index
    let needed = length <= untilEnd ? length : untilEnd &+ length
    if capacity &- (head &- region.load(Self.knownTailAt)) < needed {
      let tail = region.loadAcquiring(Self.tailAt)
      region.store(tail, Self.knownTailAt)
      guard capacity &- (head &- tail) >= needed else { return .full }
    }
    if needed != length {
      region.store(Self.skip, Self.overhead + Int(index))
      index = 0
    }
    let at = Self.overhead + Int(index)
    region.store(UInt32(length), at)
    region.store(header.code.rawValue, at + 4)
    region.store(Self.flags(header) | (omitted ? Flag.membersOmitted : 0), at + 5)
    region.store(header.type.rawValue, at + 6)
    region.store(header.responseCode.rawValue, at + 8)
    region.store(header.clientPort, at + 10)
    region.store(header.payloadSize, at + 12)
    region.store(header.wallClock, at + 16)
    region.store(header.client?.high ?? 0, at + 24)
    region.store(header.client?.low ?? 0, at + 32)
    region.store(UInt8(truncatingIfNeeded: serverCount), at + 40)
    region.store(UInt8(truncatingIfNeeded: nameCount), at + 41)
    region.store(UInt16(truncatingIfNeeded: extraCount), at + 42)
    region.store(server.extracting(0..<serverCount), at + Self.fixed)
    region.store(name.extracting(0..<nameCount), at + Self.fixed + serverCount)
    if extraCount > 0 { region.store(extra, at + Self.fixed + serverCount + nameCount) }
    // In one order with the look at the flag: either the consumer sees the record before it sleeps, or we its flag.
    region.storeInOrder(head &+ needed, Self.headAt)
    guard region.loadInOrder(Self.asleepAt) != 0 else { return .stored }
    return region.exchangeInOrder(0, Self.asleepAt) != 0 ? .storedWakeConsumer : .stored
  }

  private static func flags(_ header: AuditRecordHeader) -> UInt8 {
    let transport =
      switch header.transport {
      case .udp?: 0 as UInt8
      case .tcp?: Flag.isTCP
      case .control?: Flag.isTCP | Flag.hasNoTransport
      case nil: Flag.hasNoTransport
      }
    let client =
      switch header.client?.family {
      case .v4?: 0 as UInt8
      case .v6?: Flag.isV6
      case nil: Flag.hasNoClient
      }
    return transport | client
  }

  // MARK: - The consumer

  var tail: UInt64 { region.loadAcquiring(Self.tailAt) }

  /// Octets of records that the consumer has not taken.
  package var pending: Int { Int(truncatingIfNeeded: region.loadAcquiring(Self.headAt) &- tail) }

  /// Octets that records may take.
  package var room: Int { Int(capacity) }

  func free(upTo position: UInt64) { region.storeReleasing(position, Self.tailAt) }

  /// Says that the consumer will sleep until a push tells it otherwise; false when there is a record after `position`.
  func declareAsleep(at position: UInt64) -> Bool {
    region.storeInOrder(1, Self.asleepAt)
    guard region.loadInOrder(Self.headAt) == position else {
      region.storeInOrder(0, Self.asleepAt)
      return false
    }
    return true
  }

  func declareAwake() { region.storeInOrder(0, Self.asleepAt) }

  enum Step {
    case record(next: UInt64)
    case empty
    /// Memory that no push wrote: what follows cannot be read.
    case corrupt(next: UInt64)
  }

  /// Reads the record at `position`. Every length is checked: the memory may be a damaged file.
  func read(at position: UInt64, into record: inout AuditRecord) -> Step {
    let head = region.loadAcquiring(Self.headAt)
    var at = position
    guard at != head else { return .empty }
    guard head &- at <= capacity, at & 7 == 0, head & 7 == 0 else { return .corrupt(next: head) }
    var start = Self.overhead + Int(at & mask)
    if region.load(start, as: UInt32.self) == Self.skip {
      at &+= capacity &- (at & mask)
      start = Self.overhead
      guard at &- position < head &- position else { return .corrupt(next: head) }
    }
    guard capacity &- (at & mask) >= UInt64(Self.fixed) else { return .corrupt(next: head) }
    let length = UInt64(region.load(start, as: UInt32.self))
    let server = Int(region.load(start + 40, as: UInt8.self))
    let name = Int(region.load(start + 41, as: UInt8.self))
    let members = Int(region.load(start + 42, as: UInt16.self))
    guard length <= head &- at, length <= capacity &- (at & mask),
      length == UInt64((Self.fixed + server + name + members + 7) & ~7)
    else { return .corrupt(next: head) }
    readFields(start, into: &record)
    record.octets.removeAll(keepingCapacity: true)
    region.read(start + Self.fixed, server + name + members, into: &record.octets)
    record.serverEnd = server
    record.nameEnd = server + name
    if region.load(start + 5, as: UInt8.self) & Flag.membersOmitted != 0 {
      record.octets.append(contentsOf: EventEncoder.membersOmitted)
    }
    return .record(next: at &+ length)
  }

  private func readFields(_ start: Int, into record: inout AuditRecord) {
    let flags: UInt8 = region.load(start + 5)
    let low: UInt64 = region.load(start + 32)
    record.header = AuditRecordHeader(
      code: AuditCode(rawValue: region.load(start + 4)),
      transport: flags & Flag.isTCP == 0 ? .udp : .tcp,
      type: RRType(rawValue: region.load(start + 6)), responseCode: ResponseCode(rawValue: region.load(start + 8)),
      payloadSize: region.load(start + 12),
      client: flags & Flag.isV6 == 0
        ? IPAddress(v4: UInt32(truncatingIfNeeded: low)) : IPAddress(high: region.load(start + 24), low: low),
      clientPort: region.load(start + 10), wallClock: region.load(start + 16))
    if flags & Flag.hasNoTransport != 0 { record.header.transport = flags & Flag.isTCP == 0 ? nil : .control }
    if flags & Flag.hasNoClient != 0 { record.header.client = nil }
  }
}
