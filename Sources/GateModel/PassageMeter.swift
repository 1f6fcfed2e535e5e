package import EgressPolicy
package import GrantLedger

/// What a connection through the gate may still send, by the caps of the names that it may be for: octets of its payload.
package struct PassageMeter: Sendable {
  /// Those that block first: what is cut need not be told of besides.
  private let caps: [ByteCap]
  private let element: GrantElement
  /// Octets that it sent.
  package private(set) var sent: UInt64 = 0
  private var told: Set<ByteCap.Kind> = []

  package init(_ caps: [ByteCap], at element: GrantElement) {
    self.caps = caps.sorted { $0.excess == .block && $1.excess == .audit }
    self.element = element
  }

  /// Whether nothing has to be counted.
  package var isUnbounded: Bool { caps.isEmpty }

  /// How many octets more it may send, and what kind of cap the next one would be beyond; nil for no bound.
  package func room(_ hours: borrowing HourTotals, now: UInt64) -> (octets: UInt64, kind: ByteCap.Kind)? {
    var least: (octets: UInt64, kind: ByteCap.Kind)?
    for cap in caps where cap.excess == .block {
      let used = used(cap, hours, now)
      let room = cap.bytes - min(cap.bytes, used)
      if room < least?.octets ?? .max { least = (room, cap.kind) }
    }
    return least
  }

  /// Counts octets that it sent.
  ///
  /// - Returns: the kinds of caps that it is beyond from now on, and that are told of: each once.
  package mutating func count(_ octets: UInt64, _ hours: inout HourTotals, now: UInt64) -> [ByteCap.Kind] {
    guard !caps.isEmpty, octets > 0 else { return [] }
    sent += octets
    for cap in caps where cap.kind == .perHour { hours.count(octets, cap, element, now: now) }
    return caps.compactMap { cap in
      guard cap.excess == .audit, used(cap, hours, now) > cap.bytes, told.insert(cap.kind).inserted else { return nil }
      return cap.kind
    }
  }

  private func used(_ cap: ByteCap, _ hours: borrowing HourTotals, _ now: UInt64) -> UInt64 {
    cap.kind == .perConnection ? sent : hours.used(cap, element, now: now)
  }
}

/// What went to elements within their hours, by the caps that count it, as the firewall does: over all connections, and over all
/// names that have the same cap. An hour begins with its first octet.
package struct HourTotals: ~Copyable, Sendable {
  private struct Place: Hashable {
    var element: GrantElement
    var cap: ByteCap
  }

  private struct Total {
    var since: UInt64
    var octets: UInt64
  }

  /// Nanoseconds.
  private static let hour: UInt64 = 3_600_000_000_000
  /// Elements with octets of one server, each of the last hour; what comes beyond it counts as used up.
  package static let maximumOfServer = 16_384

  private var totals: [UInt16: [Place: Total]] = [:]

  package init() {}

  /// Elements of a server of which something is remembered, once for each cap.
  func count(ofServer server: UInt16) -> Int { totals[server]?.count ?? 0 }

  func used(_ cap: ByteCap, _ element: GrantElement, now: UInt64) -> UInt64 {
    guard let own = totals[element.server] else { return 0 }
    guard let total = own[Place(element: element, cap: cap)] else {
      return own.count < Self.maximumOfServer ? 0 : .max
    }
    return now - min(now, total.since) < Self.hour ? total.octets : 0
  }

  mutating func count(_ octets: UInt64, _ cap: ByteCap, _ element: GrantElement, now: UInt64) {
    let place = Place(element: element, cap: cap)
    let known = totals[element.server]?[place]
    // Of what is beyond the maximum nothing is kept: it counts as used up already.
    guard known != nil || totals[element.server]?.count ?? 0 < Self.maximumOfServer else { return }
    var total = known ?? Total(since: now, octets: 0)
    if now - min(now, total.since) >= Self.hour { total = Total(since: now, octets: 0) }
    total.octets += octets
    totals[element.server, default: [:]][place] = total
  }

  /// Nothing of a server counts any more; its number may be another's.
  package mutating func forget(server: UInt16) { totals[server] = nil }

  /// Forgets hours that are over.
  package mutating func sweep(now: UInt64) {
    for (server, own) in totals where own.values.contains(where: { now - min(now, $0.since) >= Self.hour }) {
      let live = own.filter { now - min(now, $0.value.since) < Self.hour }
      totals[server] = live.isEmpty ? nil : live
    }
  }
}
