import DNSWire
import TLS
import TestSupport
import Testing

@testable import Upstream

@Suite("Exchange")
struct ExchangeTests {
  /// A conversation with an exchange on a clock of its own; ids count up from 1.
  private struct Conversation: ~Copyable {
    var exchange: Exchange
    var now: UInt64 = 1_000_000_000
    var id: UInt16 = 0

    init(
      servers: Int = 1, withEDNS: Bool = true, secure: [Int] = [], letters: UInt64 = 0, cookie: [UInt8] = [],
      keepsCase: Bool = true, proof: UInt64? = nil, retreats: Bool = false
    ) {
      exchange = Exchange(
        (Messages.name("www.example.com"), .A),
        candidates: (0..<servers).map {
          Exchange.Candidate(
            server: $0, wait: 400, withEDNS: withEDNS, isSecure: secure.contains($0), proof: proof,
            keepsCase: keepsCase,
            cookie: cookie)
        }, letters: letters, retreats: retreats, limits: UpstreamLimits(), now: now)
    }

    mutating func start() -> Step { step { $0.start(now: $1, id: $2) } }

    /// A message for the attempt that was made last, or for an earlier one.
    mutating func receive(_ message: [UInt8], after milliseconds: UInt64 = 1, for sent: Step? = nil) -> Step {
      now += milliseconds * 1_000_000
      let attempt = sent?.attempt ?? newest
      return step { $0.received(message.span, for: attempt, now: $1, id: $2) }
    }

    /// The attempt that was made last, or an earlier one, has been waited for alone.
    mutating func lapse(at time: UInt64, of sent: Step? = nil) -> Step {
      now = time
      let attempt = sent?.attempt ?? newest
      return step { $0.lapsed(attempt, now: $1, id: $2) }
    }

    mutating func fail(_ sent: Step, _ failure: TransportFailure = .timeout, at time: UInt64? = nil) -> Step {
      now = time ?? now
      return step { $0.failed(failure, attempt: sent.attempt, now: $1, id: $2) }
    }

    mutating func distrust(_ server: Int) -> Step { step { $0.distrusted(server, now: $1, id: $2) } }

    mutating func folds(_ server: Int) -> Step { step { $0.folds(server, now: $1, id: $2) } }

    func listens(to sent: Step) -> Bool { exchange.listens(to: sent.attempt) }

    private var newest = 0

    private mutating func step(_ body: (inout Exchange, UInt64, UInt16) -> Exchange.Action) -> Step {
      id += 1
      let step = Step(body(&exchange, now, id), started: now)
      if step.lapse > 0 { newest = step.attempt }
      return step
    }
  }

  /// An action, told shortly: of a message the server and the milliseconds until another one is sent.
  private struct Step: Equatable, CustomStringConvertible {
    var description: String
    var lapse: UInt64 = 0
    var deadline: UInt64 = 0
    var attempt = 0
    /// Of the other one, where two were sent at once.
    var beside: Int?
    var message: [UInt8] = []

    init(_ action: Exchange.Action, started: UInt64) {
      switch action {
      case .wait: description = "wait"
      case .send(let sending):
        description = Self.text(sending, started)
        (message, lapse, deadline, attempt) = (sending.message, sending.lapse, sending.deadline, sending.attempt)
      case .sendBoth(let first, let sending):
        description = Self.text(first, started) + " and " + Self.text(sending, started)
        (message, lapse, deadline, attempt) = (sending.message, sending.lapse, sending.deadline, sending.attempt)
        beside = first.attempt
      case .finish(let message, let server, let attempt):
        description = "finish \(server)"
        (self.message, self.attempt) = (message, attempt)
      case .fail(.refused(let code, let server)): description = "fail \(server) \(code)"
      case .fail(let failure): description = "fail \(failure)"
      }
    }

    private static func text(_ sending: Exchange.Sending, _ started: UInt64) -> String {
      "\(verb(sending.kind)) \(sending.server) \((sending.lapse - started) / 1_000_000)" + edns(sending.message)
    }

    private static func verb(_ kind: TransportKind) -> String {
      switch kind {
      case .datagram: "send"
      case .stream: "connect"
      case .secure: "secure"
      }
    }

    private static func edns(_ message: [UInt8]) -> String { message[11] == 0 ? " plain" : "" }

    var id: Int { message.count < 2 ? 0 : Int(message[0]) << 8 | Int(message[1]) }
  }

  private func answer(_ step: Step, code: Int = 0, flags: Int = 0x8180) -> [UInt8] {
    Messages.response(
      "www.example.com", .A, id: step.id, code: code, flags: flags,
      answers: code == 0 ? [Messages.record("www.example.com", .A, [192, 0, 2, 1])] : [])
  }

