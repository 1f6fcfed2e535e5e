import DNSWire

/// Makes events of records: the first of a kind at once, its repeats as one, and floods as aggregates.
///
///     record ─► same name open? ──yes──► count it there
///                  │ no
///                  ▼
///     20 names under its domain, 100 of its client, or 1,000 clients of its server already? ──yes──► count it there
///                  │ no
///                  ▼
///     write it, and open a window of 10 s for its repeats
///
/// A connection counts alike: its destination with transport and port is the name, the destination the domain. So a scan
/// of ports is 20 events and an aggregate, a scan of addresses 100 and an aggregate. Events of the service pass.
///
/// Sans-IO. What is not written yet is counted in the area, which outlives the process. The caller absorbs records and
/// retires windows into a buffer, writes the buffer, and only then calls `commit` and frees the records; so a crash at
/// any point loses nothing, and counts twice at most what was between two commits.
package struct Coalescer: ~Copyable {
  /// Nanoseconds that repeats are collected (the contract's 10 s).
  package static let window: UInt64 = 10_000_000_000
  /// Names under one registrable domain that one client gets events of their own for, in a window: enough to see a
  /// pattern, few enough that a flood is one event.
  package static let namesPerDomain: UInt32 = 20
  /// Names that one client gets events of their own for, in a window: 100 events are about 35 kB.
  package static let namesPerClient: UInt32 = 100
  /// Clients of one server, in a window: against a flood of invented source addresses.
  package static let clientsPerServer: UInt32 = 1000
  /// Members up to this size are told again by the event of the repeats; longer ones are said to be left out.
  static let membersKept = 2048
  /// Enough that the memory answers for the last before the first is counted.
  private static let recordsAhead = 16
  /// Room for everything that one record can open: three groups, a name with members or an aggregate, and a skip.
  private static let roomPerRecord: UInt64 = 8192

  /// A record, the key of its name, and where in the ring it began.
  private struct Ahead {
    var record = AuditRecord()
    var key = CoalescingKey()
    var place: UInt64 = 0

    mutating func setKey() { key.setName(of: record) }
  }

  private typealias Field = CoalescerArea.Field

  private var area: CoalescerArea
  private var encoder: EventEncoder
  private var key = CoalescingKey()
  /// Records that were read and are not counted yet.
  private var ahead = (0..<Coalescer.recordsAhead).map { _ in Ahead() }
  private var keyOctets: [UInt8] = []
  private var extraOctets: [UInt8] = []
  private var sample: [UInt8] = []
  /// Windows that hold counts which no event told yet.
  private var pending = 0
  /// Records that became part of another record's event; events made.
  package private(set) var suppressed: UInt64 = 0
  package private(set) var events: UInt64 = 0

  /// Continues with the windows in `region` as an earlier run left them: `retireEverything` ends them.
  ///
  /// Nil unless the region is 64 octets and a power of two of at least 64 KiB.
  package init?(_ region: SharedRegion, run: UInt64) {
    guard let area = CoalescerArea(region) else { return nil }
    self.area = area
    encoder = EventEncoder(run: run)
  }

  // MARK: - Records

  /// What became of the records of a ring.
  package struct Taken: Equatable, Sendable {
    package var records = 0
    /// Stretches of the ring that were damaged.
    package var corrupt = 0
    /// The next record found no room: retire windows, commit, and try again.
    package var isShort = false
  }

  /// Takes in what waits in a ring, up to `atMost` records and until `output` holds `limit` octets.
  ///
  /// Records are read some at a time, and the windows of all of them are brought near before the first is counted: with
  /// many clients every window is somewhere else in memory.
  package mutating func absorb(
    _ ring: AuditRingReader, atMost: Int, now: UInt64, into output: inout [UInt8], limit: Int
  ) -> Taken {
    var taken = Taken()
    // Out of `self` meanwhile, so that a record can be lent to a method that changes the windows.
    var ahead = self.ahead
    self.ahead = []
    defer { self.ahead = ahead }
    while taken.records < atMost, output.count < limit {
      let count = look(at: &ahead, in: ring, atMost: atMost - taken.records, &taken)
      if count == 0 { break }
      for index in 0..<count {
        guard output.count < limit, absorb(ahead[index].record, named: ahead[index].key, now: now, into: &output) else {
          taken.isShort = output.count < limit
          ring.unread(to: ahead[index].place)
          return taken
        }
        taken.records += 1
      }
    }
    return taken
  }

  /// Reads records and has their windows brought near; how many.
  private func look(
    at ahead: inout [Ahead], in ring: AuditRingReader, atMost: Int, _ taken: inout Taken
  ) -> Int {
    var count = 0
    reading: while count < min(atMost, ahead.count) {
      ahead[count].place = ring.position
      switch ring.next(into: &ahead[count].record) {
      case .empty:
        break reading
      case .corrupt:
        guard count == 0 else {
          // It is met, and counted, once these are done.
          ring.unread(to: ahead[count].place)
          break reading
        }
        taken.corrupt += 1
      case .record:
        ahead[count].setKey()
        area.prefetchBucket(ahead[count].key)
        count += 1
      }
    }
    for index in 0..<count { area.prefetchEntry(ahead[index].key) }
    return count
  }

  /// Takes a record in; false when there is no room, and nothing was done: retire windows, commit, and try again.
  mutating func absorb(_ record: borrowing AuditRecord, now: UInt64, into output: inout [UInt8]) -> Bool {
    var name = CoalescingKey()
    name.setName(of: record)
    return absorb(record, named: name, now: now, into: &output)
  }

  private mutating func absorb(
    _ record: borrowing AuditRecord, named name: CoalescingKey, now: UInt64, into output: inout [UInt8]
  ) -> Bool {
    let code = record.header.code
    if code.isService {
      pass(record, into: &output)
      return true
    }
    if let entry = area.find(name) {
      count(record, in: entry)
      return true
    }
    guard area.room >= Self.roomPerRecord else { return false }
    if code.decision != .allow || code == .answered, let aggregate = aggregate(for: record, now: now) {
      count(record, in: aggregate)
      addSample(of: record, to: aggregate)
      return true
    }
    openName(record, name, now)
    encoder.append(record, to: &output)
    events &+= 1
    return true
  }

  private mutating func openName(_ record: borrowing AuditRecord, _ name: CoalescingKey, _ now: UInt64) {
    let members = CoalescingKey.keepsMembers(record.header.code) ? record.members : 0..<0
    let isKept = members.count <= Self.membersKept
    let octets = isKept ? record.octets : EventEncoder.membersOmitted
    let kept = isKept ? members : octets.indices
    let entry = area.open(name, deadline: now &+ Self.window, extra: kept.count)
    if !kept.isEmpty { area.setMembers(octets.span.extracting(kept), of: entry) }
  }

  /// Keeps the name of a query; of a connection the port where the aggregate tells the destination, else the latter.
  private mutating func addSample(of record: borrowing AuditRecord, to aggregate: UInt64) {
    guard !record.header.code.isQuery else {
      area.addSample(record.octets.span.extracting(record.name), to: aggregate)
      return
    }
    sample.removeAll(keepingCapacity: true)
    sample.append(0)
    if key.octets.first == CoalescingKey.Kind.domainAggregate.rawValue {
      sample.append(portOf: record.header)
    } else {
      sample.append(contentsOf: record.octets[record.name].prefix(CoalescerArea.sampleRoom - 2))
    }
    sample[0] = UInt8(truncatingIfNeeded: sample.count - 1)
    sample.append(0)
    if sample.count > 2 { area.addSample(sample.span, to: aggregate) }
  }

  /// Writes a record as an event of its own, whatever was seen before.
  package mutating func pass(_ record: borrowing AuditRecord, into output: inout [UInt8]) {
    encoder.append(record, to: &output)
    events &+= 1
  }

  /// The aggregate that must take this record, if a cap is reached; else counts its name against the caps.
  private mutating func aggregate(for record: borrowing AuditRecord, now: UInt64) -> UInt64? {
    let isQuery = record.header.code.isQuery
    let domain = isQuery ? RegistrableDomain.start(of: record.octets.span.extracting(record.name)) : 0
    key.set(.clientGroup, record)
    var client = area.find(key)
    if client == nil {
      key.set(.serverGroup, record)
      let server = group(now)
      guard distinct(server) < Self.clientsPerServer else { return aggregate(.serverAggregate, record, 0, now) }
      increment(server)
      key.set(.clientGroup, record)
      client = group(now)
    }
    key.set(.domainGroup, record, domain: domain)
    let known = area.find(key)
    if let known, distinct(known) >= Self.namesPerDomain { return aggregate(.domainAggregate, record, domain, now) }
    guard let client, distinct(client) < Self.namesPerClient else {
      return aggregate(.clientAggregate, record, 0, now)
    }
    increment(client)
    increment(known ?? group(now))
    return nil
  }

  /// The open window of `key`, or a new one.
  private mutating func group(_ now: UInt64) -> UInt64 {
    area.find(key) ?? area.open(key, deadline: now &+ Self.window, extra: 0)
  }

  private mutating func aggregate(
    _ kind: CoalescingKey.Kind, _ record: borrowing AuditRecord, _ domain: Int, _ now: UInt64
  ) -> UInt64 {
    key.set(kind, record, domain: domain)
    if let entry = area.find(key) { return entry }
    return area.open(key, deadline: now &+ Self.window, extra: CoalescerArea.samplesRoom)
  }

  private func distinct(_ entry: UInt64) -> UInt32 { area.load(entry, Field.distinct) }

  private func increment(_ entry: UInt64) { area.store(distinct(entry) &+ 1, entry, Field.distinct) }

  /// Counts a record in a window. The count is stored last: a crash before it leaves the record to be counted again.
  private mutating func count(_ record: borrowing AuditRecord, in entry: UInt64) {
    let header = record.header
    let count: UInt64 = area.load(entry, Field.count)
    if count == 0 {
      pending += 1
      area.store(header.wallClock, entry, Field.first)
      area.store(header.payloadSize, entry, Field.payloadSize)
      area.store(header.responseCode.rawValue, entry, Field.responseCode)
      area.store(header.clientPort, entry, Field.clientPort)
      area.store(Self.stored(header.transport), entry, Field.transport)
      area.store(header.type.rawValue, entry, Field.type)
    } else if area.load(entry, Field.type) != header.type.rawValue {
      area.store(0 as UInt16, entry, Field.type)
    }
    if header.code.isConnection, area.load(entry, Field.transport) != Self.stored(header.transport) {
      area.store(Self.stored(nil), entry, Field.transport)
    }
    area.store(header.wallClock, entry, Field.last)
    area.store(count &+ 1, entry, Field.count)
    suppressed &+= 1
  }

  /// A transport as the area holds it; `UInt8.max` is none.
  private static func stored(_ transport: AuditTransport?) -> UInt8 { transport?.rawValue ?? .max }

  // MARK: - Windows

  /// Ends the windows whose time has come, oldest first, until `output` holds `limit` octets.
  package mutating func retire(now: UInt64, into output: inout [UInt8], limit: Int) {
    retire(into: &output, limit: limit) { $0 <= now }
  }

  /// Ends the oldest windows before their time, to make room for a record.
  package mutating func retireForRoom(into output: inout [UInt8], limit: Int) {
    var octets: UInt64 = 0
    while octets < Self.roomPerRecord * 8, output.count < limit {
      guard case .entry(_, let length) = area.oldest() else { break }
      octets &+= length
      retireOldest(into: &output)
    }
  }

  /// Ends all windows; true when none is left, false when `output` holds `limit` octets first.
  package mutating func retireEverything(into output: inout [UInt8], limit: Int) -> Bool {
    retire(into: &output, limit: limit) { _ in true }
    if case .none = area.oldest() { return true }
    return false
  }

  private mutating func retire(into output: inout [UInt8], limit: Int, while isDue: (UInt64) -> Bool) {
    while output.count < limit {
      switch area.oldest() {
      case .none:
        return
      case .corrupt:
        area.retireEverything()
        return
      case .entry(let entry, _):
        guard isDue(area.load(entry, Field.deadline)) else { return }
        retireOldest(into: &output)
      }
    }
  }

  private mutating func retireOldest(into output: inout [UInt8]) {
    guard case .entry(let entry, let length) = area.oldest() else { return }
    if area.load(entry, Field.count) as UInt64 > 0 {
      if pending > 0 { pending -= 1 }
      encode(entry, length, into: &output)
    }
    area.retire(length)
  }

  private mutating func encode(_ entry: UInt64, _ length: UInt64, into output: inout [UInt8]) {
    area.readKey(of: entry, into: &keyOctets)
    guard let stored = StoredKey(keyOctets.span) else { return }
    let isAggregate = stored.kind != .name
    let type: UInt16 = area.load(entry, Field.type)
    let last: UInt64 = area.load(entry, Field.last)
    let fields = EventEncoder.Fields(
      code: stored.code, type: isAggregate && type == 0 ? nil : isAggregate ? .init(rawValue: type) : stored.type,
      transport: AuditTransport(rawValue: area.load(entry, Field.transport)),
      responseCode: .init(rawValue: area.load(entry, Field.responseCode)),
      payloadSize: area.load(entry, Field.payloadSize), client: stored.client,
      clientPort: area.load(entry, Field.clientPort), wallClock: last, count: area.load(entry, Field.count),
      interval: (area.load(entry, Field.first), last))
    let destination: EventEncoder.Destination =
      switch stored.kind {
      case .domainAggregate: stored.code.isQuery ? .anyUnder : .name
      case .clientAggregate, .serverAggregate: .any
      case .name, .domainGroup, .clientGroup, .serverGroup: .name
      }
    let key = keyOctets
    let octets = key.span
    encoder.begin(fields, octets.extracting(stored.server), destination, octets.extracting(stored.name), to: &output)
    let samples = area.readExtra(of: entry, length: length, into: &extraOctets)
    if isAggregate {
      encoder.appendSamples(extraOctets.span, count: samples, areNames: stored.code.isQuery, to: &output)
    } else {
      encoder.appendMembers(extraOctets.span, to: &output)
    }
    encoder.end(to: &output)
    events &+= 1
  }

  /// The events made so far were written: frees the windows they ended.
  package mutating func commit() { area.free() }

  /// When the next window with something to tell ends; nil when none has.
  package mutating func nextDeadline() -> UInt64? {
    guard pending > 0, case .entry(let entry, _) = area.oldest() else { return nil }
    return area.load(entry, Field.deadline)
  }
}
