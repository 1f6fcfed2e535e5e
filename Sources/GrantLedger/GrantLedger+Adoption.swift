package import DNSWire
import IPNetwork

/// What the kernel held before this ledger was made, and what the ledger holds, for comparison.
extension GrantLedger {
  /// Takes over an element that the kernel holds until `until` for a question of an earlier run. It promises nothing.
  package mutating func adopt(
    _ key: Key, _ element: GrantElement, until: UInt64, caps: UInt16, now: UInt64, epoch: UInt64
  ) {
    guard until > now else { return }
    if var opening = openings[element] {
      opening.caps |= caps
      openings[element] = opening
    } else {
      open(element, Opening(requestedUntil: until, committedUntil: until, epoch: epoch, caps: caps, opened: now))
    }
    hold(key, [element], caps: caps, until: until)
    name(Place(server: key.server, address: element.address), key)
  }

  /// Whether an element is open, or on its way to the kernel.
  package func holds(_ element: GrantElement, now: UInt64) -> Bool {
    (openings[element]?.requestedUntil ?? 0) > now
  }

  /// What is open for a server, in no order.
  package func elements(ofServer server: UInt16, now: UInt64) -> [GrantElement] {
    (elementsByServer[server] ?? []).filter { holds($0, now: now) }
  }

  /// The names that hold an element, in the order of their text.
  package func names(of element: GrantElement, now: UInt64) -> [Name] {
    let keys = (holders[element] ?? []).filter { (holdings[$0]?.elements[element]?.until ?? 0) > now }
    return Set(keys.map(\.name)).sorted()
  }

  /// Calls `body` with every element and question that holds it: until when, and since when the element is open.
  package func forEachHolding(now: UInt64, _ body: (Key, GrantElement, _ until: UInt64, _ opened: UInt64) -> Void) {
    for (key, holding) in holdings {
      for (element, held) in holding.elements where held.until > now {
        if let opening = openings[element] { body(key, element, held.until, opening.opened) }
      }
    }
  }
}
