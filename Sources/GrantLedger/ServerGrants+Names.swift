import DNSWire
import IPNetwork

extension ServerGrants {
  /// The name whose answer promised an address last, if it is still open for that name.
  func latestName(of address: IPAddress, now: UInt64) -> (name: Name, until: UInt64)? {
    guard let addressSlot = addressTable.slot(of: address) else { return nil }
    var (best, until) = (Slot.none, UInt64(0))
    var slot = addressTable[addressSlot].firstOpening
    while slot != .none {
      if openings[slot].committedUntil > now, case let hold = latestHold(of: slot, now: now), hold != .none {
        let stamp = best == .none ? 0 : holds[best].stamp
        let end = min(holds[hold].until, openings[slot].committedUntil)
        if holds[hold].stamp > stamp {
          (best, until) = (hold, end)
        } else if holds[hold].stamp == stamp {
          until = max(until, end)
        }
      }
      slot = openings[slot].nextOfAddress
    }
    return best == .none ? nil : (questions[holds[best].question].key.name, until)
  }

  /// The live hold of an element that was promised last, if one is near the end.
  private func latestHold(of slot: Slot, now: UInt64) -> Slot {
    var hold = openings[slot].lastHold
    for _ in 0..<Self.maxHoldsSearched where hold != .none {
      guard holds[hold].stamp > 0 else { return .none }
      if holds[hold].until > now { return hold }
      hold = holds[hold].previousOfOpening
    }
    return .none
  }

  /// What a question holds: until when each is committed for it, and its caps.
  func held(by key: GrantLedger.Key) -> [(element: GrantElement, until: UInt64, caps: UInt16)] {
    guard let question = questionSlots[key] else { return [] }
    var held: [(element: GrantElement, until: UInt64, caps: UInt16)] = []
    held.reserveCapacity(questions[question].holdCount)
    var hold = questions[question].firstHold
    while hold != .none {
      let opening = openings[holds[hold].opening]
      held.append((opening.element, min(holds[hold].until, opening.committedUntil), holds[hold].caps))
      hold = holds[hold].nextOfQuestion
    }
    return held
  }

  /// Who holds an element, the latest last.
  func names(of element: GrantElement, now: UInt64) -> [Name] {
    let slot = opening(of: element)
    guard slot != .none else { return [] }
    var names: [Name] = []
    var seen: Set<Name> = []
    var hold = openings[slot].lastHold
    while hold != .none {
      let name = questions[holds[hold].question].key.name
      if holds[hold].until > now && seen.insert(name).inserted { names.append(name) }
      hold = holds[hold].previousOfOpening
    }
    return names.reversed()
  }
}
