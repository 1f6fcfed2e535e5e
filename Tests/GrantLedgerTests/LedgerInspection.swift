import DNSWire
import Testing

@testable import GrantLedger

/// One hold, as the ledger has it.
struct HoldRecord: Hashable {
  var key: GrantLedger.Key
  var element: GrantElement
  var until: UInt64
  var caps: UInt16
}

extension GrantLedger {
  /// Every hold of every server, live or not, committed or not.
  func dump() -> Set<HoldRecord> {
    var records: Set<HoldRecord> = []
    for grants in servers {
      for (key, question) in grants.questionSlots {
        var hold = grants.questions[question].firstHold
        while hold != .none {
          let record = grants.holds[hold]
          records.insert(
            HoldRecord(
              key: key, element: grants.openings[record.opening].element, until: record.until, caps: record.caps))
          hold = record.nextOfQuestion
        }
      }
    }
    return records
  }

  /// Whether nothing is on its way, or was lost there.
  var isSettled: Bool {
    servers.allSatisfy { $0.evictable.count + $0.promised.count == $0.openings.count }
  }

  /// Checks that what is kept twice agrees.
  func checkConsistency(now: UInt64) {
    for grants in servers { grants.checkConsistency(now: now) }
  }
}

extension ServerGrants {
  fileprivate func checkConsistency(now: UInt64) {
    let slots = dueOpenings.slots(dueBy: .max)
    #expect(slots.count == openings.count && Set(slots).count == slots.count)
    #expect(questionSlots.count == questions.count && dueQuestions.count == questions.count)
    var (holdCount, queued) = (0, 0)
    for slot in slots {
      let opening = openings[slot]
      #expect(self.opening(of: opening.element) == slot)
      var (hold, previous, inFlight, until, answerUntil) = (opening.firstHold, Slot.none, 0, UInt64(0), UInt64(0))
      var stamp: UInt64 = 0
      while hold != .none {
        let record = holds[hold]
        #expect(record.opening == slot && record.previousOfOpening == previous && record.stamp >= stamp)
        inFlight += record.isPlanned ? 1 : 0
        (until, answerUntil) = (max(until, record.until), max(answerUntil, record.answerUntil))
        (previous, stamp, hold) = (hold, record.stamp, record.nextOfOpening)
        holdCount += 1
      }
      #expect(opening.lastHold == previous && opening.inFlight == inFlight)
      #expect(
        until == opening.requestedUntil || opening.requestedUntil <= now && until <= now,
        "an element is open for as long as a question holds it")
      #expect(opening.committedUntil <= opening.requestedUntil && opening.committedCaps & ~opening.requestedCaps == 0)
      let isWaiting = inFlight > 0 || opening.committedUntil == 0
      let queues = (promised.contains(slot) ? 1 : 0) + (evictable.contains(slot) ? 1 : 0)
      #expect(queues == (isWaiting ? 0 : 1))
      #expect(!evictable.contains(slot) || opening.protectedUntil == 0)
      #expect(answerUntil <= now || opening.protectedUntil >= answerUntil)
      queued += queues
    }
    #expect(promised.count + evictable.count == queued)
    for question in questionSlots.values {
      var (hold, count, until) = (questions[question].firstHold, 0, UInt64(0))
      var inFlight = 0
      while hold != .none {
        count += 1
        inFlight += holds[hold].isPlanned ? 1 : 0
        #expect(holds[hold].answerUntil <= questions[question].answerUntil)
        until = max(until, holds[hold].until)
        hold = holds[hold].nextOfQuestion
      }
      #expect(inFlight == questions[question].inFlight && answered.contains(question) == (inFlight == 0))
      #expect(count == questions[question].holdCount && count > 0 && until <= questions[question].until)
      holdCount -= count
    }
    #expect(holdCount == 0)
    #expect(addressTable.closedCount <= addressTable.maxClosed)
  }
}
