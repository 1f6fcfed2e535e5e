import Glibc

/// What a line tells of many destinations: how many different ones, the most frequent, and a uniform sample.
///
/// In memory of the process, about 36 KiB: with the process it is lost, and the line then has its count and five samples.
///
/// - `distinct` is a HyperLogLog of 1,024 registers: its standard error is 1.04/√1024 = 3.3 %, less below 2,560.
/// - `top` comes of 64 counters (Metwally, Agrawal, El Abbadi: space-saving, 2005): what is said of a destination is what
///   it had at least, at most one in 64 of all less than it had. So one that is more than one in 12 of all is among the 16.
/// - `samples` are a reservoir of 64: each record was taken with the same probability.
/// - Of clients that are not told apart, 16 records are kept whole for lines of their own, by a reservoir too.
struct Digest {
  static let samples = 64
  static let counters = 64
  /// Of the counters the line names so many.
  static let told = 16
  static let lines = 16
  private static let registers = 1024
  /// Octets of a destination: a wire name, or a text between its length and a zero.
  private static let room = 256

  /// Destinations one after the other, each in as many octets.
  private struct Slots {
    private var octets: [UInt8]
    private var isName: [Bool]

    init(_ count: Int) {
      octets = [UInt8](repeating: 0, count: count * Digest.room)
      isName = [Bool](repeating: false, count: count)
    }

    mutating func set(_ index: Int, _ octets: Span<UInt8>, isName: Bool) {
      let start = index * Digest.room
      for at in 0..<min(octets.count, Digest.room) { self.octets[start + at] = octets[at] }
      self.isName[index] = isName
    }

    func append(_ index: Int, _ encoder: borrowing EventEncoder, to output: inout [UInt8]) {
      let start = index * Digest.room
      let slot = octets.span.extracting(start..<(start + Digest.room))
      encoder.appendSample(slot.extracting(0..<EventEncoder.end(ofName: slot, 0)), isName: isName[index], to: &output)
    }
  }

  /// The window that it belongs to.
  private(set) var window: UInt64?
  private var seen: UInt64 = 0
  private var sketch: [UInt8] = []
  private var hashes: [UInt64] = []
  private var counts: [UInt64] = []
  /// What a counter may say too much.
  private var over: [UInt64] = []
  private var frequent = Slots(Self.counters)
  private var sampled = Slots(Self.samples)
  /// Records that get a line of their own, of so many that might.
  private var chosen: [AuditRecord] = []
  private var offered: UInt64 = 0
  private var random = QuickRandom()

  mutating func begin(_ window: UInt64) {
    self.window = window
    seen = 0
    offered = 0
    chosen.removeAll()
    sketch = [UInt8](repeating: 0, count: Self.registers)
    hashes.removeAll(keepingCapacity: true)
    counts.removeAll(keepingCapacity: true)
    over.removeAll(keepingCapacity: true)
  }

  mutating func end() { window = nil }

  /// Takes a record in.
  ///
  /// - Parameters:
  ///   - hash: of the destination.
  ///   - destination: what distinct ones and frequent ones are counted by.
  ///   - sample: what the sample names.
  mutating func add(_ hash: UInt64, _ destination: Span<UInt8>, _ sample: Span<UInt8>, isName: Bool) {
    let register = Int(truncatingIfNeeded: hash) & (Self.registers - 1)
    sketch[register] = max(sketch[register], UInt8((hash | 1023).leadingZeroBitCount + 1))
    count(hash, destination, isName: isName)
    let index = seen < Self.samples ? Int(seen) : Int(truncatingIfNeeded: random.next() % (seen + 1))
    if index < Self.samples { sampled.set(index, sample, isName: isName) }
    seen += 1
  }

  /// Keeps a record for a line of its own, with the probability that each of the window has.
  mutating func offer(_ record: borrowing AuditRecord) {
    offered += 1
    guard chosen.count == Self.lines else { return chosen.append(copy record) }
    let index = random.next() % offered
    if index < Self.lines { chosen[Int(index)] = copy record }
  }

  /// The records that are to have a line of their own, in the order of time; they are told once.
  mutating func takeChosen() -> [AuditRecord] {
    defer { chosen.removeAll() }
    return chosen.sorted { $0.header.wallClock < $1.header.wallClock }
  }

  private mutating func count(_ hash: UInt64, _ destination: Span<UInt8>, isName: Bool) {
    var least = 0
    for index in hashes.indices {
      if hashes[index] == hash {
        counts[index] += 1
        return
      }
      if counts[index] < counts[least] { least = index }
    }
    if hashes.count < Self.counters {
      frequent.set(hashes.count, destination, isName: isName)
      hashes.append(hash)
      counts.append(1)
      over.append(0)
      return
    }
    frequent.set(least, destination, isName: isName)
    hashes[least] = hash
    over[least] = counts[least]
    counts[least] += 1
  }

