package import DNSWire
package import EgressPolicy
package import GrantLedger
package import IPNetwork

/// That a server had a name resolved to an address, and may connect there until a time.
package struct GateHolding: Hashable, Sendable {
  /// Of TCP, or with transport and port 0 of every port.
  package var element: GrantElement
  package var name: Name
  /// Nanoseconds of the monotonic clock.
  package var until: UInt64
  /// Whether a connection has to say the name; else the address alone suffices.
  package var isChecked: Bool
  /// Whether a connection that may hide another name passes.
  package var allowsHiding: Bool
  /// Whether a connection for the name is likely to go through a proxy: which one is asked of serve for each.
  package var isInspected: Bool
  /// What a connection for the name may send.
  package var limits: ByteLimits

  package init(
    element: GrantElement, name: Name, until: UInt64, isChecked: Bool, allowsHiding: Bool = false,
    isInspected: Bool = false, limits: ByteLimits = ByteLimits()
  ) {
    self.element = element
    self.name = name
    self.until = until
    self.isChecked = isChecked
    self.allowsHiding = allowsHiding
    self.isInspected = isInspected
    self.limits = limits
  }
}

/// What the gate says of a connection.
package enum GateVerdict: UInt8, Sendable, CaseIterable {
  /// It says a name that its server resolved to this address.
  case verified = 1
  /// It says another one, or what is no name.
  case mismatch = 2
  case nameMissing = 3
  case notTLS = 4
  /// It says a right name, and may hide another.
  case mayHide = 5
  /// It says a right name, and the host could not connect to the address, or it gives no answer.
  case unreachable = 6
  /// It passed, and has sent all that a cap allows: it is cut.
  case overConnection = 7
  case overHour = 8
  /// It passed, and has sent more than is not told of; it goes on once that is recorded.
  case toldConnection = 9
  case toldHour = 10
  /// Its server has its share of the connections that the gate holds, or the host of what they take.
  case crowded = 11
  /// The proxy that it has to go through said no.
  case inspectorRefused = 12
  /// It could not be connected to, or ended before it had said anything.
  case inspectorGone = 13
  /// It had not said anything in time.
  case inspectorSilent = 14
  /// What it said is no answer to CONNECT.
  case inspectorGarbled = 15
  /// As `unreachable`, when no name that has to be said stood for the address any more: the firewall lets the gate itself connect
  /// only where one does.
  case ended = 16

  /// Of a connection that is beyond a cap of a kind.
  package init(beyond kind: ByteCap.Kind, isCut: Bool) {
    self =
      switch (kind, isCut) {
      case (.perConnection, true): .overConnection
      case (.perHour, true): .overHour
      case (.perConnection, false): .toldConnection
      case (.perHour, false): .toldHour
      }
  }

  /// Whether it is refused for what it says, where names are expected.
  package var isOfName: Bool {
    switch self {
    case .mismatch, .nameMissing, .notTLS, .mayHide: true
    case .verified, .unreachable, .overConnection, .overHour, .toldConnection, .toldHour, .crowded, .ended: false
    case .inspectorRefused, .inspectorGone, .inspectorSilent, .inspectorGarbled: false
    }
  }

  /// Whether the proxy that it has to go through did not take it.
  package var isOfInspector: Bool {
    switch self {
    case .inspectorRefused, .inspectorGone, .inspectorSilent, .inspectorGarbled: true
    case .verified, .mismatch, .nameMissing, .notTLS, .mayHide, .unreachable, .overConnection, .overHour,
      .toldConnection, .toldHour, .crowded, .ended:
      false
    }
  }

  /// Whether the connection waits for its record.
  package var waits: Bool {
    switch self {
    case .verified, .toldConnection, .toldHour: true
    case .mismatch, .nameMissing, .notTLS, .mayHide, .unreachable, .overConnection, .overHour, .crowded, .ended: false
    case .inspectorRefused, .inspectorGone, .inspectorSilent, .inspectorGarbled: false
    }
  }
}