  @Test("a good answer ends it")
  func good() {
    var talk = Conversation()
    let sent = talk.start()
    #expect(sent.description == "send 0 400")
    let message = answer(sent)
    let end = talk.receive(message)
    #expect(end.description == "finish 0")
    #expect(end.message == message)
    // Whatever still comes is late.
    #expect(talk.receive(message).description == "wait")
    #expect(talk.exchange.wrongAnswers == 0)
  }

  @Test("case may differ, nothing else of the question may")
  func question() {
    var talk = Conversation()
    let sent = talk.start()
    let wrong: [[UInt8]] = [
      Messages.response("www.example.org", .A, id: sent.id), Messages.response("www.example.com", .AAAA, id: sent.id),
      Messages.response("www.example.com", .A, id: sent.id ^ 1),
      Messages.response("www.example.com", .A, id: sent.id, flags: 0x0180),
      Messages.response("www.example.com", .A, id: sent.id, flags: 0x8980),
      Array(answer(sent).dropLast(20).dropFirst()),
      [],
    ]
    for message in wrong { #expect(talk.receive(message).description == "wait") }
    #expect(talk.exchange.wrongAnswers == 7)
    #expect(talk.receive(Messages.response("wWw.ExAmPlE.cOm", .A, id: sent.id)).description == "finish 0")
  }

  @Test("the eighth wrong answer turns to TCP, over all tries of the exchange")
  func flood() {
    var talk = Conversation(servers: 2)
    let first = talk.start()
    for _ in 0..<5 { #expect(talk.receive([0]).description == "wait") }
    let second = talk.lapse(at: first.lapse)
    #expect(second.description == "send 1 400")
    for _ in 0..<2 { #expect(talk.receive([0]).description == "wait") }
    let both = talk.receive([0])
    #expect(both.description == "connect 1 1500 and send 1 400")
    #expect(talk.receive(answer(second), for: second).description == "wait", "nothing is taken by that port any more")
    #expect(talk.receive(answer(both)).description == "finish 1", "but by the other one")
  }

  @Test("where the other port is guessed at as well, TCP alone is left, and nothing more is sent")
  func floodOfBothPorts() {
    var talk = Conversation()
    _ = talk.start()
    for _ in 0..<7 { #expect(talk.receive([0]).description == "wait") }
    let both = talk.receive([0])
    #expect(both.description == "connect 0 1500 and send 0 400")
    for _ in 0..<20 { #expect(talk.receive([0], for: both).description == "wait") }
    #expect(talk.exchange.wrongAnswers == 16)
    #expect(talk.receive(answer(both), for: both).description == "wait" && !talk.listens(to: both))
    var stream = both
    stream.attempt = both.beside ?? -1
    #expect(talk.receive(answer(both), for: stream).description == "finish 0")
  }

  @Test("a flood after both datagrams were sent turns to TCP alone")
  func floodAfterBoth() {
    var talk = Conversation()
    let first = talk.start()
    let second = talk.lapse(at: first.lapse)
    for number in 0..<7 { #expect(talk.receive([0], for: number % 2 == 0 ? first : second).description == "wait") }
    #expect(talk.receive([0], for: first).description == "connect 0 1500")
    #expect(!talk.listens(to: first) && !talk.listens(to: second))
  }

  @Test("a server that sends the question elsewhere does not resolve for us: the next one is asked")
  func referral() {
    let servers = Messages.record("com", .NS, Messages.name("a.gtld-servers.net"))
    let glue = Messages.record("a.gtld-servers.net", .A, [192, 5, 6, 30])
    var talk = Conversation(servers: 2)
    let sent = talk.start()
    let referral = Messages.response("www.example.com", .A, id: sent.id, authorities: [servers], additionals: [glue])
    let next = talk.receive(referral)
    #expect(next.description == "send 1 400")
    #expect(talk.exchange.refusals == [Exchange.Refusal(server: 0, code: .REFUSED)])
    // With an SOA it is a denial of the type (RFC 2308 section 2.2), and so it is without either.
    let denial = Messages.response(
      "www.example.com", .A, id: next.id, authorities: [servers, Messages.soa("example.com")])
    #expect(talk.receive(denial).description == "finish 1")
    var other = Conversation()
    #expect(other.receive(Messages.response("www.example.com", .A, id: other.start().id)).description == "finish 0")
    var last = Conversation()
    let only = last.start()
    #expect(
      last.receive(Messages.response("www.example.com", .A, id: only.id, authorities: [servers])).description
        == "fail 0 REFUSED")
  }

  @Test("lame and slow servers in turn: each is asked once before any is asked again")
  func lameAndSlow() {
    var talk = Conversation(servers: 4)
    let slow = talk.start()
    let lame = talk.lapse(at: slow.lapse)
    #expect(lame.description == "send 1 400")
    let silent = talk.receive(answer(lame, code: 5))
    #expect(silent.description == "send 2 400")
    let broken = talk.lapse(at: silent.lapse)
    #expect(broken.description == "send 3 400")
    #expect(talk.receive(answer(broken, code: 2)).description == "send 0 800", "those that said no are asked no more")
    #expect(talk.receive(answer(slow), for: slow).description == "finish 0")
  }

  @Test("a server that sends one wrong answer to each datagram is asked by TCP the second time")
  func wrongIDs() {
    var talk = Conversation()
    let first = talk.start()
    #expect(talk.receive(Messages.response("www.example.com", .A, id: first.id ^ 1)).description == "wait")
    let connected = talk.lapse(at: first.lapse)
    #expect(connected.description == "connect 0 1500")
    #expect(talk.receive(answer(connected)).description == "finish 0")
  }

  @Test(
    "an answer by TCP is waited for as long as may be, and where nothing but TCP is asked twice as long as was measured",
    arguments: [(400, false, 1500), (400, true, 800), (1000, true, 1500)] as [(UInt64, Bool, UInt64)])
  func streamWait(wait: UInt64, isMeasured: Bool, expected: UInt64) {
    let candidate = Exchange.Candidate(
      server: 0, wait: wait, withEDNS: true, byStream: true, isMeasuredByStream: isMeasured)
    var exchange = Exchange(
      (Messages.name("www.example.com"), .A), candidates: [candidate], limits: UpstreamLimits(), now: 0)
    guard case .send(let sent) = exchange.start(now: 0, id: 1) else {
      Issue.record("nothing is sent")
      return
    }
    #expect(sent.kind == .stream && sent.lapse == expected * 1_000_000)
  }

  @Test("a server without TCP that sent one wrong answer is heard on by its datagram")
  func wrongOnce() {
    var talk = Conversation()
    let first = talk.start()
    _ = talk.receive([0])
    let connected = talk.lapse(at: first.lapse)
    #expect(talk.fail(connected, .broken).description == "wait")
    #expect(talk.receive(answer(first), for: first).description == "finish 0")
  }

  @Test(
    "the answer to an earlier try is an answer, as long as the whole lasts",
    arguments: [450, 1600, 2100, 3499] as [UInt64])
  func late(milliseconds: UInt64) {
    var talk = Conversation()
    let start = talk.now
    let first = talk.start()
    let second = talk.lapse(at: first.lapse)
    #expect(second.description == "send 0 800")
    #expect(first.id != second.id)
    if start + milliseconds * 1_000_000 > second.lapse {
      #expect(talk.lapse(at: second.lapse).description == "wait", "nothing more is sent, and both are listened to")
    }
    #expect((talk.listens(to: first), talk.listens(to: second)) == (true, true))
    talk.now = start + (milliseconds - 1) * 1_000_000
    #expect(talk.receive(answer(second), for: first).description == "wait", "each has an id of its own")
    let end = talk.receive(answer(first), after: 0, for: first)
    #expect(end.description == "finish 0" && end.attempt == first.attempt)
    #expect(talk.receive(answer(second), for: second).description == "wait")
  }

  @Test("an attempt that is abandoned is not heard any more, but for the one that is being waited for")
  func abandoned() {
    var talk = Conversation()
    let first = talk.start()
    let second = talk.lapse(at: first.lapse)
    talk.exchange.abandon(first.attempt)
    talk.exchange.abandon(second.attempt)
    #expect(talk.receive(answer(first), for: first).description == "wait")
    #expect(talk.receive(answer(second), for: second).description == "finish 0")
  }

  @Test("an attempt that was waited for already has nothing sent a second time")
  func lapsedTwice() {
    var talk = Conversation(servers: 2)
    let first = talk.start()
    let second = talk.lapse(at: first.lapse)
    #expect(second.description.hasPrefix("send 1"))
    #expect(talk.lapse(at: first.lapse + 1, of: first).description == "wait")
    #expect(talk.lapse(at: second.lapse, of: second).description.hasPrefix("send 0"))
  }

  @Test("silence of all servers ends in two tries each, and exactly when the time of the whole is up", arguments: 1...4)
  func silence(servers: Int) {
    var talk = Conversation(servers: servers)
    let start = talk.now
    var step = talk.start()
    let end = step.deadline
    #expect(end - start == 3_500_000_000)
    var tries: [(server: Int, step: Step)] = []
    while step.lapse > 0 {
      #expect(step.deadline == end, "each is listened to until the end")
      tries.append((Int(step.description.split(separator: " ")[1]) ?? 0, step))
      step = talk.lapse(at: step.lapse)
    }
    #expect(step.description == (talk.now < end ? "wait" : "fail timeout"))
    if talk.now < end {
      step = talk.fail(tries[0].step, at: end)
    }
    #expect(step.description == "fail timeout")
    for server in 0..<servers { #expect((1...2).contains(tries.count { $0.server == server })) }
    // All are asked once before any is asked again.
    #expect(Set(tries.prefix(servers).map(\.server)).count == servers)
  }

  @Test("a truncated answer is asked for by TCP, whatever it holds")
  func truncated() {
    var talk = Conversation()
    let connected = talk.receive(answer(talk.start(), flags: 0x8380))
    #expect(connected.description == "connect 0 1500")
    #expect(talk.receive(answer(connected)).description == "finish 0")
  }

  @Test("a header alone that says that the answer is truncated is asked for by TCP; one without the id is not")
  func bareTruncation() {
    var talk = Conversation()
    let first = talk.start()
    func bare(_ id: Int) -> [UInt8] { Messages.be16(id) + Messages.be16(0x8380) + [0, 0, 0, 0, 0, 0, 0, 0] }
    #expect(talk.receive(bare(first.id ^ 1)).description == "wait")
    let connected = talk.receive(bare(first.id))
    #expect(connected.description == "connect 0 1500")
    #expect(talk.receive(bare(connected.id)).description == "fail network", "by TCP there is room")
  }

  @Test("a wrong message by TCP ends that try", arguments: [0, 1, 2])
  func stream(fault: Int) {
    var talk = Conversation()
    var connected = talk.receive(answer(talk.start(), flags: 0x8380))
    let message =
      switch fault {
      case 0: Messages.response("www.example.com", .A, id: connected.id ^ 1)
      case 1: Messages.response("www.example.org", .A, id: connected.id)
      default: answer(connected, flags: 0x8380)
      }
    connected = talk.receive(message)
    #expect(connected.description == "fail network")
  }

  @Test("after TCP failed the next server is asked, and this one is not asked again")
  func streamLost() {
    var talk = Conversation(servers: 2)
    let connected = talk.receive(answer(talk.start(), flags: 0x8380))
    let second = talk.fail(connected, .unreachable)
    #expect(second.description == "send 1 400")
    let third = talk.lapse(at: second.lapse)
    #expect(third.description == "send 1 800")
    #expect(talk.lapse(at: third.lapse).description == "wait")
    #expect(talk.fail(second, at: third.deadline).description == "fail timeout")
  }

  @Test("a server that is distrusted goes on by TCP, once, and another one's attempts stay")
  func distrusted() {
    var talk = Conversation(servers: 2)
    let first = talk.start()
    let second = talk.lapse(at: first.lapse)
    let waits = (talk.exchange.waits(for: 0), talk.exchange.waits(for: 1))
    #expect(waits == (true, true))
    var unasked = Conversation(servers: 2)
    _ = unasked.start()
    #expect(unasked.distrust(1).description == "wait", "it is not its turn")
    let connected = talk.distrust(0)
    #expect(connected.description == "connect 0 1500")
    #expect(talk.distrust(0).description == "wait")
    #expect(talk.receive(answer(first), for: first).description == "wait")
    #expect(talk.receive(answer(second), for: second).description == "finish 1")
  }

  @Test("a server's failure turns to the next; all of them failing is a failure at once", arguments: [2, 5, 9])
  func refused(code: Int) {
    var talk = Conversation(servers: 2)
    let second = talk.receive(answer(talk.start(), code: code))
    #expect(second.description == "send 1 400")
    let said = ResponseCode(rawValue: UInt16(code))
    #expect(talk.receive(answer(second, code: code)).description == "fail 1 \(said)")
    #expect(talk.exchange.refusals == [.init(server: 0, code: said), .init(server: 1, code: said)])
  }

  @Test("what one server said is told, and not that the other one was silent", arguments: [false, true])
  func refusedAndSilent(silentFirst: Bool) {
    var talk = Conversation(servers: 2)
    let first = talk.start()
    let second = silentFirst ? talk.lapse(at: first.lapse) : talk.receive(answer(first, code: 5))
    var third = silentFirst ? talk.receive(answer(second, code: 5)) : talk.lapse(at: second.lapse)
    #expect(third.description == "send \(silentFirst ? 0 : 1) 800")
    third = talk.lapse(at: third.lapse)
    #expect(third.description == "wait", "the silent one may only be slow")
    #expect(
      talk.fail(silentFirst ? first : second, at: first.deadline).description == "fail \(silentFirst ? 1 : 0) REFUSED")
  }

  @Test("a refusal ends every attempt to that server")
  func refusedLate() {
    var talk = Conversation()
    let first = talk.start()
    let second = talk.lapse(at: first.lapse)
    #expect(talk.receive(answer(first, code: 2), for: first).description == "fail 0 SERVFAIL")
    #expect(talk.listens(to: second) == false)
  }

  @Test("a name that does not exist is an answer")
  func nonexistent() {
    var talk = Conversation()
    #expect(talk.receive(answer(talk.start(), code: 3)).description == "finish 0")
  }

  @Test("EDNS that is refused is left out once", arguments: [1, 4])
  func plain(code: Int) {
    var talk = Conversation()
    let second = talk.receive(answer(talk.start(), code: code))
    #expect(second.description == "send 0 800 plain")
    let said = ResponseCode(rawValue: UInt16(code))
    #expect(talk.receive(answer(second, code: code)).description == "fail 0 \(said)")
    #expect(talk.exchange.refusedEDNS.isEmpty, "what is refused with and without OPT is refused for another reason")
  }

  @Test("only a plain answer that succeeds shows that OPT was the reason", arguments: [0, 2, 3, 5])
  func plainSucceeds(code: Int) {
    var talk = Conversation()
    let second = talk.receive(answer(talk.start(), code: 1))
    #expect(talk.exchange.refusedEDNS.isEmpty)
    _ = talk.receive(answer(second, code: code))
    #expect(talk.exchange.refusedEDNS == (code == 0 || code == 3 ? [0] : []))
  }

  @Test("BADVERS, which only the OPT tells, is no answer without records")
  func badVersion() {
    var talk = Conversation()
    let first = talk.start()
    // The extended code 1 stands in the top octet of the OPT's TTL.
    let opt = [0] + Messages.be16(41) + Messages.be16(1232) + [1, 0, 0, 0] + Messages.be16(0)
    let message = Messages.response("www.example.com", .A, id: first.id, additionals: [opt])
    #expect(talk.receive(message).description == "send 0 800 plain")
  }

  @Test("a bare header that is a refusal is understood, and any other is not")
  func bareHeader() {
    var talk = Conversation()
    let first = talk.start()
    func bare(_ code: Int) -> [UInt8] {
      Messages.be16(first.id) + Messages.be16(0x8180 | code) + [0, 0, 0, 0, 0, 0, 0, 0]
    }
    #expect(talk.receive(bare(0)).description == "wait")
    #expect(talk.receive(bare(3)).description == "wait")
    for code in [1, 2, 5] {
      var other = Conversation()
      let said = code == 1 ? "send 0 800 plain" : "fail 0 \(ResponseCode(rawValue: UInt16(code)))"
      #expect(other.start().id == first.id)
      #expect(other.receive(bare(code)).description == said)
    }
  }

  @Test("a datagram after EDNS was refused is still one of two: where both were sent the retry is a connection")
  func plainBound() {
    var talk = Conversation()
    let second = talk.lapse(at: talk.start().lapse)
    let third = talk.receive(answer(second, code: 1))
    #expect(third.description == "connect 0 1500 plain")
    #expect(talk.receive(answer(third)).description == "finish 0")
    #expect(talk.exchange.refusedEDNS == [0])
  }

  @Test("EDNS that is refused by TCP, after a doubtful datagram or of a distrusted server, is left out once")
  func plainByStream() {
    for isDistrusted in [false, true] {
      var talk = Conversation()
      let first = talk.start()
      var connected: Step
      if isDistrusted {
        connected = talk.distrust(0)
      } else {
        #expect(talk.receive([0]).description == "wait")
        connected = talk.lapse(at: first.lapse)
      }
      #expect(connected.description == "connect 0 1500")
      let plain = talk.receive(answer(connected, code: 1))
      #expect(plain.description == "connect 0 1500 plain")
      #expect(talk.receive(answer(plain)).description == "finish 0")
      #expect(talk.exchange.refusedEDNS == [0], "it is known, and asked without from the start")
    }
  }

  @Test("EDNS that is refused by a late datagram ends the connection with it, and is left out of the next")
  func plainBesideStream() {
    var talk = Conversation()
    let first = talk.start()
    #expect(talk.receive([0]).description == "wait")
    let connected = talk.lapse(at: first.lapse)
    let plain = talk.receive(answer(first, code: 1), for: first)
    #expect(plain.description == "connect 0 1500 plain" && !talk.listens(to: connected))
    #expect(talk.receive(answer(plain, code: 1)).description == "fail 0 FORMERR", "and no third time")
  }

  @Test(
    "no script of the network makes it send more than two datagrams and one connection, and one without EDNS, to a server"
  )
  func amplification() {
    var random = SeededRandom(seed: 25)
    for _ in 0..<20_000 {
      let servers = Int(random.next() % 3) + 1
      var talk = Conversation(servers: servers)
      var step = talk.start()
      var made: [Step] = [step]
      var sent: [String: Int] = [:]
      for _ in 0..<200 {
        let words = step.description.split(separator: " ")
        for part in step.description.split(separator: " and ") {
          let words = part.split(separator: " ")
          let isPlain = words[0] == "connect" && words.last == "plain"
          if words[0] == "send" || words[0] == "connect" {
            sent["\(words[0]) \(words[1])\(isPlain ? " plain" : "")", default: 0] += 1
          }
        }
        guard words[0] != "fail", words[0] != "finish" else { break }
        let any = made[Int(random.next() % UInt64(made.count))]
        switch random.next() % 10 {
        case 0, 1: step = talk.lapse(at: max(talk.now, made[made.count - 1].lapse))
        case 2: step = talk.receive(answer(any, flags: 0x8380), for: any)
        case 3, 4: step = talk.receive(answer(any, code: Int(random.next() % 6)), for: any)
        case 5: step = talk.fail(any, .broken)
        case 6: step = talk.fail(any, at: max(talk.now, random.next() % 4 == 0 ? any.deadline : any.lapse))
        case 7: step = talk.distrust(Int(random.next() % UInt64(servers)))
        default: step = talk.receive([0], for: any)
        }
        if step.lapse > 0 { made.append(step) }
        if let beside = step.beside {
          made.append(step)
          made[made.count - 1].attempt = beside
        }
      }
      for (what, count) in sent { #expect(count <= (what.hasPrefix("send") ? 2 : 1), "\(what)") }
      #expect(step.description.hasPrefix("fail") || step.description.hasPrefix("finish"))
    }
  }

  @Test("a server that is asked by TLS is asked by nothing else, whatever it says, twice at most")
  func secure() {
    var random = SeededRandom(seed: 3)
    for _ in 0..<300 {
      var talk = Conversation(secure: [0])
      var step = talk.start()
      var sent = 0
      while step.lapse > 0 {
        sent += 1
        #expect(
          step.description.hasPrefix("secure 0") && step.message.count % 128 == 0 || step.description.hasSuffix("plain")
        )
        // BADCOOKIE: the upper bits of its code are the OPT's.
        let opt = [0] + Messages.be16(41) + Messages.be16(1232) + [1, 0, 0, 0] + Messages.be16(0)
        switch random.next() % 7 {
        case 6: step = talk.receive(Messages.response("www.example.com", .A, id: step.id, code: 7, additionals: [opt]))
        case 0: step = talk.receive(answer(step, flags: 0x8380))
        case 1: step = talk.receive(answer(step, code: 1))
        case 2: step = talk.receive(answer(step, code: 2))
        case 3: step = talk.receive(Messages.response("www.example.org", .A, id: step.id))
        case 4: step = talk.fail(step, .broken)
        default: step = talk.fail(step, .timeout)
        }
      }
      #expect(sent <= 2 && step.description.hasPrefix("fail"), "\(step)")
    }
  }

  @Test("what was sent by TLS is on its way: nothing is asked in the clear beside it, only once the connection ended")
  func secureLapse() {
    var talk = Conversation(servers: 2, secure: [0])
    let first = talk.start()
    #expect(first.description == "secure 0 400")
    #expect(talk.lapse(at: first.lapse).description == "wait")
    #expect(talk.fail(first, .broken).description == "send 1 400")
    #expect(talk.lapse(at: talk.now + 400_000_000).description == "secure 0 400")
    var both = Conversation(servers: 2, secure: [0, 1])
    #expect(both.lapse(at: both.start().lapse).description == "secure 1 400")
    var alone = Conversation(secure: [0])
    let only = alone.start()
    #expect(alone.lapse(at: only.lapse).description == "wait")
    #expect(alone.receive(answer(only), for: only).description == "finish 0")
  }

  @Test("a server that is not to be trusted is not asked again, and the failure says why")
  func untrusted() {
    var talk = Conversation(servers: 2, secure: [0, 1])
    let first = talk.start()
    let second = talk.fail(first, .untrusted(.expired))
    #expect(second.description == "secure 1 400")
    #expect(
      talk.fail(second, .untrusted(.otherName)).description == "fail untrusted(TLS.TLSFailure.otherName, server: 1)")
  }

  // MARK: - Case

  /// W, second w and so on in upper case.
  private static let letters: UInt64 = 0b1011

  /// The answer to what was sent, in the case in which it was sent or in lower case, with a cookie or without.
  private func said(
    _ step: Step, keepingCase: Bool = true, cookie: [UInt8]? = nil, code: Int = 0
  ) -> [UInt8] {
    let option = cookie.map { Messages.be16(10) + Messages.be16($0.count) + $0 } ?? []
    let opt = [0] + Messages.be16(41) + Messages.be16(1232) + [UInt8(code >> 4), 0, 0, 0] + Messages.be16(option.count)
    var message = Messages.response(
      "www.example.com", .A, id: step.id, code: code & 15,
      answers: code == 0 ? [Messages.record("www.example.com", .A, [192, 0, 2, 1])] : [],
      additionals: cookie == nil && code < 16 ? [] : [opt + option])
    if keepingCase { message.replaceSubrange(12..<29, with: step.message[12..<29]) }
    return message
  }

  private func name(_ step: Step) -> String { NameWire.presentation(Array(step.message[12..<29]).span) }

  @Test("a name is asked in letters of chance, and an answer in the same is one")
  func spelled() {
    var talk = Conversation(letters: Self.letters)
    let sent = talk.start()
    #expect(name(sent) == "WWw.Example.com")
    #expect(talk.receive(said(sent)).description == "finish 0")
    #expect(talk.exchange.foldingCase.isEmpty && talk.exchange.wrongAnswers == 0)
  }

  @Test(
    "an answer in other letters is not taken, and TCP is asked; a server that says so there as well does not keep case")
  func folding() {
    var talk = Conversation(letters: Self.letters)
    let connected = talk.receive(said(talk.start(), keepingCase: false))
    #expect(connected.description == "connect 0 1500" && name(connected) == "WWw.Example.com")
    #expect(talk.receive(said(connected, keepingCase: false)).description == "finish 0")
    #expect(talk.exchange.foldingCase == [0] && talk.exchange.wrongAnswers == 0)
  }

  @Test("a server that keeps case by TCP did not send the datagram: it counts as forged")
  func forgedCase() {
    var talk = Conversation(letters: Self.letters)
    let connected = talk.receive(said(talk.start(), keepingCase: false))
    #expect(talk.receive(said(connected)).description == "finish 0")
    #expect(talk.exchange.foldingCase.isEmpty && talk.exchange.wrongAnswers == 1)
  }

  @Test("a server without TCP that does not keep case is asked in lower case, once")
  func foldingWithoutTCP() {
    var talk = Conversation(letters: Self.letters)
    let connected = talk.receive(said(talk.start(), keepingCase: false))
    let second = talk.fail(connected, .broken)
    #expect(second.description == "send 0 800" && name(second) == "www.example.com")
    #expect(talk.receive(said(second)).description == "finish 0")
    #expect(talk.exchange.foldingCase == [0])
  }

  @Test("where TCP is silent, a server that does not keep case is asked in lower case after two round trips, itself")
  func foldingWithSilentTCP() {
    var talk = Conversation(servers: 2, letters: Self.letters, proof: 80)
    let connected = talk.receive(said(talk.start(), keepingCase: false))
    #expect(connected.description == "connect 0 80")
    let second = talk.lapse(at: connected.lapse)
    #expect(second.description == "send 0 800" && name(second) == "www.example.com")
    let listens = talk.listens(to: connected)
    #expect(listens)
    #expect(talk.receive(said(second)).description == "finish 0")
    #expect(talk.exchange.foldingCase == [0])
  }

  @Test("a connection that shows case to be kept is believed, however late, and nothing is remembered")
  func keepingWithSlowTCP() {
    var talk = Conversation(letters: Self.letters, proof: 80)
    let connected = talk.receive(said(talk.start(), keepingCase: false))
    _ = talk.lapse(at: connected.lapse)
    #expect(talk.receive(said(connected), for: connected).description == "finish 0")
    #expect(talk.exchange.foldingCase.isEmpty && talk.exchange.wrongAnswers == 1)
  }

  @Test("silence to letters shows where a second datagram, in lower case, is answered and the first is not")
  func silentToLetters() {
    var talk = Conversation(letters: Self.letters, retreats: true)
    let first = talk.start()
    #expect(name(first) != "www.example.com")
    let second = talk.lapse(at: first.lapse)
    #expect(name(second) == "www.example.com")
    #expect(talk.receive(said(second)).description == "finish 0")
    #expect(talk.exchange.isSilentToLetters && talk.exchange.keepingCase == nil)

    var slow = Conversation(letters: Self.letters, retreats: true)
    let asked = slow.start()
    _ = slow.lapse(at: asked.lapse)
    #expect(slow.receive(said(asked), for: asked).description == "finish 0")
    #expect(!slow.exchange.isSilentToLetters && slow.exchange.keepingCase == 0)

    // Where wrong answers made us leave the first one's port, no silence shows.
    var meddled = Conversation(letters: Self.letters, retreats: true)
    let left = meddled.start()
    var turned = left
    for _ in 0..<8 {
      turned = meddled.receive(Messages.response("www.example.com", .A, id: left.id ^ 1), for: left)
    }
    #expect(turned.beside != nil && name(turned) == "www.example.com")
    #expect(meddled.receive(said(turned), for: turned).description == "finish 0")
    let isSilent = meddled.exchange.isSilentToLetters
    #expect(!isSilent)
  }

  @Test("what was asked in letters of a server that turns out to be silent to them is asked by TCP")
  func turnsOutSilent() {
    var talk = Conversation(servers: 2, letters: Self.letters)
    _ = talk.start()
    #expect(talk.folds(1).description == "wait")
    let connected = talk.folds(0)
    #expect(connected.description == "connect 0 1500" && name(connected) == "www.example.com")
    #expect(talk.folds(0).description == "wait")
    var lower = Conversation(keepsCase: false)
    _ = lower.start()
    #expect(lower.folds(0).description == "wait", "its answer is waited for")
  }

  @Test("a server that is known not to keep case is asked in lower case, and heard by its datagram")
  func knownFolding() {
    var talk = Conversation(letters: Self.letters, keepsCase: false)
    let sent = talk.start()
    #expect(name(sent) == "www.example.com")
    #expect(talk.receive(said(sent, keepingCase: false)).description == "finish 0")
  }

  @Test("datagrams that are doubtful beside are not asked for again after TCP failed")
  func foldingAndDoubtful() {
    var talk = Conversation(letters: Self.letters)
    let sent = talk.start()
    _ = talk.receive([0])
    let connected = talk.receive(said(sent, keepingCase: false))
    #expect(talk.fail(connected, .broken).description == "fail network")
  }

  // MARK: - Cookies

  private static let ours: [UInt8] = Array(1...8)
  private static let given: [UInt8] = ours + Array(101...116)

  @Test("a cookie that a server gives is learned, and an answer with another client's part is wrong")
  func cookie() {
    var talk = Conversation(cookie: Self.ours)
    let sent = talk.start()
    #expect(Array(sent.message.suffix(12)) == [0, 10, 0, 8] + Self.ours)
    #expect(talk.receive(said(sent, cookie: Array(2...9) + Array(101...116))).description == "wait")
    #expect(talk.exchange.wrongAnswers == 1)
    #expect(talk.receive(said(sent, cookie: Self.given)).description == "finish 0")
    #expect(talk.exchange.cookies.map { $0.cookie } == [Self.given] && talk.exchange.withoutCookies.isEmpty)
  }

  @Test("a server that never gave one need not", arguments: [nil, [1, 2, 3, 4, 5, 6, 7, 8]] as [[UInt8]?])
  func noCookie(cookie: [UInt8]?) {
    var talk = Conversation(cookie: Self.ours)
    #expect(talk.receive(said(talk.start(), cookie: cookie)).description == "finish 0")
    #expect(talk.exchange.cookies.isEmpty && talk.exchange.withoutCookies.isEmpty)
  }

  @Test("an answer without the cookie that its server gives is not taken, and TCP is asked", arguments: [false, true])
  func missingCookie(isForged: Bool) {
    var talk = Conversation(cookie: Self.given)
    let connected = talk.receive(said(talk.start()))
    #expect(connected.description == "connect 0 1500")
    #expect(talk.receive(said(connected, cookie: isForged ? Self.given : nil)).description == "finish 0")
    #expect(talk.exchange.withoutCookies == (isForged ? [] : [0]))
    #expect(talk.exchange.wrongAnswers == (isForged ? 1 : 0))
  }

  @Test("a refusal without the cookie, by which a forger would have EDNS left out, is not taken either")
  func forgedRefusal() {
    var talk = Conversation(cookie: Self.given)
    let connected = talk.receive(said(talk.start(), code: 1))
    #expect(connected.description == "connect 0 1500")
    #expect(talk.receive(said(connected, cookie: Self.given)).description == "finish 0")
    #expect(talk.exchange.refusedEDNS.isEmpty)
  }

  @Test("BADCOOKIE is asked again with the cookie that came with it, and then by TCP")
  func badCookie() {
    var talk = Conversation(cookie: Self.given)
    let new = Self.ours + Array(201...216)
    let second = talk.receive(said(talk.start(), cookie: new, code: 23))
    #expect(second.description == "send 0 800" && Array(second.message.suffix(24)) == new)
    let connected = talk.receive(said(second, cookie: new, code: 23))
    #expect(connected.description == "connect 0 1500")
    #expect(talk.receive(said(connected, cookie: new, code: 23)).description == "fail 0 BADCOOKIE")
  }
}
