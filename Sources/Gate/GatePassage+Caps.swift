import DNSWire
import GateModel

/// What a connection may send, and what is told of it.
extension GatePassage {
  /// Whether it may send so many octets more; else it has ended with the record of that.
  func isWithin(_ octets: Int) -> Bool {
    guard octets > 0, let room = meter.room(gate.hours, now: now), room.octets < octets else { return true }
    tell(GateVerdict(beyond: room.kind, isCut: true))
    reset()
    return false
  }

  /// What came in is what it sends: told of before more is taken.
  func countTaken() {
    guard !meter.isUnbounded, up.taken > counted else { return }
    let beyond = meter.count(UInt64(up.taken - counted), &gate.hours, now: now)
    counted = up.taken
    for kind in beyond {
      tell(GateVerdict(beyond: kind, isCut: false))
      if gate.isServed { awaitedRecords += 1 }
    }
  }

  func tell(_ verdict: GateVerdict) {
    var told = connection(verdict, ClientHello())
    (told.said, told.length) = (name?.description ?? "", UInt32(clamping: meter.sent))
    gate.say(.judged(connection: id, told))
  }
}
