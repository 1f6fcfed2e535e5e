import EgressPolicy
import GateModel

/// Whether inspectors take what is sent to them. An incident begins with the first connection that one does not take, and ends when it
/// takes them and ten seconds are over in which none failed: so seldom, whatever a server does. Performs nothing; times are
/// nanoseconds, passed in.
struct InspectorWatch {
  /// Why an inspector did not take a connection, as the events' `cause` says it; what it said itself is none of these.
  enum Fault: String {
    /// It cannot be connected to, or ended before it had said anything.
    case gone
    /// It said nothing for a second.
    case silent
    /// It said something that is no answer to CONNECT.
    case noAnswer = "no-answer"
  }

  /// An incident that is over.
  struct Ended: Equatable {
    var milliseconds: UInt64
    /// Connections that were refused in it.
    var refused: UInt64
  }

  private struct Incident {
    var began: UInt64
    var lastFault: UInt64
    var refused: UInt64 = 0
    /// It took a connection after the last fault.
    var isTaking = false
  }

  /// Nanoseconds.
  static let quiet: UInt64 = 10_000_000_000

  private var incidents: [Inspector: Incident] = [:]
  /// How many began.
  private(set) var count: UInt64 = 0

  /// Those that do not take what is sent to them, as far as is known; ascending.
  var down: [Inspector] { incidents.filter { !$0.value.isTaking }.keys.sorted() }

  /// One did not take a connection; returns whether that begins an incident.
  mutating func failed(_ inspector: Inspector, now: UInt64) -> Bool {
    let begins = incidents[inspector] == nil
    var incident = incidents[inspector] ?? Incident(began: now, lastFault: now)
    (incident.lastFault, incident.isTaking) = (now, false)
    incident.refused += 1
    incidents[inspector] = incident
    if begins { count += 1 }
    return begins
  }

  /// One took a connection.
  ///
  /// - Returns: when to look whether its incident is over; nil where it has none, or that is known already.
  mutating func passed(_ inspector: Inspector) -> UInt64? {
    guard let incident = incidents[inspector], !incident.isTaking else { return nil }
    incidents[inspector]?.isTaking = true
    return incident.lastFault + Self.quiet
  }

  /// The end of the incident of one, once.
  mutating func settle(_ inspector: Inspector, now: UInt64) -> Ended? {
    guard let incident = incidents[inspector], incident.isTaking, now >= incident.lastFault + Self.quiet else {
      return nil
    }
    incidents[inspector] = nil
    return Ended(milliseconds: (now - min(incident.began, now)) / 1_000_000, refused: incident.refused)
  }

  /// Of those that no policy names any more nothing is told.
  mutating func keep(_ inspectors: Set<Inspector>) { incidents = incidents.filter { inspectors.contains($0.key) } }
}

extension GateVerdict {
  /// Nil where the inspector is not to blame, or said no itself.
  var inspectorFault: InspectorWatch.Fault? {
    switch self {
    case .inspectorGone: .gone
    case .inspectorSilent: .silent
    case .inspectorGarbled: .noAnswer
    case .verified, .mismatch, .nameMissing, .notTLS, .mayHide, .unreachable, .overConnection, .overHour,
      .toldConnection, .toldHour, .crowded, .ended, .inspectorRefused:
      nil
    }
  }
}
