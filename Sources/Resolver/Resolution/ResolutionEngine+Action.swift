package import AuditLog
package import DNSWire
package import GrantLedger
package import ResponseCache
package import Sharing

/// What the engine says and is told.
extension ResolutionEngine {
  /// Names a question in flight between two events of the engine: its slot among all.
  package typealias Ticket = Shares<UInt16>.Slot

  /// A client that waits.
  package struct WaitingClient {
    package var question: PendingQuery
    package var path: any ReplyPath
  }

  /// What the audit log gets when a question is finished.
  package struct Event {
    package var code: AuditCode
    /// Rule, chain, addresses…
    package var members: AuditMembers
    /// True for what happened to the question as a whole; false for what each client must be recorded for.
    package var once: Bool
    /// What is recorded of the clients whom `once` leaves out; nil for nothing.
    package var further: AuditCode?

    init(code: AuditCode, members: AuditMembers, once: Bool, further: AuditCode? = nil) {
      (self.code, self.members, self.once, self.further) = (code, members, once, further)
    }

    init(_ interruption: Interruption) {
      self.init(code: .interrupted, members: interruption.members, once: false)
    }
  }

  /// The answer to a question, for all who wait for it.
  package struct Finished {
    package var waiting: [WaitingClient]
    package var response: CachedResponse
    package var event: Event?
    /// What is recorded of the first who waited beside its own event.
    package var remark: Event?
    /// What the answer promises without a commit, since others had opened it.
    package var promised: Planned?
    /// What is told of the upstream that answered.
    package var interception: InterceptionWatch.Finding?
  }

  /// What an answer holds, or will: for the grants' journal.
  package struct Planned {
    package var key: GrantLedger.Key
    package var elements: [GrantElement]
  }

  /// The one thing that is to be done after an event.
  package enum Action {
    /// Joined a question in flight.
    case wait
    case ask(Ticket, name: [UInt8], type: RRType)
    /// Hold the upstream's message against its signatures.
    case validate(Ticket, name: [UInt8], type: RRType, message: [UInt8])
    /// `evicting`: what has to be closed first, to make room.
    case commit(Ticket, [GrantCommit], evicting: [GrantElement])
    case finish(Finished)
  }

  /// What came of asking upstream.
  package enum UpstreamResult {
    case answer([UInt8], server: String)
    case failure(ExtendedErrorCode)
    /// There was an answer, with a code that is a failure of the upstream's own.
    case refused(ResponseCode, server: String)
    /// What it said by HTTP is no answer.
    case refusedByHTTP(cause: String, server: String)
    /// TLS with no upstream could be used, and the cause is that of one of them.
    case untrusted(cause: String, server: String)
    /// Not asked, or not to the end: others had a right to the slot. That says nothing of the name.
    case overloaded
  }

  /// What came of asking the firewall.
  package enum CommitResult: Sendable {
    case committed
    case setFull
    /// Late, refused, or no bridge.
    case unavailable
  }

  /// What ended before its time.
  package struct Closing {
    /// To be closed now.
    package var closed: [GrantElement]
    /// What others still need, but not for as long.
    package var shortened: [GrantCommit]
    /// What each question held of it.
    package var released: [(key: GrantLedger.Key, element: GrantElement)] = []
  }

  /// Why something ends before its time: what is recorded of questions in flight, and for the record of what was open.
  package struct Revocation {
    /// Nil where a later question gets no such answer either: `answer-not-public`.
    var interruption: Interruption?
    var ending: GrantLedger.Ending

    package static var policy: Revocation { Revocation(interruption: .policy, ending: .policy) }
    package static var answerNotPublic: Revocation { Revocation(interruption: nil, ending: .policy) }
    package static var `operator`: Revocation { Revocation(interruption: .operator, ending: .operator) }
  }
}
