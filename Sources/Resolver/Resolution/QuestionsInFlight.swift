import EgressPolicy
import GrantLedger
import Sharing

extension ResolutionEngine {
  /// A question that is being finished, and those who wait for it.
  final class Resolution {
    let key: GrantLedger.Key
    let ticket: Ticket
    /// As the first client asked it.
    let question: PendingQuery
    /// The rule that decided; nil where none did.
    let rule: EgressRule?
    var waiting: [WaitingClient]
    var answer: ScrubbedAnswer?
    var plan: GrantLedger.Plan?
    var upstream = ""
    var askedAt: UInt64 = 0
    var epoch: UInt64 = 0
    /// When it was committed for the first time.
    var committing: UInt64?
    /// True until upstream answered: an upstream is heard once.
    var isAsking = false
    /// True while its answer is held against signatures: a verdict is heard once.
    var isValidating = false
    /// Whether its signatures showed it to be what its zone says.
    var isSecure = false
    /// Why the question, allowed when it came, is not answered any more.
    var revocation: Revocation?
    /// True while an answer that is in the cache is committed again.
    var isRenewal = false

    /// Whether those who asked were given what was said before, and it goes on for those who ask next.
    var isOutwaited = false

    /// Whether no client waits for it.
    var isRefreshAlone: Bool { waiting.allSatisfy(\.question.isRefresh) }

    /// What its answer will hold; nil until that is planned.
    var planned: Planned? { plan.map { Planned(key: key, elements: $0.elements) } }

    init(_ key: GrantLedger.Key, _ ticket: Ticket, _ first: WaitingClient) {
      self.key = key
      self.ticket = ticket
      question = first.question
      rule = first.question.egressRule
      waiting = [first]
    }
  }
}

/// The questions that the resolution engine finishes, each with a slot among those of all servers (P8).
///
/// Of a server's identical questions one is in flight and the others join it, unless it was revoked: who comes after that
/// was decided by another policy.
struct QuestionsInFlight {
  typealias Ticket = ResolutionEngine.Ticket
  typealias Resolution = ResolutionEngine.Resolution

  /// Questions in flight over all servers; each holds a socket and some kilobytes.
  static let capacity = 8192
  /// As `UpstreamLimits.leastAge`: nanoseconds that a question is sure of against its own server's next one.
  private static let leastAge: UInt64 = 200_000_000

  private var resolutions = ResolutionTable()
  /// Those that may be joined.
  private var tickets: [GrantLedger.Key: Ticket] = [:]
  /// Of resolutions, by the server's index.
  private var shares = Shares<UInt16>(capacity: Self.capacity, leastAge: Self.leastAge)

  var count: Int { resolutions.count }
  var values: some Sequence<Resolution> { resolutions.values }

  subscript(ticket: Ticket) -> Resolution? { resolutions[ticket] }

  /// Whether one that is in flight may be joined.
  func isInFlight(_ key: GrantLedger.Key) -> Bool { tickets[key] != nil }

  /// Has a client wait for the same question in flight; false where there is none.
  func join(_ key: GrantLedger.Key, _ waiting: ResolutionEngine.WaitingClient) -> Bool {
    guard let ticket = tickets[key] else { return false }
    resolutions[ticket]?.waiting.append(waiting)
    return true
  }

  /// What has to be closed so that a question gets a slot: the oldest of the server that has most of them. Nil where there is
  /// room, where the question is in flight, or where its own server has its share.
  ///
  /// - Parameters:
  ///   - server: the question's, by the firewall's index.
  ///   - key: the question's. Mostly there is room, and nothing has to be looked up.
  mutating func displaced(by server: UInt16, now: UInt64, _ key: () -> GrantLedger.Key) -> Ticket? {
    guard case .displacing(let ticket) = shares.admission(of: server, now: now) else { return nil }
    return isInFlight(key()) ? nil : ticket
  }

  /// Nil where the server has its share.
  mutating func open(_ key: GrantLedger.Key, _ waiting: ResolutionEngine.WaitingClient, now: UInt64) -> Ticket? {
    guard case .free = shares.admission(of: key.server, now: now) else { return nil }
    let ticket = shares.enter(key.server, now: now)
    resolutions.insert(Resolution(key, ticket, waiting))
    tickets[key] = ticket
    return ticket
  }

  /// Gives the slot of a question back; nil where it is closed already.
  mutating func close(_ ticket: Ticket) -> Resolution? {
    guard let resolution = resolutions.remove(ticket) else { return nil }
    shares.leave(ticket)
    if tickets[resolution.key] == ticket {
      tickets[resolution.key] = nil
    }
    return resolution
  }

  /// Of the servers, or of all where that is nil, those questions are not answered any more that `condition` selects.
  mutating func revoke(
    servers: Set<UInt16>?, as revocation: ResolutionEngine.Revocation, where condition: (GrantLedger.Key) -> Bool
  ) {
    for resolution in resolutions.values
    where servers?.contains(resolution.key.server) ?? true && condition(resolution.key) {
      resolution.revocation = revocation
      // A question that comes after this was decided by the policy in force now.
      tickets[resolution.key] = nil
    }
  }
}
