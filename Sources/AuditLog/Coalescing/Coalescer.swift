import DNSWire

/// Makes events of records: the first of a kind at once, its repeats as one, and floods as aggregates.
///
///     record ─► same name open? ──yes──► count it there
///                  │ no
///                  ▼
///     one of the first 1,024 destinations of its client in this hour? ──yes──► write it, open a window for its repeats
///                  │ no
///                  ▼
///     is its server far over its share of the log? ──yes──► count it in the server's line of this minute
///                  │ no
///                  ▼
///     a destination without a line, 100 names of its client, 1,000 clients of its server? ──yes──► count it in the digest
///                  │ no                                                                            of this minute
///                  ▼
///     20 names under its domain already? ──yes──► count it in the domain's window
///                  │ no
///                  ▼
///     write it, and open a window for its repeats: of 10 s, of 60 s where its server is over its share
///
/// The destination of a query is the registrable domain of its name, that of a connection its address and port. Names of a
/// connection's domain are the ports of one destination. Events of the service pass; where a container can make many of
/// them, and its server is over its share, they are summed up.
///
/// Sans-IO. What is not written yet is counted in the areas, which outlive the process. The caller absorbs records and
/// retires windows into a buffer, writes the buffer, and only then calls `commit` and frees the records; so a crash at
/// any point loses nothing, and counts twice at most what was between two commits.
package struct Coalescer: ~Copyable {
  /// Names under one registrable domain that one client gets events of their own for, in a window: enough to see a
  /// pattern, few enough that a flood is one event.
  package static let namesPerDomain: UInt32 = 20
  /// Names that one client gets events of their own for, in a window: 100 events are about 35 kB.
  package static let namesPerClient: UInt32 = 100
  /// Clients of one server, in a window: against a flood of invented source addresses.
  package static let clientsPerServer: UInt32 = 1000
  /// Members up to this size are told again by the event of the repeats; longer ones are said to be left out. More than
  /// 64 IPv6 addresses, which is what one answer may have.
  static let membersKept = 4096
  /// Enough that the memory answers for the last before the first is counted.
  private static let recordsAhead = 16
  /// Room for everything that one record can open: three groups, a name with members or an aggregate, and a skip.
  static let roomPerRecord: UInt64 = 16_384

  /// A record, the key of its name, and where in the ring it began.
  private struct Ahead {
    var record = AuditRecord()
    var key = CoalescingKey()
    var position: UInt64 = 0

    mutating func setKey() { key.setName(of: record) }
  }

  typealias Field = CoalescerArea.Field

  /// A window: the area it lies in, and its position there.
  struct Window {
    var span: Int
    var entry: UInt64

    init(_ span: WindowSpan, _ entry: UInt64) {
      self.span = span.rawValue
      self.entry = entry
    }
  }

  /// By the raw value of their span.
  var areas: [CoalescerArea]
  var encoder: EventEncoder
  var quota: LogQuota
  var seen: SeenDestinations
  var digests: Digests
  /// Nanoseconds since 1970, as the caller says: what the events of long windows are stamped with, so that the lines of
  /// the log stay near the order of time. Where they began and ended is told beside.
  package var wallClock: UInt64 = 0
  var key = CoalescingKey()
  /// Records that were read and are not counted yet.
  private var ahead = (0..<Coalescer.recordsAhead).map { _ in Ahead() }
  var keyOctets: [UInt8] = []
  var extraOctets: [UInt8] = []
  private var sample: [UInt8] = []
  private var random = QuickRandom()
  /// Records that became part of another record's event; events made.
  package internal(set) var suppressed: UInt64 = 0
  package internal(set) var events: UInt64 = 0

  /// Continues with the windows in `region` as an earlier run left them: `retireEverything` ends them.
  ///
  /// Nil unless the region is as long as `octets(windows:)` says for a power of two of at least 64 KiB.
  ///
  /// - Parameter bounds: what the servers' octets are bounded by; nil for nothing.
  package init?(_ region: SharedRegion, run: UInt64, bounds: LogBounds? = nil) {
    var windows = 65_536
    while Self.octets(windows: windows) < region.count { windows <<= 1 }
    guard Self.octets(windows: windows) == region.count else { return nil }
    var areas: [CoalescerArea] = []
    var start = 0
    for span in WindowSpan.allCases {
      let end = start + CoalescerArea.overhead + span.capacity(windows)
      guard let area = CoalescerArea(region.part(start..<end)) else { return nil }
      areas.append(area)
      start = end
    }
    self.init(areas, run, bounds)
  }

  /// The windows of a version that had but one area: for `retireEverything` and `pass` alone.
  ///
  /// Nil unless the region is 64 octets and a power of two of at least 64 KiB.
  package init?(earlier region: SharedRegion, run: UInt64) {
    guard let area = CoalescerArea(region) else { return nil }
    self.init([area], run, nil)
  }

  private init(_ areas: [CoalescerArea], _ run: UInt64, _ bounds: LogBounds?) {
    self.areas = areas
    encoder = EventEncoder(run: run)
    quota = LogQuota(bounds)
    seen = SeenDestinations(servers: bounds?.servers ?? 1)
    digests = Digests(servers: bounds?.servers ?? 1)
  }

  /// Octets of the region for windows of 10 s in so many octets, a power of two, and all longer ones.
  package static func octets(windows: Int) -> Int {
    WindowSpan.allCases.reduce(0) { $0 + CoalescerArea.overhead + $1.capacity(windows) }
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
  /// Records are read some at a time, and the windows of all of them are prefetched before the first is counted: with
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
          ring.unread(to: ahead[index].position)
          return taken
        }
        taken.records += 1
      }
    }
    return taken
  }

  /// Reads records and prefetches their windows; how many.
  private func look(
    at ahead: inout [Ahead], in ring: AuditRingReader, atMost: Int, _ taken: inout Taken
  ) -> Int {
    var count = 0
    reading: while count < min(atMost, ahead.count) {
      ahead[count].position = ring.position
      switch ring.next(into: &ahead[count].record) {
      case .empty:
        break reading
      case .corrupt:
        guard count == 0 else {
          // It is met, and counted, once these are done.
          ring.unread(to: ahead[count].position)
          break reading
        }
        taken.corrupt += 1
      case .record:
        ahead[count].setKey()
        areas[WindowSpan.short.rawValue].prefetchBucket(ahead[count].key)
        count += 1
      }
    }
    for index in 0..<count { areas[WindowSpan.short.rawValue].prefetchEntry(ahead[index].key) }
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
    guard !code.isService else { return absorbService(record, now: now, into: &output) }
    if let window = find(name, code) { return repeats(record, of: name, in: window) }
    guard hasRoom else { return false }
    let server = quota.index(of: record.octets.span.extracting(record.server))
    let grain = quota.grain(server, now: now)
    if grain != .fine { noteQuota(record, now) }
    let teller: Teller
    switch code {
    // One line is told at once, whatever the server's share is: there is no other in an hour.
    case .special: teller = .own
    case .granted: teller = grain == .coarsest ? grantTeller(of: record, server, now) : .own
    default: teller = self.teller(of: record, server, grain, now, &output)
    }
    switch teller {
    case .own:
      break
    case .line(let purpose):
      write(record, of: server, for: purpose, into: &output)
      return true
    case .summary:
      addToDigest(record, summarize(record, server, now))
      return true
    case .aggregate(let window):
      count(record, in: window)
      addSample(of: record, to: window)
      addToDigest(record, window)
      return true
    }
    let own = WindowSpan(of: code)
    openName(record, name, own == .short ? grain.span : own, now)
    write(record, of: server, for: .destination, into: &output)
    return true
  }

  /// Writes a record's line of its own.
  mutating func write(
    _ record: borrowing AuditRecord, of server: Int, for purpose: LogQuota.Purpose, into output: inout [UInt8]
  ) {
    let before = output.count
    pass(record, into: &output)
    quota.charge(server, output.count - before, for: purpose)
  }

  /// Whether every area has room for all that a record can open.
  var hasRoom: Bool { areas.allSatisfy { $0.room >= Self.roomPerRecord } }

  mutating func charge(_ server: Span<UInt8>, _ octets: Int) {
    quota.charge(quota.index(of: server), octets)
  }

  /// The open window of a name, whatever its span.
  private func find(_ name: CoalescingKey, _ code: AuditCode) -> Window? {
    let span = WindowSpan(of: code)
    if let entry = areas[span.rawValue].find(name) { return Window(span, entry) }
    guard span == .short, !areas[WindowSpan.minute.rawValue].isEmpty else { return nil }
    return areas[WindowSpan.minute.rawValue].find(name).map { Window(.minute, $0) }
  }

  /// Counts a record in the window of its name; false when there is no room for what it adds, and nothing was done.
  private mutating func repeats(
    _ record: borrowing AuditRecord, of name: CoalescingKey, in window: Window
  ) -> Bool {
    guard record.header.code == .granted else {
      count(record, in: window)
      if record.header.code == .special { addSample(of: record, to: window) }
      return true
    }
    guard let united = unite(record, with: window, name) else { return false }
    count(record, in: united)
    return true
  }

  private mutating func openName(
    _ record: borrowing AuditRecord, _ name: CoalescingKey, _ span: WindowSpan, _ now: UInt64
  ) {
    let members = CoalescingKey.keepsMembers(record.header.code) ? record.members : 0..<0
    let isKept = members.count <= Self.membersKept
    let octets = isKept ? record.octets : EventEncoder.membersOmitted
    let kept = isKept ? members : octets.indices
    let room = record.header.code == .special ? CoalescerArea.samplesRoom : kept.count
    let window = open(name, span, now: now, extra: room)
    if !kept.isEmpty { areas[window.span].setMembers(octets.span.extracting(kept), of: window.entry) }
  }

  func load<Word: FixedWidthInteger & BitwiseCopyable>(_ window: Window, _ field: Int) -> Word {
    areas[window.span].load(window.entry, field)
  }

  func store<Word: FixedWidthInteger & BitwiseCopyable>(_ word: Word, _ window: Window, _ field: Int) {
    areas[window.span].store(word, window.entry, field)
  }

  mutating func open(_ key: CoalescingKey, _ span: WindowSpan, now: UInt64, extra: Int) -> Window {
    Window(span, areas[span.rawValue].open(key, deadline: now &+ span.nanoseconds, extra: extra))
  }

  /// Has an aggregate keep a record's name as one of its samples, with the probability that it has among all that the
  /// window counted: of a connection the port, and the destination where the window does not tell it.
  private mutating func addSample(of record: borrowing AuditRecord, to window: Window) {
    let kept: UInt8 = load(window, Field.sampleCount)
    let counted: UInt64 = max(load(window, Field.count), 1)
    let position = Int(kept) < CoalescerArea.maxSamples ? UInt64(kept) : random.next() % counted
    guard position < CoalescerArea.maxSamples else { return }
    if record.header.code.isQuery {
      let name = record.octets.span.extracting(record.name)
      return areas[window.span].setSample(Int(position), name, of: window.entry)
    }
    sample.removeAll(keepingCapacity: true)
    let isDomain = load(window, Field.key) == CoalescingKey.Kind.domainAggregate.rawValue
    Self.setText(&sample, isDomain ? [] : record.octets[record.name], record.header)
    areas[window.span].setSample(Int(position), sample.span, of: window.entry)
  }

  /// A destination, if any, and the port of a connection as the one label of a name.
  private static func setText(_ text: inout [UInt8], _ destination: ArraySlice<UInt8>, _ header: AuditRecordHeader) {
    text.append(0)
    text.append(contentsOf: destination.prefix(CoalescerArea.sampleRoom - 2 - 12))
    if text.count > 1 { text.append(UInt8(ascii: " ")) }
    text.append(portOf: header)
    text[0] = UInt8(truncatingIfNeeded: text.count - 1)
    text.append(0)
  }

  /// Takes a record into the digest of its window, if it has one.
  private mutating func addToDigest(_ record: borrowing AuditRecord, _ window: Window) {
    guard window.span == WindowSpan.minute.rawValue,
      let index = digests.index(load(window, Field.distinct), of: window.entry)
    else { return }
    if load(window, Field.key) == CoalescingKey.Kind.serverAggregate.rawValue { digests.offer(index, record) }
    guard !record.header.code.isQuery else {
      let name = record.octets.span.extracting(record.name)
      let domain = name.extracting(RegistrableDomain.start(of: name)..<name.count)
      return digests.add(index, CoalescingKey.hash(domain), domain, name, isName: true)
    }
    let address = CoalescingKey.address(of: record)
    var destination: [UInt8] = []
    Self.setText(&destination, record.octets[address.isEmpty ? record.name : address], record.header)
    var example: [UInt8] = []
    Self.setText(&example, record.octets[record.name], record.header)
    digests.add(index, CoalescingKey.hash(destination.span), destination.span, example.span, isName: false)
  }

  /// Writes a record as an event of its own, whatever was seen before.
  package mutating func pass(_ record: borrowing AuditRecord, into output: inout [UInt8]) {
    encoder.append(record, to: &output)
    events &+= 1
  }

  /// Counts a record in a window. The count is stored last: a crash before it leaves the record to be counted again.
  mutating func count(_ record: borrowing AuditRecord, in window: Window) {
    let header = record.header
    let count: UInt64 = load(window, Field.count)
    if count == 0 {
      areas[window.span].pending += 1
      store(header.wallClock, window, Field.first)
      store(header.payloadSize, window, Field.payloadSize)
      store(header.responseCode.rawValue, window, Field.responseCode)
      store(header.clientPort, window, Field.clientPort)
      store(Self.stored(header.transport), window, Field.transport)
      store(header.type.rawValue, window, Field.type)
    } else if load(window, Field.type) != header.type.rawValue {
      store(0 as UInt16, window, Field.type)
    }
    if header.code.isConnection, load(window, Field.transport) != Self.stored(header.transport) {
      store(Self.stored(nil), window, Field.transport)
    }
    store(header.wallClock, window, Field.last)
    store(count &+ 1, window, Field.count)
    suppressed &+= 1
  }

  /// A transport as the area holds it; `UInt8.max` is none.
  private static func stored(_ transport: AuditTransport?) -> UInt8 { transport?.rawValue ?? .max }
}
