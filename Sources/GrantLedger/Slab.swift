/// The number of a record in a slab.
typealias Slot = Int32

extension Slot {
  /// No record.
  static let none: Slot = -1
}

/// Records that are referred to by number: freed numbers are used again, so that links need no allocation each.
struct Slab<Record> {
  private var records: [Record] = []
  private var free: [Slot] = []

  var count: Int { records.count - free.count }

  /// Every number that was given out, freed ones among them.
  var numbers: Range<Slot> { 0..<Slot(records.count) }

  subscript(slot: Slot) -> Record {
    get { records[Int(slot)] }
    _modify { yield &records[Int(slot)] }
  }

  mutating func insert(_ record: Record) -> Slot {
    if let slot = free.popLast() {
      records[Int(slot)] = record
      return slot
    }
    records.append(record)
    return Slot(records.count - 1)
  }

  mutating func remove(_ slot: Slot) {
    free.append(slot)
  }
}
