/// How events of the service that come in great numbers become sums, of a server that is over its share of the log.
extension Coalescer {
  /// What follows the key of the window that sums them up: fields of 8 octets.
  private enum Total {
    /// The numbers that the events say, each in a field.
    static let sums = 0
    /// The time of the records that are coming in: those of one time are of one interval.
    static let time = 16
    /// Of those, how many were told one by one, and how many were summed up.
    static let told = 24
    static let summed = 32
    /// The most that were summed up of one time.
    static let most = 40
    static let octets = 48
  }

  /// What sums are made of: the members of the events, and what it is called how many there were at a time.
  struct Totals {
    /// Up to two.
    let members: [AuditMembers.Number]
    /// Nil where it is not said.
    let most: AuditMembers.Number?
    /// How many are told one by one at a time, by the grain of their server.
    let coarse: UInt64
    let coarsest: UInt64

    static func of(_ code: AuditCode) -> Totals? {
      switch code {
      case .egressVolume: egressVolume
      case .revoked: revoked
      default: nil
      }
    }

    private static let egressVolume = Totals(
      members: [.bytes, .packets], most: .destinations, coarse: 64, coarsest: 0)
    // One for each server and change of what is allowed, which no container makes.
    private static let revoked = Totals(
      members: [.addressCount, .flowsCut], most: nil, coarse: 64, coarsest: 16)
  }

  /// Takes in an event of the service; false when there is no room, and nothing was done.
  mutating func absorbService(_ record: borrowing AuditRecord, now: UInt64, into output: inout [UInt8]) -> Bool {
    let server = quota.index(of: record.octets.span.extracting(record.server))
    if let totals = Totals.of(record.header.code) {
      let grain = quota.grain(server, now: now)
      if grain != .fine {
        guard hasRoom else { return false }
        let limit = grain == .coarse ? totals.coarse : totals.coarsest
        if isSummed(record, totals, limit: limit, now) { return true }
      }
    }
    write(record, of: server, for: .destination, into: &output)
    return true
  }

  /// Sums a record up, if of its time so many were told already.
  private mutating func isSummed(
    _ record: borrowing AuditRecord, _ totals: Totals, limit: UInt64, _ now: UInt64
  ) -> Bool {
    key.set(.totals, record)
    let window: Window
    if let entry = areas[WindowSpan.minute.rawValue].find(key) {
      window = Window(.minute, entry)
    } else {
      window = openCounts(Total.octets, now)
    }
    let start = areas[window.span].extraField(of: window.entry)
    if load(window, start + Total.time) != record.header.wallClock {
      store(record.header.wallClock, window, start + Total.time)
      store(0 as UInt64, window, start + Total.told)
      store(0 as UInt64, window, start + Total.summed)
    }
    let told: UInt64 = load(window, start + Total.told)
    guard told >= limit else {
      store(told + 1, window, start + Total.told)
      return false
    }
    let members = record.octets.span.extracting(record.members)
    for (number, member) in totals.members.enumerated() {
      let field = start + Total.sums + number * 8
      let sum: UInt64 = load(window, field)
      store(sum &+ (AuditMembers.number(member, in: members) ?? 0), window, field)
    }
    let summed: UInt64 = load(window, start + Total.summed) &+ 1
    store(summed, window, start + Total.summed)
    store(max(load(window, start + Total.most), summed), window, start + Total.most)
    noteQuota(record, now)
    count(record, in: window)
    return true
  }

  /// `bytes`, `packets` and `destinations` of the sums that are in `extraOctets`.
  func totals(of code: AuditCode) -> AuditMembers {
    var members = AuditMembers()
    guard let totals = Totals.of(code), extraOctets.count >= Total.octets else { return members }
    for (number, member) in totals.members.enumerated() {
      members.append(member, counted(at: Total.sums + number * 8))
    }
    if let most = totals.most { members.append(most, counted(at: Total.most)) }
    return members
  }
}
