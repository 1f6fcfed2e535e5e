import DNSWire

/// How windows end, and the events that tell what they counted.
extension Coalescer {
  /// Ends the windows whose time has come, oldest first, until `output` holds `limit` octets.
  package mutating func retire(now: UInt64, into output: inout [UInt8], limit: Int) {
    for span in areas.indices { _ = retire(span, into: &output, limit: limit, goesOn: now) { $0 <= now } }
  }

  /// Ends the oldest windows before their time where room is short, to make some for a record.
  package mutating func retireForRoom(into output: inout [UInt8], limit: Int) {
    for span in areas.indices where areas[span].room < Self.roomPerRecord {
      var octets: UInt64 = 0
      while octets < Self.roomPerRecord * 4, output.count < limit {
        guard case .entry(_, let length) = areas[span].oldest() else { break }
        octets &+= length
        retireOldest(span, into: &output)
      }
    }
  }

  /// Ends all windows; true when none is left, false when `output` holds `limit` octets first.
  package mutating func retireEverything(into output: inout [UInt8], limit: Int) -> Bool {
    for span in areas.indices where !retire(span, into: &output, limit: limit, while: { _ in true }) { return false }
    return true
  }

  /// Ends the oldest windows of an area; false when `output` holds `limit` octets first.
  ///
  /// - Parameter goesOn: where it is now, if long windows that counted something are followed by one of the same key, so
  ///   that what happens all the time is one line each time, not two.
  private mutating func retire(
    _ span: Int, into output: inout [UInt8], limit: Int, goesOn now: UInt64? = nil, while isDue: (UInt64) -> Bool
  ) -> Bool {
    while true {
      switch areas[span].oldest() {
      case .none:
        return true
      case .corrupt:
        areas[span].retireEverything()
        return true
      case .entry(let entry, _):
        guard isDue(areas[span].load(entry, Field.deadline)) else { return true }
        guard output.count < limit else { return false }
        let isCounted = areas[span].load(entry, Field.count) as UInt64 > 0
        retireOldest(span, into: &output)
        if let now, isCounted, span >= WindowSpan.hour.rawValue { follow(span, now) }
      }
    }
  }

  /// Opens a window like the one whose key was just read, as far as there is room.
  private mutating func follow(_ span: Int, _ now: UInt64) {
    guard let span = WindowSpan(rawValue: span), let stored = StoredKey(keyOctets.span), stored.kind != .quota,
      areas[span.rawValue].room >= Self.roomPerRecord
    else { return }
    let octets = keyOctets
    key.set(octets)
    _ = open(key, span, now: now, extra: stored.kind == .name ? 0 : CoalescerArea.samplesRoom)
  }

  private mutating func retireOldest(_ span: Int, into output: inout [UInt8]) {
    guard case .entry(let entry, let length) = areas[span].oldest() else { return }
    if areas[span].load(entry, Field.count) as UInt64 > 0 {
      if areas[span].pending > 0 { areas[span].pending -= 1 }
      encode(span, entry, length, into: &output)
    }
    areas[span].retire(length)
  }

  private mutating func encode(_ span: Int, _ entry: UInt64, _ length: UInt64, into output: inout [UInt8]) {
    areas[span].readKey(of: entry, into: &keyOctets)
    guard let stored = StoredKey(keyOctets.span) else { return }
    let key = keyOctets
    let octets = key.span
    let digest =
      span == WindowSpan.minute.rawValue ? digests.index(areas[span].load(entry, Field.distinct), of: entry) : nil
    let told = digest.map { tellChosen($0, octets.extracting(stored.server), span, entry, into: &output) } ?? 0
    let start = output.count
    let fields = fields(of: stored, span, entry, told: told)
    guard fields.count > 0 else {
      if let digest { digests.end(digest) }
      return
    }
    encoder.begin(
      fields, octets.extracting(stored.server), destination(of: stored), octets.extracting(stored.name), to: &output)
    let samples = areas[span].readExtra(of: entry, length: length, into: &extraOctets)
    switch stored.kind {
    case .name: encoder.appendMembers(extraOctets.span, to: &output)
    case .summary:
      appendCodes(to: &output)
      if let digest { append(digest, octets.extracting(stored.server), since: start, to: &output) }
    case .clientAggregate where digest != nil, .serverAggregate where digest != nil:
      if let digest { append(digest, octets.extracting(stored.server), since: start, to: &output) }
    case .quota:
      let coarser = AuditMembers(.records, areas[span].load(entry, Field.count) as UInt64)
      encoder.appendMembers(coarser.octets.span, to: &output)
    case .totals: encoder.appendMembers(totals(of: stored.code).octets.span, to: &output)
    case .domainAggregate, .clientAggregate, .serverAggregate, .domainGroup, .clientGroup, .serverGroup:
      encoder.appendSamples(extraOctets.span, count: samples, areNames: stored.code.isQuery, to: &output)
    }
    encoder.end(to: &output)
    charge(octets.extracting(stored.server), output.count - start)
    events &+= 1
  }