  /// Flajolet, Fusy, Gandouet, Meunier: HyperLogLog (2007), with linear counting while registers are free.
  private var distinct: UInt64 {
    let size = Double(Self.registers)
    let free = sketch.count { $0 == 0 }
    let sum = sketch.reduce(0.0) { $0 + 1 / Double(UInt64(1) << UInt64($1)) }
    let estimate = 0.7213 / (1 + 1.079 / size) * size * size / sum
    let isFew = estimate <= 2.5 * size && free > 0
    return min(UInt64((isFew ? size * log(size / Double(free)) : estimate).rounded()), seen)
  }

  /// Appends `,"distinct":…,"top":[…],"samples":[…]`: of both lists as much as there is room for.
  ///
  /// - Parameter limit: octets; half of them are for `top`. The last of each list may go beyond.
  func append(limit: Int, _ encoder: borrowing EventEncoder, to output: inout [UInt8]) {
    let start = output.count
    output.append(key: AuditMembers.Number.distinct)
    output.append(decimal: distinct)
    output.append(key: AuditMembers.Shaped.top)
    output.append(UInt8(ascii: "["))
    let order = counts.indices.sorted { counts[$0] - over[$0] > counts[$1] - over[$1] }
    for (number, index) in order.prefix(Self.told).enumerated() where output.count - start < limit / 2 {
      if number > 0 { output.append(UInt8(ascii: ",")) }
      output.append(UInt8(ascii: "{"))
      output.append(key: EventKey.destination, isFirst: true)
      output.append(UInt8(ascii: "\""))
      frequent.append(index, encoder, to: &output)
      output.append(UInt8(ascii: "\""))
      output.append(key: EventKey.count)
      output.append(decimal: counts[index] - over[index])
      output.append(UInt8(ascii: "}"))
    }
    output.append(UInt8(ascii: "]"))
    output.append(key: AuditMembers.List.samples)
    output.append(UInt8(ascii: "["))
    for index in 0..<Int(min(seen, UInt64(Self.samples))) where output.count - start < limit {
      if index > 0 { output.append(UInt8(ascii: ",")) }
      output.append(UInt8(ascii: "\""))
      sampled.append(index, encoder, to: &output)
      output.append(UInt8(ascii: "\""))
    }
    output.append(UInt8(ascii: "]"))
  }
}

/// The digests of the windows that are open.
///
/// Memory: `perServer` of a server at a time (8, more where there are few servers), one for its summary, and one for each
/// code of its clients that are not told apart.
struct Digests {
  static let total = 512

  private let servers: Int
  private var digests: [Digest] = []
  private var owners: [Int] = []
  private var free: [Int] = []
  /// Open ones of each server.
  private var open: [Int] = []

  init(servers: Int) { self.servers = servers }

  var perServer: Int { max(8, min(64, Self.total / max(servers, open.count, 1))) }

  /// The digest's number and one; 0 where a server has as many as it may.
  ///
  /// - Parameter isOfServer: whether it is of no client: of these there are always enough.
  mutating func begin(_ window: UInt64, server: Int, isOfServer: Bool) -> UInt32 {
    while open.count <= server { open.append(0) }
    guard isOfServer || open[server] < perServer else { return 0 }
    if free.isEmpty {
      free.append(digests.count)
      digests.append(Digest())
      owners.append(0)
    }
    let index = free.removeLast()
    digests[index].begin(window)
    owners[index] = server
    open[server] += 1
    return UInt32(index + 1)
  }

  /// The index of a window's digest: none where it has no number, or one of another run.
  func index(_ number: UInt32, of window: UInt64) -> Int? {
    let index = Int(number) - 1
    return digests.indices.contains(index) && digests[index].window == window ? index : nil
  }

  mutating func add(
    _ index: Int, _ hash: UInt64, _ destination: Span<UInt8>, _ sample: Span<UInt8>, isName: Bool
  ) {
    digests[index].add(hash, destination, sample, isName: isName)
  }

  mutating func offer(_ index: Int, _ record: borrowing AuditRecord) { digests[index].offer(record) }

  mutating func takeChosen(_ index: Int) -> [AuditRecord] { digests[index].takeChosen() }

  func append(_ index: Int, limit: Int, _ encoder: borrowing EventEncoder, to output: inout [UInt8]) {
    digests[index].append(limit: limit, encoder, to: &output)
  }

  mutating func end(_ index: Int) {
    digests[index].end()
    open[owners[index]] -= 1
    free.append(index)
  }
}
