import FirewallModel
import LinuxIO
import NFTables

/// Telling serve which connections the table refused.
extension BridgeWorker {
  func report(_ reader: RefusalReader) {
    guard let writer else {
      _ = reader.drain { _ in }
      return
    }
    let isWhole = reader.drain { packet in
      guard var connection = writer.connection(of: packet) else { return }
      // The kernel's log says nothing of it, and the connection may be gone: then the packet's own octets stand.
      if connection.kind.isExcess, let sent = try? sentOctets(packet) { connection.length = UInt32(clamping: sent) }
      untold.append(connection)
    }
    // How many the kernel left out shows in the books.
    if !isWhole { lostRefusals += 1 }
    tellRefusals()
  }

  /// Tells serve what it has room for. The rest waits here, as much as one turn takes from the kernel, and then there: should
  /// serve stand still, feeding goes on.
  func tellRefusals() {
    guard let plan = writer?.plan else { return untold.removeAll() }
    let told = untold.tell(atOnce: BridgeMessage.maximumRefusals) { sendNotice(.refusals($0)) }
    for connection in told where connection.kind.isRefusal {
      books?.count(connection.book(in: plan), at: connection.time)
    }
    guard untold.isEmpty, lostRefusals > 0 else { return }
    if sendNotice(.notice("refused connections left no event, too many at once: the counts of the minute have them")) {
      lostRefusals = 0
    }
  }

  /// What the sender of a packet sent over its connection; nil where there is none any more.
  private func sentOctets(_ packet: RefusedPacket) throws(SystemError) -> UInt64? {
    if connections == nil { connections = try ConnectionTable() }
    return try connections?.sentOctets(packet)
  }

  // MARK: - Books

  /// Between two readings that close the books, and between two while packets are refused: what a foreign flush takes along
  /// is no more than that.
  private static let bookPeriod: UInt64 = 60_000_000_000
  private static let readingPause: UInt64 = 5_000_000_000
  /// The kernel's log hands out what it holds within 50 ms; some more for a busy host.
  private static let settling: UInt64 = 200_000_000

  /// When something is to be done for the books, on the monotonic clock.
  var nextBookkeeping: UInt64 { books.map { bookTimes.next(isBusy: $0.isBusy) } ?? .max }

  /// Begins books for a plan that is in force, or goes on with them: the counters outlive a plan.
  func openBooks(_ plan: FirewallPlan) {
    guard plan.mode == .managed else {
      books = nil
      return
    }
    if books == nil {
      guard let counts = counted(plan) else { return }
      let now = MonotonicTime.now().nanoseconds
      books = RefusalBooks(counts, dropped: closing.dropped(reading: kernel) ?? 0, at: WallClock.nanoseconds())
      bookTimes = BookTimes(closes: now &+ Self.bookPeriod, reads: now &+ Self.readingPause, settles: nil)
    } else {
      books?.retain(plan.servers.filter { !$0.isGone }.map(\.name) + [Ruleset.hostName])
    }
  }

  /// Reads and closes what is due.
  func keepBooks() {
    guard let books else { return }
    let now = MonotonicTime.now().nanoseconds
    switch bookTimes.due(now, isBusy: books.isBusy) {
    case .closing: closeBooks()
    case .lastReading:
      readBooks(closes: true)
      bookTimes.settles = now &+ Self.settling
    case .reading: readBooks(closes: false)
    case nil: break
    }
  }

  /// Before the table is written anew: what its counters hold is known, and what they lost is said.
  func settleBooks(closes: Bool) {
    guard books != nil else { return }
    if bookTimes.settles != nil { closeBooks() }
    readBooks(closes: closes)
    if closes { closeBooks() }
  }

  /// Closes the books before their time: serve ends, and what is not in them is never told. Where the kernel's log may
  /// still hold some of it, that is waited for.
  func closeBooks(for request: UInt32) {
    if bookTimes.settles != nil { closeBooks() }
    bookTimes.request = request
    if let reader = refusalLog.reader { report(reader) }
    readBooks(closes: true)
    guard let books, !books.isBalanced else { return closeBooks() }
    bookTimes.settles = MonotonicTime.now().nanoseconds &+ Self.settling
  }

