import AuditLog

/// Counts events by one of their members in bounded memory: of more than `capacity` values the rarer half goes.
package struct LogTally: LogSink {
  /// A value of the member, and what is known of the events that have it.
  package struct Row: Sendable {
    /// Safe to print.
    package let key: String
    /// An event that stands for several counts as many.
    package let count: UInt64
    package let decisions: [String]
    /// The time of the last, in milliseconds since 1970; nil where none has one.
    package let last: Int64?
  }

  private struct Entry {
    var hash: Int
    var key: Range<Int>
    var count: UInt64 = 0
    /// One bit for each of `decisions`.
    var decisions: UInt64 = 0
    /// Milliseconds since 1970.
    var last = Int64.min
  }

  /// Different values at most.
  package static let capacity = 500_000

  private let member: LogLine.Member
  private let capacity: Int
  /// The keys of all entries as they stand in the log, one after the other.
  private var keys: [UInt8] = []
  private var entries: [Entry] = []
  /// Indexes of `entries` and one, by hash; 0 is free. A power of two, at most half full.
  private var table = [UInt32](repeating: 0, count: 1024)
  private var decisions: [[UInt8]] = []
  /// Some were let go: counts may be too low.
  package private(set) var isPartial = false

  package init(by member: LogLine.Member, capacity: Int = Self.capacity) {
    self.member = member
    self.capacity = max(capacity, 2)
  }

  /// Counts an event by its value; left out is what no policy is about, what an operator asked, what lacks the member.
  package mutating func add(_ line: borrowing LogLine) {
    // What no policy is about would be the most frequent on most hosts.
    if let code = line[.code], AuditCode.special.isSpelled(code) { return }
    // What an operator asked in a client's name, the client did not; and that it was asked, no server did.
    if line.isByOperator { return }
    if let code = line[.code], AuditCode.askedByOperator.isSpelled(code) { return }
    // What tells of other lines would count their names, servers and clients once more.
    if member != .code, let code = line[.code], AuditCode.countedElsewhere.contains(where: { $0.isSpelled(code) }) {
      return
    }
    // Some events of the service itself are about nothing that has a name.
    guard let key = line[member], !key.isEmpty else { return }
    let index = entry(for: key)
    entries[index].count &+= line.count
    if let decision = line[.decision] { entries[index].decisions |= bit(of: decision) }
    if let time = line.time { entries[index].last = max(entries[index].last, time) }
    if entries.count > capacity { shrink() }
  }

  /// Nothing is handed on before the end.
  package func part(isEnd: Bool) -> Never? { nil }

  /// Takes in what another one counted by the same member.
  package mutating func add(_ other: LogTally) {
    isPartial = isPartial || other.isPartial
    let bits = other.decisions.map { bit(of: $0[...]) }
    for entry in other.entries {
      let index = self.entry(for: other.keys[entry.key])
      entries[index].count &+= entry.count
      entries[index].last = max(entries[index].last, entry.last)
      for (number, bit) in bits.enumerated() where entry.decisions >> UInt64(number) & 1 == 1 {
        entries[index].decisions |= bit
      }
      if entries.count > capacity { shrink() }
    }
  }

  /// The most frequent, at most `limit`.
  package func first(_ limit: Int) -> [Row] {
    let bound = entries.map(\.count).sorted(by: >).dropFirst(max(limit, 1) - 1).first ?? 0
    let rows = entries.filter { $0.count >= bound }.map { entry in
      Row(
        key: LogLine.text(keys[entry.key]), count: entry.count,
        decisions: decisions.indices.filter { entry.decisions >> UInt64($0) & 1 == 1 }
          .map { LogLine.text(decisions[$0][...]) }.sorted(),
        last: entry.last < 0 ? nil : entry.last)
    }
    return Array(rows.sorted { ($1.count, $0.key) < ($0.count, $1.key) }.prefix(limit))
  }

  // MARK: - The table

  private mutating func entry(for key: ArraySlice<UInt8>) -> Int {
    var hasher = Hasher()  // seeded: names are chosen by the clients
    unsafe key.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
    let hash = hasher.finalize()
    var slot = hash & (table.count - 1)
    while table[slot] != 0 {
      let index = Int(table[slot]) - 1
      if entries[index].hash == hash, keys[entries[index].key].elementsEqual(key) { return index }
      slot = (slot + 1) & (table.count - 1)
    }
    entries.append(Entry(hash: hash, key: keys.count..<(keys.count + key.count)))
    keys.append(contentsOf: key)
    table[slot] = UInt32(entries.count)
    if entries.count * 2 > table.count { fill(table.count * 2) }
    return entries.count - 1
  }

  private mutating func fill(_ size: Int) {
    table = [UInt32](repeating: 0, count: size)
    for index in entries.indices {
      var slot = entries[index].hash & (size - 1)
      while table[slot] != 0 { slot = (slot + 1) & (size - 1) }
      table[slot] = UInt32(index + 1)
    }
  }

  private mutating func shrink() {
    isPartial = true
    entries.sort { $0.count > $1.count }
    entries.removeLast(entries.count - capacity / 2)
    var kept: [UInt8] = []
    for index in entries.indices {
      let start = kept.count
      kept.append(contentsOf: keys[entries[index].key])
      entries[index].key = start..<kept.count
    }
    keys = kept
    fill(table.count)
  }

  /// Beyond 63 different decisions, which a log never has, all others are one.
  private mutating func bit(of decision: ArraySlice<UInt8>) -> UInt64 {
    if let index = decisions.firstIndex(where: { $0.elementsEqual(decision) }) { return 1 << UInt64(index) }
    guard decisions.count < 63 else { return 1 << 62 }
    decisions.append(Array(decision))
    return 1 << UInt64(decisions.count - 1)
  }
}
