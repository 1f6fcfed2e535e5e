import DNSWire
import LinuxIO
import Upstream
import Validation
import Validator

/// Carries out what `ChainOfTrust` decides: asks upstream for keys, has the validator judge. Lives on the reactor's thread.
final class AnswerValidation {
  /// Learns what came of an answer; called once.
  typealias Completion = (ChainOfTrust.Outcome) -> Void

  /// Answers that wait; each holds its message. As many as questions are in flight.
  private static let maxAnswers = 8_192

  let link: ValidatorLink
  private let reactor: Reactor
  private let upstream: UpstreamPool
  private let wallSeconds: () -> UInt64
  private var chain: ChainOfTrust
  private var completions: [ChainOfTrust.Ticket: Completion] = [:]
  private var nextTicket: ChainOfTrust.Ticket = 1
  /// The place of the forwarded zone whose upstreams are asked for a name.
  var forward: (Name) -> Int? = { _ in nil }
  /// Questions for DS and DNSKEY since the start.
  private(set) var questions: UInt64 = 0

  init(
    reactor: Reactor, upstream: UpstreamPool, link: ValidatorLink, anchors: [Name: [DelegationSigner]],
    wallSeconds: @escaping () -> UInt64
  ) {
    self.reactor = reactor
    self.upstream = upstream
    self.link = link
    self.wallSeconds = wallSeconds
    chain = ChainOfTrust(anchors: anchors)
  }

  /// Holds an answer to a question of a server against its signatures.
  func validate(
    _ message: [UInt8], to question: (name: Name, type: RRType), for owner: UInt16, _ completion: @escaping Completion
  ) {
    guard completions.count < Self.maxAnswers else { return completion(.failed(.overloaded)) }
    let ticket = nextTicket
    nextTicket += 1
    completions[ticket] = completion
    let answer = ChainOfTrust.Answer(to: question.name, question.type, of: owner, message: message)
    perform(chain.begin(ticket, answer, now: now, wall: wall))
  }

  private var now: UInt64 { reactor.time.nanoseconds }

  /// The low half: signatures count in it (RFC 4034 section 3.1.5).
  private var wall: UInt32 { UInt32(truncatingIfNeeded: wallSeconds()) }

  private func perform(_ actions: [ChainOfTrust.Action]) {
    for action in actions {
      switch action {
      case .ask(let step): ask(step)
      case .judge(let number, let judgement, let owner):
        link.judge(judgement, for: owner) { [weak self] verdict in
          guard let self else { return }
          perform(chain.judged(number, verdict, now: now, wall: wall))
        }
      case .finish(let ticket, let outcome): completions.removeValue(forKey: ticket)?(outcome)
      }
    }
  }

  private func ask(_ step: ChainOfTrust.Step) {
    questions += 1
    let manner = UpstreamPool.Manner(by: forward(step.name), isSigned: true)
    upstream.ask(name: step.name.wire.span, type: step.type, for: step.owner, as: manner) { [weak self] result in
      guard let self else { return }
      let message: [UInt8]? =
        switch result {
        case .success(let answer): answer.message
        case .failure: nil
        }
      perform(chain.answered(step, message, now: now, wall: wall))
    }
  }
}
