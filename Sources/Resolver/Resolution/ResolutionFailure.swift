import AuditLog
import DNSWire
import EgressPolicy
import IPNetwork

extension ResolutionEngine {
  /// Why a question has no answer: for the audit log, for the client, and for how long it is remembered.
  struct Failure {
    /// How long a failure is remembered (RFC 9520 section 3.2 asks for at least 1 s and at most 5 minutes): nanoseconds.
    static let rememberedFor: UInt64 = 5_000_000_000

    var code: AuditCode
    var error: ExtendedErrorCode
    var members: AuditMembers
    /// Nanoseconds.
    var storedFor: UInt64

    init(
      _ code: AuditCode, _ error: ExtendedErrorCode = .otherError, members: AuditMembers = AuditMembers(),
      storedFor: UInt64 = 0
    ) {
      self.code = code
      self.error = error
      self.members = members
      self.storedFor = storedFor
    }

    /// Whether upstream answered, and its answer cannot be used.
    var isOfAnswer: Bool {
      switch code {
      case .answerInvalid, .chainTooLong, .chainRefused, .answerNotPublic, .upstreamBlocked, .denied: true
      default: false
      }
    }

    static var overloaded: Failure { Failure(.overloaded) }
    static var setFull: Failure { Failure(.setFull) }
    static var firewallUnavailable: Failure { Failure(.firewallUnavailable) }

    /// No upstream could be asked, or not to the end.
    static func unreachable(_ code: ExtendedErrorCode, _ question: PendingQuery) -> Failure {
      // Those of a forwarded name alone could have answered; of another one any could.
      let zone = question.snapshot.forwards.zone(of: question.name)
      let members = zone.map { AuditMembers(.upstream, $0.upstreams.joined(separator: " ")) } ?? AuditMembers()
      return Failure(.upstreamUnreachable, code, members: members, storedFor: rememberedFor)
    }

    /// An answer holds addresses of which the entry at a place denies one.
    static func denied(
      _ addresses: [IPAddress], others: [IPAddress] = [], by place: AuditMembers, upstream: String
    ) -> Failure {
      Failure(
        .denied, .blocked,
        members: EventMembers.denied(addresses, others: others, by: place, upstream: upstream), storedFor: rememberedFor
      )
    }

    /// An upstream was asked, and what came is no answer, for a reason that a member says.
    static func byUpstream(_ code: AuditCode, _ server: String, _ key: AuditMembers.Text, _ reason: String) -> Failure {
      Failure(
        code, .noReachableAuthority, members: AuditMembers(.upstream, server).with(key, reason),
        storedFor: rememberedFor)
    }

    /// An upstream answered, and its answer cannot be used.
    init(_ error: ScrubError, _ question: PendingQuery, upstream: String, _ forbidden: ForbiddenAddresses) {
      let server = AuditMembers(.upstream, upstream)
      switch error {
      case .invalid:
        self.init(.answerInvalid, .invalidData, members: server, storedFor: Self.rememberedFor)
      case .chainTooLong:
        self.init(.chainTooLong, .invalidData, members: server, storedFor: Self.rememberedFor)
      case .chainRefused(let chain):
        self.init(
          .chainRefused, .blocked,
          members: EventMembers.refused(chain: chain, question.egressRule, upstream: upstream),
          storedFor: Self.rememberedFor)
      case .chainDenied(let chain):
        let place = chain.last.flatMap { question.denial(of: $0) } ?? AuditMembers()
        self.init(
          .denied, .blocked, members: EventMembers.denied(chain: chain, by: place, upstream: upstream),
          storedFor: Self.rememberedFor)
      case .notPublic(let refused, let others):
        if let place = refused.lazy.compactMap({ question.denial(of: $0) }).first {
          self = .denied(refused, others: others, by: place, upstream: upstream)
          return
        }
        let isBlocked = !refused.isEmpty && refused.allSatisfy(\.isUnspecified)
        let members = EventMembers.refused(refused, others: others, upstream: upstream) { address, prefixes in
          forbidden.refusal(
            of: address, private: (question.egressRule?.privatePrefixes ?? []) + prefixes,
            server: question.state.firewallIndex)
        }
        self.init(
          isBlocked ? .upstreamBlocked : .answerNotPublic, .blocked,
          members: isBlocked ? server.with(.addresses, refused.map(\.description)) : members,
          storedFor: Self.rememberedFor)
      }
    }
  }
}
