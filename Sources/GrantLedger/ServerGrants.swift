import DNSWire
import IPNetwork

/// What is open for one server: questions, the elements that they hold, and the addresses of those.
///
/// Questions and elements are many to many; a `Hold` is one pair, linked into a list of each side, so that either end
/// is found from the other at the cost of what is found. Nothing here knows of other servers.
struct ServerGrants {
  /// What every server is bounded by.
  struct Limits {
    var lifetimes: GrantLedger.Lifetimes
    var elements: Int
    var elementsPerName: Int
    /// Names times elements: each may be many, their product must not.
    var holds: Int
  }

  struct Question {
    var key: GrantLedger.Key
    /// Not before the latest end of its holds.
    var until: UInt64
    /// What its last answer promised, and until when.
    var promise: [GrantElement] = []
    var promisedUntil: UInt64 = 0
    /// Until when a client may rely on an answer.
    var answerUntil: UInt64 = 0
    /// How many of its holds have been planned and not promised yet.
    var inFlight = 0
    var firstHold = Slot.none
    var holdCount = 0
  }

  struct Opening {
    var element: GrantElement
    var addressSlot: Slot
    var nextOfAddress: Slot
    /// Never before `committedUntil`; the latest end of its holds.
    var requestedUntil: UInt64
    var committedUntil: UInt64 = 0
    var epoch: UInt64
    /// When this record came to be or was shortened: older acks speak of what the kernel no longer holds.
    var since: UInt64
    /// When the element was opened first, possibly by an earlier run of serve.
    var opened: UInt64
    /// Until when some live answer promises it.
    var protectedUntil: UInt64 = 0
    var requestedCaps: UInt16 = 0
    /// Never more than `requestedCaps`.
    var committedCaps: UInt16 = 0
    /// When a cap was last left out: older acks of it are overtaken.
    var capsSince: UInt64 = 0
    /// How many holds have been planned and not promised yet.
    var inFlight: Int32 = 0
    /// Holds in the order of their promises; those never promised come first.
    var firstHold = Slot.none
    var lastHold = Slot.none
    /// The pass that saw this record last, and the hold that it found.
    var mark: UInt64 = 0
    var found = Slot.none
  }

  /// What a question holds of an element: everything asked for on its behalf that may still be open, by earlier
  /// answers too. A name whose addresses rotate must take all of them with it when policy drops it.
  struct Hold {
    var question: Slot
    var opening: Slot
    /// Until when this question wants it, whatever others want.
    var until: UInt64
    /// Until when a client may rely on an answer.
    var answerUntil: UInt64 = 0
    /// The number of the last promise; 0 before the first.
    var stamp: UInt64 = 0
    var caps: UInt16
    var isPlanned = false
    /// Of the last answer.
    var terms = GrantTerms()
    var nextOfQuestion = Slot.none
    var previousOfQuestion = Slot.none
    var nextOfOpening = Slot.none
    var previousOfOpening = Slot.none
  }

  let server: UInt16
  var questions = Slab<Question>()
  var openings = Slab<Opening>()
  var holds = Slab<Hold>()
  var questionSlots: [GrantLedger.Key: Slot] = [:]
  var addressTable = AddressTable()
  /// Times here may lie before the record's own, never after it: who takes a record looks.
  var dueQuestions = SlotHeap()
  var dueOpenings = SlotHeap()
  /// Openings that a live answer promises, by the end of that.
  var promised = SlotHeap()
  /// Openings that may be evicted, by their end.
  var evictable = SlotHeap()
  /// Questions of which no answer is on its way, by the end of those that were given.
  var answered = SlotHeap()
  private var passes: UInt64 = 0
  private var stamps: UInt64 = 0

  init(server: UInt16) {
    self.server = server
  }

  var elementCount: Int { openings.count }

  mutating func nextPass() -> UInt64 {
    passes += 1
    return passes
  }

  mutating func nextStamp() -> UInt64 {
    stamps += 1
    return stamps
  }

  func opening(of element: GrantElement) -> Slot {
    guard let addressSlot = addressTable.slot(of: element.address) else { return .none }
    return opening(at: addressSlot, transport: element.transport, port: element.port)
  }

  func opening(at addressSlot: Slot, transport: UInt8, port: UInt16) -> Slot {
    var slot = addressTable[addressSlot].firstOpening
    while slot != .none {
      if openings[slot].element.port == port && openings[slot].element.transport == transport { return slot }
      slot = openings[slot].nextOfAddress
    }
    return .none
  }

  /// Closes what is over by itself, in a slice: what is left is over all the same, and is closed by a later call.
  ///
  /// - Parameter count: about how many records are closed; of a name all holds are.
  mutating func expire(_ now: UInt64, atMost count: Int = .max) {
    var left = count
    // Openings first: those that close name their address after a question that is over at the same moment.
    while left > 0, let first = dueOpenings.first, first.due <= now {
      left -= 1
      let until = openings[first.slot].requestedUntil
      if until > now {
        dueOpenings.set(first.slot, due: until)
        continue
      }
      // Shared hosting puts thousands of names on one address.
      while left > 0, case let hold = openings[first.slot].firstHold, hold != .none {
        removeHold(hold)
        left -= 1
      }
      if openings[first.slot].firstHold == .none { close(first.slot) } else { enqueue(first.slot) }
    }
    while left > 0, let first = dueQuestions.first, first.due <= now {
      let until = questions[first.slot].until
      if until > now {
        left -= 1
        dueQuestions.set(first.slot, due: until)
      } else {
        left -= questions[first.slot].holdCount
        forget(first.slot)
      }
    }
  }
}
