import DNSWire
import IPNetwork

/// What was open for one server, from when to when and for which name: what a packet met is told by the moment of the packet,
/// which the kernel tells of later.
///
/// A record of what was, beside the state of what is. Bounded: of addresses at which nothing is open any more the oldest are
/// forgotten, and of one address the earliest ends.
struct AddressHistory {
  /// An element that was open for a name. Times are nanoseconds of the monotonic clock.
  struct Span {
    var key: GrantLedger.Key
    var transport: UInt8
    var port: UInt16
    var caps: UInt16
    var from: UInt64
    /// The end that was promised, or when it was closed before.
    var until: UInt64
    var ending: GrantLedger.Ending?

    func admits(_ transport: UInt8, _ port: UInt16) -> Bool {
      self.transport == 0 || (self.transport == transport && self.port == port)
    }
  }

  private static let maximumSpans = 16
  /// Of all addresses together; beyond it an address keeps one.
  private static let maximumInAll = 262_144

  private var count = 0

  private var spans: [IPAddress: [Span]] = [:]
  /// The addresses in the order of their coming; those that are still open when their turn comes begin again.
  private var order: [IPAddress] = []
  private var oldest = 0

  /// An answer that opens, or keeps open, an element for a name was promised.
  ///
  /// - Parameter bound: addresses that are kept at least.
  mutating func opened(_ span: Span, at address: IPAddress, now: UInt64, bound: Int) {
    guard let place = spans.index(forKey: address) else {
      order.append(address)
      makeRoom(now, bound - 1)
      count += 1
      spans[address] = [span]
      return
    }
    // In place, and not held twice meanwhile.
    var known: [Span] = []
    swap(&known, &spans.values[place])
    defer { swap(&known, &spans.values[place]) }
    if let index = known.firstIndex(where: {
      $0.key == span.key && $0.transport == span.transport && $0.port == span.port && $0.until >= now
    }) {
      known[index].until = max(known[index].until, span.until)
      known[index].caps = span.caps
      known[index].ending = span.ending
      known.append(known.remove(at: index))
    } else {
      let isFull = known.count == Self.maximumSpans || count >= Self.maximumInAll && !known.isEmpty
      if isFull, let first = known.indices.min(by: { known[$0].until < known[$1].until }) {
        known.remove(at: first)
        count -= 1
      }
      known.append(span)
      count += 1
    }
  }

  /// What is open of an element stays so for longer, for those who have it.
  mutating func extend(_ element: GrantElement, until: UInt64, now: UInt64) {
    change(element.address) { span in
      if span.transport == element.transport, span.port == element.port, span.until > now {
        span.until = max(span.until, until)
      }
    }
  }

  /// An element was closed before its time, for every name.
  mutating func ended(_ element: GrantElement, _ ending: GrantLedger.Ending, now: UInt64) {
    change(element.address) { span in
      guard span.transport == element.transport, span.port == element.port, span.until > now else { return }
      (span.until, span.ending) = (now, ending)
    }
  }

  /// What was held for some questions ended before its time.
  mutating func ended(
    _ ending: GrantLedger.Ending, now: UInt64, server: UInt16, where condition: (GrantLedger.Key) -> Bool,
    keeping: (GrantLedger.Key, GrantElement) -> Bool
  ) {
    for address in spans.keys {
      change(address) { span in
        guard span.until > now, condition(span.key) else { return }
        let element = GrantElement(server: server, address: address, transport: span.transport, port: span.port)
        if !keeping(span.key, element) { (span.until, span.ending) = (now, ending) }
      }
    }
  }

  private mutating func change(_ address: IPAddress, _ body: (inout Span) -> Void) {
    guard var known = spans[address] else { return }
    for index in known.indices { body(&known[index]) }
    spans[address] = known
  }

  private mutating func makeRoom(_ now: UInt64, _ bound: Int) {
    // Not more than what came, each time: an address that is open is passed by.
    for _ in 0..<4 where spans.count > bound && oldest < order.count {
      let address = order[oldest]
      oldest += 1
      if spans[address]?.contains(where: { $0.until > now }) ?? false {
        order.append(address)
      } else {
        count -= spans.removeValue(forKey: address)?.count ?? 0
      }
    }
    if oldest > 1_024, oldest * 2 > order.count {
      order.removeFirst(oldest)
      oldest = 0
    }
  }

  /// What a packet met at a time; nil where nothing had been open until then, as far as is known.
  func standing(of address: IPAddress, transport: UInt8, port: UInt16, at time: UInt64) -> GrantLedger.GrantStatus? {
    guard let known = spans[address] else { return nil }
    let open = known.filter { $0.from <= time && time < $0.until }
    if let last = open.last(where: { $0.admits(transport, port) }) { return .open(last.key.name) }
    if let last = open.last { return .wrongPort(last.key.name) }
    var last: Span?
    for span in known where span.until <= time && span.until >= last?.until ?? 0 { last = span }
    guard let last else { return nil }
    return .closed(
      GrantLedger.Closed(name: last.key.name, opened: last.from, closed: last.until, ending: last.ending))
  }

  /// The name under whose caps an address stood at a time, the last promised first; else one that did before.
  func cappedName(of address: IPAddress, transport: UInt8, port: UInt16, caps: UInt16, at time: UInt64) -> Name? {
    let capped = (spans[address] ?? []).filter {
      $0.caps & caps != 0 && $0.from <= time && $0.admits(transport, port)
    }
    return (capped.last { $0.until > time } ?? capped.max { $0.until < $1.until })?.key.name
  }

  /// What is not open any more, the latest end last; at most `limit`.
  func closed(now: UInt64, limit: Int) -> [(address: IPAddress, span: Span)] {
    var past: [(address: IPAddress, span: Span)] = []
    func prune() {
      past.sort { $0.span.until < $1.span.until }
      past.removeFirst(max(past.count - limit, 0))
    }
    for (address, known) in spans {
      for span in known where span.until <= now { past.append((address, span)) }
      if past.count >= 4 * limit { prune() }
    }
    prune()
    return past
  }
}