/// Which connections pass: the names that each server resolved to an address, and whose time is not over.
package struct GateTable: Sendable {
  private struct Entry {
    var until: UInt64
    var isChecked: Bool
    var allowsHiding: Bool
    var isInspected: Bool
    var limits: ByteLimits
  }

  private var names: [GrantElement: [Name: Entry]] = [:]
  private var networks = PrefixTable([])

  package init() {}

  /// Names over all elements, those whose time is over among them until they are swept.
  package var count: Int { names.values.reduce(0) { $0 + $1.count } }

  /// From now on these networks are the servers'.
  package mutating func use(_ networks: [(prefix: IPPrefix, server: UInt16)]) {
    self.networks = PrefixTable(networks.map { ($0.prefix, UInt32($0.server)) })
  }

  /// The server that a client belongs to.
  package func server(of client: IPAddress) -> UInt16? {
    networks.lookup(client).map { UInt16(truncatingIfNeeded: $0) }
  }

  /// A name stands for an address, until the latest time that was said: questions for several types may hold it there.
  package mutating func open(_ holding: GateHolding) {
    let earlier = names[holding.element]?[holding.name]?.until ?? 0
    let entry = Entry(
      until: max(holding.until, earlier), isChecked: holding.isChecked, allowsHiding: holding.allowsHiding,
      isInspected: holding.isInspected, limits: holding.limits)
    names[holding.element, default: [:]][holding.name] = entry
  }

  /// A name stands for an address no more.
  package mutating func close(_ element: GrantElement, _ name: Name) {
    names[element]?[name] = nil
    if names[element]?.isEmpty ?? false { names[element] = nil }
  }

  /// No name stands for it any more.
  package mutating func close(_ element: GrantElement) { names[element] = nil }

  /// Nothing is known of a server any more; its number may be another's.
  package mutating func forget(server: UInt16) { names = names.filter { $0.key.server != server } }

  /// Nothing is known at all.
  package mutating func forgetAll() { names = [:] }

  /// Forgets what is over.
  package mutating func sweep(now: UInt64) {
    for (element, entries) in names where entries.values.contains(where: { $0.until <= now }) {
      let live = entries.filter { $0.value.until > now }
      names[element] = live.isEmpty ? nil : live
    }
  }

  /// Whether the address alone suffices.
  package func isOpen(_ element: GrantElement, now: UInt64) -> Bool {
    live(at: element, now: now).contains { !$0.value.isChecked }
  }

  /// Whether a name stands for it that has to be said.
  package func isChecked(_ element: GrantElement, now: UInt64) -> Bool {
    live(at: element, now: now).contains { $0.value.isChecked }
  }

  /// Some of the names of which the address alone suffices: a server may have tens of thousands at one.
  package func openNames(at element: GrantElement, now: UInt64, atMost most: Int) -> Set<Name> {
    Set(live(at: element, now: now).lazy.filter { !$0.value.isChecked }.map(\.key).prefix(most))
  }

  /// Whether a name stands for it.
  package func stands(_ name: Name, for element: GrantElement, now: UInt64) -> Bool {
    !live(name, at: element, now: now).isEmpty
  }

  /// Whether a connection that says a name is likely to go through a proxy.
  package func isInspected(_ name: Name, at element: GrantElement, now: UInt64) -> Bool {
    live(name, at: element, now: now).contains { $0.isInspected }
  }

  /// The caps of a connection to an element: those of the name that it says, or where it passes unread those of every name.
  package func caps(of name: Name?, at element: GrantElement, now: UInt64) -> [ByteCap] {
    var limits: Set<ByteLimits> = []
    if let name {
      for entry in live(name, at: element, now: now) { limits.insert(entry.limits) }
    } else {
      for (_, entry) in live(at: element, now: now) { limits.insert(entry.limits) }
    }
    return Set(limits.flatMap(\.caps)).sorted()
  }

  /// Whether a connection to an element passes by what it says.
  package func judge(_ hello: ClientHello, to element: GrantElement, now: UInt64) -> GateVerdict {
    if hello.said == .nothing { return .nameMissing }
    guard let name = hello.name, let entry = live(name, at: element, now: now).first else { return .mismatch }
    return hello.hidesName && !entry.allowsHiding ? .mayHide : .verified
  }

  /// What is known of a name at an element, then of every port of its address, and is not over.
  private func live(_ name: Name, at element: GrantElement, now: UInt64) -> [Entry] {
    entries(at: element).compactMap { $0[name] }.filter { $0.until > now }
  }

  /// The same of all names; one by one, for there may be tens of thousands.
  private func live(at element: GrantElement, now: UInt64) -> some Sequence<(key: Name, value: Entry)> {
    entries(at: element).lazy.flatMap { entries in entries.lazy.filter { $0.value.until > now } }
  }

  private func entries(at element: GrantElement) -> [[Name: Entry]] {
    [names[element], names[element.place]].compactMap(\.self)
  }
}

extension GrantElement {
  /// Every port of its address.
  package var place: GrantElement { GrantElement(server: server, address: address, transport: 0, port: 0) }
}