  /// Gives the records that were chosen from a window a line of their own, as long as the server has octets left, so that
  /// the window's line tells of the others; how many.
  private mutating func tellChosen(
    _ digest: Int, _ server: Span<UInt8>, _ span: Int, _ entry: UInt64, into output: inout [UInt8]
  ) -> UInt64 {
    let counted: UInt64 = areas[span].load(entry, Field.count)
    let index = quota.index(of: server)
    var told: UInt64 = 0
    for record in digests.takeChosen(digest) where told < counted && quota.mayTell(.destination, index) {
      write(record, of: index, for: .destination, into: &output)
      told += 1
    }
    suppressed -= min(told, suppressed)
    return told
  }

  /// Appends a digest, as much of it as the server has octets left for: of the shortest share a line a minute has 1,092.
  private mutating func append(_ digest: Int, _ server: Span<UInt8>, since start: Int, to output: inout [UInt8]) {
    let left = quota.left(quota.index(of: server))
    digests.append(digest, limit: max(min(left, 1 << 20), 1092) - (output.count - start), encoder, to: &output)
    digests.end(digest)
  }

  /// - Parameter told: how many of the window's records have lines of their own.
  private func fields(of stored: StoredKey, _ span: Int, _ entry: UInt64, told: UInt64) -> EventEncoder.Fields {
    let area = areas[span]
    let isName = stored.kind == .name
    let type: UInt16 = area.load(entry, Field.type)
    let last: UInt64 = area.load(entry, Field.last)
    return EventEncoder.Fields(
      code: stored.code, type: isName ? stored.type : type == 0 ? nil : .init(rawValue: type),
      transport: stored.code.isService ? nil : AuditTransport(rawValue: area.load(entry, Field.transport)),
      responseCode: .init(rawValue: area.load(entry, Field.responseCode)),
      payloadSize: stored.code.isService ? 0 : area.load(entry, Field.payloadSize), client: stored.client,
      clientPort: area.load(entry, Field.clientPort),
      wallClock: span >= WindowSpan.hour.rawValue ? max(last, wallClock) : last,
      // What it tells of was counted by other events.
      count: stored.kind == .quota ? 1 : area.load(entry, Field.count) &- told,
      interval: AuditEvent.Interval(first: area.load(entry, Field.first), last: last))
  }

  private func destination(of stored: StoredKey) -> EventEncoder.Destination {
    switch stored.kind {
    case .domainAggregate: stored.code.isQuery ? .anyUnder : .name
    case .clientAggregate, .serverAggregate, .summary, .quota, .totals: .any
    case .name, .domainGroup, .clientGroup, .serverGroup: .name
    }
  }

  /// The events made so far were written: frees the windows they ended.
  package mutating func commit() {
    for span in areas.indices { areas[span].free() }
  }

  /// When the next window with something to tell ends; nil when none has.
  package mutating func nextDeadline() -> UInt64? {
    var next: UInt64?
    for span in areas.indices where areas[span].pending > 0 {
      guard case .entry(let entry, _) = areas[span].oldest() else { continue }
      next = min(next ?? .max, areas[span].load(entry, Field.deadline))
    }
    return next
  }
}
