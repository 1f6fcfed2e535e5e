import DNSWire
import IPNetwork

extension ServerGrants {
  /// The name whose answer promised an address last, if it is still open for that name.
  func latestName(of address: IPAddress, now: UInt64) -> (name: Name, until: UInt64)? {
    guard let place = places.slot(of: address) else { return nil }
    var (best, until) = (Slot.none, UInt64(0))
    var slot = places[place].firstOpening
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
      slot = openings[slot].nextAtPlace
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

  /// The name of an address that is open or was.
  func lastName(of address: IPAddress, now: UInt64) -> Name? {
    latestName(of: address, now: now)?.name ?? places.slot(of: address).flatMap { places[$0].name }
  }

  /// What a refused packet met here; nil if nothing was ever open at the address, as far as is known.
  func standing(of address: IPAddress, transport: UInt8, port: UInt16, now: UInt64) -> GrantLedger.Standing? {
    guard let place = places.slot(of: address) else { return nil }
    var (isOpen, isOtherPort, wasOpen) = (false, false, places[place].name != nil)
    var slot = places[place].firstOpening
    while slot != .none {
      let opening = openings[slot]
      wasOpen = wasOpen || opening.committedUntil > 0
      if opening.committedUntil > now {
        let isAny = opening.element.transport == 0 && opening.element.port == 0
        let isSame = opening.element.transport == transport && opening.element.port == port
        isOpen = isOpen || isAny || isSame
        isOtherPort = true
      }
      slot = opening.nextAtPlace
    }
    guard wasOpen, let name = lastName(of: address, now: now) ?? holderName(at: place) else { return nil }
    if isOpen { return .open(name) }
    return isOtherPort ? .wrongPort(name) : .expired(name)
  }

  /// The name of whoever holds something at a place, over or not.
  private func holderName(at place: Slot) -> Name? {
    let slot = places[place].firstOpening
    guard slot != .none, case let hold = openings[slot].lastHold, hold != .none else { return nil }
    return questions[holds[hold].question].key.name
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
