import DNSWire
import IPNetwork

/// The addresses of one server: those of open elements, and the last ones that closed.
struct AddressTable {
  struct Entry {
    var address: IPAddress
    var firstOpening = Slot.none
    /// Who held it last, once no name or another one does.
    var name: Name?
    /// Neighbours among the closed, in the order of their closing.
    var next = Slot.none
    var previous = Slot.none
  }

  private var records = Slab<Entry>()
  private var slots: [IPAddress: Slot] = [:]
  private var oldestClosed = Slot.none
  private var newestClosed = Slot.none
  private(set) var closedCount = 0
  /// How many closed addresses are kept.
  var maxClosed = 0
  /// Addresses that came in since they were taken note of.
  var arrivals: [IPAddress] = []

  subscript(slot: Slot) -> Entry {
    get { records[slot] }
    _modify { yield &records[slot] }
  }

  func slot(of address: IPAddress) -> Slot? { slots[address] }

  /// The entry of an address where something is about to open.
  mutating func open(_ address: IPAddress) -> Slot {
    guard let slot = slots[address] else {
      let slot = records.insert(Entry(address: address))
      slots[address] = slot
      arrivals.append(address)
      return slot
    }
    if records[slot].firstOpening == .none { unlink(slot) }
    return slot
  }

  /// Remembers an address where nothing is open any more, instead of the oldest one.
  mutating func close(_ slot: Slot) {
    records[slot].previous = newestClosed
    records[slot].next = .none
    if newestClosed == .none { oldestClosed = slot } else { records[newestClosed].next = slot }
    newestClosed = slot
    closedCount += 1
    while closedCount > maxClosed {
      let oldest = oldestClosed
      unlink(oldest)
      slots[records[oldest].address] = nil
      records[oldest].name = nil
      records.remove(oldest)
    }
  }

  /// Visits the closed entries, the one that closed last first.
  func forEachClosed(_ body: (Entry) -> Void) {
    var slot = newestClosed
    while slot != .none {
      body(records[slot])
      slot = records[slot].previous
    }
  }

  private mutating func unlink(_ slot: Slot) {
    let (next, previous) = (records[slot].next, records[slot].previous)
    if next == .none { newestClosed = previous } else { records[next].previous = previous }
    if previous == .none { oldestClosed = next } else { records[previous].next = next }
    closedCount -= 1
  }
}
