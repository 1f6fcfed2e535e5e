import DNSWire

/// By what event a record is told that is in no window yet: the more its server has told, the fewer lines.
extension Coalescer {
  /// Who tells of a record that is in no window yet.
  enum Teller {
    /// A line of its own, and a window for its repeats.
    case own
    /// A line of its own alone.
    case line(LogQuota.Purpose)
    case aggregate(Window)
    case summary
  }

  /// Who tells of a grant of a server that is far over its share: of what was granted in no line of this hour a line of its
  /// own, as long as there are octets for it. Its repeats are the summary's.
  mutating func grantTeller(of record: borrowing AuditRecord, _ server: Int, _ now: UInt64) -> Teller {
    let domain = RegistrableDomain.start(of: record.octets.span.extracting(record.name))
    key.setGrant(of: record, domain: domain, hasClient: false)
    let isEntry = quota.mayTell(.entry, server) && seen.isNew(entry: key.hash, server: server, now: now)
    key.setGrant(of: record, domain: domain, hasClient: true)
    let contact = SeenDestinations.Contact(
      destination: key.hash, client: CoalescingKey.hash(of: record.header.client), kind: .grant)
    let finding = seen.find(contact, server: server, mayTell: isEntry || quota.mayTell(.grant, server), now: now)
    return isEntry ? .line(.entry) : finding == .new ? .line(.grant) : .summary
  }

  /// Who tells of a record; one that has a line of its own is counted against the caps.
  mutating func teller(
    of record: borrowing AuditRecord, _ server: Int, _ grain: LogQuota.Grain, _ now: UInt64, _ output: inout [UInt8]
  ) -> Teller {
    let span = grain.span
    let isQuery = record.header.code.isQuery
    let domain = isQuery ? RegistrableDomain.start(of: record.octets.span.extracting(record.name)) : 0
    let clientHash = CoalescingKey.hash(of: record.header.client)
    guard let client = clientGroup(of: record, clientHash, span, server, now) else {
      if seen.mustTellCrowd(server: server, now: now) { tellNoise(record, hasClient: false, server, &output) }
      return grain == .coarsest ? .summary : .aggregate(digest(.serverAggregate, record, server, now))
    }
    key.setDestination(of: record, domain: domain)
    let contact = SeenDestinations.Contact(
      destination: key.hash, client: clientHash, kind: isQuery ? .name : .connection)
    let finding = seen.find(
      contact, server: server, mayTell: grain != .coarsest || quota.mayTell(.destination, server), now: now)
    if finding == .beyond, seen.mustTellNoise(of: clientHash, server: server) {
      tellNoise(record, hasClient: true, server, &output)
    }
    if grain == .coarsest, finding != .new { return .summary }
    guard finding != .beyond else { return .aggregate(digest(.clientAggregate, record, server, now)) }
    key.set(.domainGroup, record, domain: domain)
    let known = areas[span.rawValue].find(key)
    if finding == .known {
      if let known, distinct(span, known) >= Self.namesPerDomain {
        return .aggregate(aggregate(.domainAggregate, record, domain, span, now))
      }
      guard distinct(span, client) < Self.namesPerClient else {
        return .aggregate(digest(.clientAggregate, record, server, now))
      }
    }
    increment(span, client)
    increment(span, known ?? group(span, now).entry)
    return .own
  }

  /// The window that counts the names of a record's client; nil where its server has too many clients, and this one is
  /// not settled.
  private mutating func clientGroup(
    of record: borrowing AuditRecord, _ client: UInt64, _ span: WindowSpan, _ server: Int, _ now: UInt64
  ) -> UInt64? {
    key.set(.clientGroup, record)
    if let client = areas[span.rawValue].find(key) { return client }
    key.set(.serverGroup, record)
    let group = group(span, now).entry
    if distinct(span, group) < Self.clientsPerServer {
      increment(span, group)
    } else if !seen.isSettled(client, server: server, now: now) {
      return nil
    }
    key.set(.clientGroup, record)
    return self.group(span, now).entry
  }

  /// Says that a client has had all lines that it can have of its own in this hour, or that a server has more clients than
  /// can be told apart.
  private mutating func tellNoise(
    _ record: borrowing AuditRecord, hasClient: Bool, _ server: Int, _ output: inout [UInt8]
  ) {
    let header = record.header
    let start = output.count
    let fields = EventEncoder.Fields(
      code: .noise, type: nil, transport: nil, responseCode: .NOERROR, payloadSize: 0,
      client: hasClient ? header.client : nil, clientPort: 0, wallClock: header.wallClock, count: 1, interval: nil)
    encoder.begin(fields, record.octets.span.extracting(record.server), .any, Span(), to: &output)
    encoder.end(to: &output)
    quota.charge(server, output.count - start)
    events &+= 1
  }

  /// The open window of `key`, or a new one.
  private mutating func group(_ span: WindowSpan, _ now: UInt64) -> Window {
    areas[span.rawValue].find(key).map { Window(span, $0) } ?? open(key, span, now: now, extra: 0)
  }

  private mutating func aggregate(
    _ kind: CoalescingKey.Kind, _ record: borrowing AuditRecord, _ domain: Int, _ span: WindowSpan, _ now: UInt64
  ) -> Window {
    key.set(kind, record, domain: domain)
    if let entry = areas[span.rawValue].find(key) { return Window(span, entry) }
    return open(key, span, now: now, extra: CoalescerArea.samplesRoom)
  }

  /// The aggregate of a minute with a digest, as long as the server may have one more.
  private mutating func digest(
    _ kind: CoalescingKey.Kind, _ record: borrowing AuditRecord, _ server: Int, _ now: UInt64
  ) -> Window {
    key.set(kind, record)
    if let entry = areas[WindowSpan.minute.rawValue].find(key) { return Window(.minute, entry) }
    let window = open(key, .minute, now: now, extra: CoalescerArea.samplesRoom)
    let number = digests.begin(window.entry, server: server, isOfServer: kind == .serverAggregate)
    store(number, window, Field.distinct)
    return window
  }

  private func distinct(_ span: WindowSpan, _ entry: UInt64) -> UInt32 {
    areas[span.rawValue].load(entry, Field.distinct)
  }

  private func increment(_ span: WindowSpan, _ entry: UInt64) {
    areas[span.rawValue].store(distinct(span, entry) &+ 1, entry, Field.distinct)
  }
}