  private func readBooks(closes: Bool) {
    let now = MonotonicTime.now().nanoseconds
    bookTimes.reads = now &+ Self.readingPause
    if closes { bookTimes.closes = now &+ Self.bookPeriod }
    guard let plan = writer?.plan, let counts = counted(plan) else { return }
    books?.read(
      counts, dropped: closing.dropped(reading: kernel), at: WallClock.nanoseconds(), closes: closes)
  }

  private func closeBooks() {
    bookTimes.settles = nil
    if let reader = refusalLog.reader { report(reader) }
    var rest = books?.close()[...] ?? []
    while !rest.isEmpty {
      let part = rest.prefix(BridgeMessage.maximumBooks)
      rest = rest.dropFirst(part.count)
      answer(.books(Array(part)))
    }
    guard let request = bookTimes.request else { return }
    bookTimes.request = nil
    answer(.done(request: request, refusal: nil, flows: 0, text: ""))
  }

  private func counted(_ plan: FirewallPlan) -> [String: UInt64]? {
    // Without an answer these books stay open until the next reading.
    guard let found = try? kernel.counters(family: plan.family, table: plan.table) else { return nil }
    return Dictionary(
      found.compactMap { name, counts in Ruleset.counted(by: name).map { ($0, counts.packets) } },
      uniquingKeysWith: { first, _ in first })
  }
}

/// When what is done for the books, on the monotonic clock.
struct BookTimes {
  enum Work {
    case reading
    /// The one that closes them, once what it read is told.
    case lastReading
    case closing
  }

  var closes: UInt64 = .max
  var reads: UInt64 = .max
  /// When those that were read are closed: what the kernel's log still held of them has come by then.
  var settles: UInt64?
  /// Asked for these books, and is answered once they are told.
  var request: UInt32?

  /// - Parameter isBusy: packets are being refused.
  func next(isBusy: Bool) -> UInt64 { settles ?? (isBusy ? min(closes, reads) : closes) }

  /// What is to be done now, if anything is.
  func due(_ now: UInt64, isBusy: Bool) -> Work? {
    guard now >= next(isBusy: isBusy) else { return nil }
    if settles != nil { return .closing }
    return now >= closes ? .lastReading : .reading
  }
}

extension RefusedConnection {
  /// Whose counter counted it.
  fileprivate func book(in plan: FirewallPlan) -> String {
    guard let server, Int(server) < plan.servers.count else { return Ruleset.hostName }
    return plan.servers[Int(server)].name
  }
}

extension ElementWriter {
  /// Reads the table's own prefix: `sluice SERVER [WHY] `; nil for what no rule of the table logged.
  func connection(of packet: RefusedPacket) -> RefusedConnection? {
    let words = packet.prefix.split(separator: " ")
    guard words.count == 2 || words.count == 3, words[0] == "sluice" else { return nil }
    var kind = RefusedConnection.Kind.closed
    if words.count == 3 {
      switch words[2] {
      case "max-bytes": kind = .maxBytes
      case "max-bytes-per-hour": kind = .maxBytesPerHour
      case "over-max-bytes" where words[1] != "host": kind = .overMaxBytes
      case "over-max-bytes-per-hour" where words[1] != "host": kind = .overMaxBytesPerHour
      case "spoofed": kind = .spoofed
      case "denied" where words[1] != "host": kind = .denied
      case "unconnected" where words[1] != "host": kind = .unconnected
      case "unreachable" where words[1] != "host": kind = .unreachable
      case "held" where words[1] == "host": kind = .held
      case "inbound" where words[1] == "host": kind = .inbound
      default: return nil
      }
    }
    let server = serverIndex(String(words[1]))
    if server == nil, kind == .closed {
      guard words[1] == "host" else { return nil }
      kind = .host
    }
    return RefusedConnection(
      server: server, kind: kind, source: packet.source, sourcePort: packet.sourcePort,
      destination: packet.destination, transport: packet.transport, port: packet.port, length: packet.length,
      time: packet.time)
  }
}
