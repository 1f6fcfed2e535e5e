import DNSWire
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

    init(servers: Int = 1, withEDNS: Bool = true) {
      exchange = Exchange(
        name: Messages.name("www.example.com"), type: .A,
        candidates: (0..<servers).map { Exchange.Candidate(server: $0, wait: 400, withEDNS: withEDNS) },
        limits: UpstreamLimits(), now: now)
    }

    mutating func start() -> Step { step { $0.start(now: $1, id: $2) } }

    mutating func receive(_ message: [UInt8], after milliseconds: UInt64 = 1) -> Step {
      now += milliseconds * 1_000_000
      return step { $0.received(message.span, by: .datagram, now: $1, id: $2) }
    }

    mutating func receiveStream(_ message: [UInt8]) -> Step {
      now += 1_000_000
      return step { $0.received(message.span, by: .stream, now: $1, id: $2) }
    }

    mutating func wait(until time: UInt64) -> Step {
      now = time
      return step { $0.failed(.timeout, now: $1, id: $2) }
    }

    mutating func distrust() -> Step { step { $0.distrusted(now: $1, id: $2) } }

    mutating func lose() -> Step { step { $0.failed(.unreachable, now: $1, id: $2) } }

    private mutating func step(_ body: (inout Exchange, UInt64, UInt16) -> Exchange.Action) -> Step {
      id += 1
      return Step(body(&exchange, now, id), started: now)
    }
  }

  /// An action, told shortly.
  private struct Step: Equatable, CustomStringConvertible {
    var description: String
    var deadline: UInt64 = 0
    var message: [UInt8] = []

    init(_ action: Exchange.Action, started: UInt64) {
      switch action {
      case .wait: description = "wait"
      case .send(let server, let kind, let message, let deadline):
        description =
          "\(kind == .datagram ? "send" : "connect") \(server) \((deadline - started) / 1_000_000)"
          + Self.edns(message)
        (self.message, self.deadline) = (message, deadline)
      case .finish(let message, let server):
        description = "finish \(server)"
        self.message = message
      case .fail(let failure): description = "fail \(failure)"
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
    #expect(talk.wait(until: first.deadline).description == "send 1 400")
    for _ in 0..<2 { #expect(talk.receive([0]).description == "wait") }
    let connected = talk.receive([0])
    #expect(connected.description == "connect 1 1500")
    #expect(talk.receive(answer(connected)).description == "wait")
    #expect(talk.receiveStream(answer(connected)).description == "finish 1")
  }

  @Test("the answer to an earlier try is a wrong one")
  func late() {
    var talk = Conversation()
    let first = talk.start()
    let second = talk.wait(until: first.deadline)
    #expect(second.description == "send 0 800")
    #expect(first.id != second.id)
    #expect(talk.receive(answer(first)).description == "wait")
    #expect(talk.receive(answer(second)).description == "finish 0")
  }

  @Test("silence of all servers ends in two tries each and before the client gives up", arguments: 1...4)
  func silence(servers: Int) {
    var talk = Conversation(servers: servers)
    let start = talk.now
    var step = talk.start()
    var sends = [Int](repeating: 0, count: servers)
    var order: [String] = []
    while step.deadline > 0 {
      let server = Int(step.description.split(separator: " ")[1]) ?? 0
      sends[server] += 1
      order.append("\(server)")
      step = talk.wait(until: step.deadline)
    }
    #expect(step.description == "fail timeout")
    #expect(talk.now - start <= 3_500_000_000)
    #expect(sends.allSatisfy { $0 <= 2 })
    // All are asked once before any is asked again.
    #expect(Set(order.prefix(servers)).count == servers)
  }

  @Test("a truncated answer is asked for by TCP, whatever it holds")
  func truncated() {
    var talk = Conversation()
    let connected = talk.receive(answer(talk.start(), flags: 0x8380))
    #expect(connected.description == "connect 0 1500")
    #expect(talk.receiveStream(answer(connected)).description == "finish 0")
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
    connected = talk.receiveStream(message)
    #expect(connected.description == "fail network")
  }

  @Test("after TCP failed the next server is asked, and this one is not asked again")
  func streamLost() {
    var talk = Conversation(servers: 2)
    _ = talk.receive(answer(talk.start(), flags: 0x8380))
    let second = talk.lose()
    #expect(second.description == "send 1 400")
    let third = talk.wait(until: second.deadline)
    #expect(third.description == "send 1 800")
    #expect(talk.wait(until: third.deadline).description == "fail timeout")
  }

  @Test("a server's failure turns to the next; all of them failing is a failure at once", arguments: [2, 5, 9])
  func refused(code: Int) {
    var talk = Conversation(servers: 2)
    let second = talk.receive(answer(talk.start(), code: code))
    #expect(second.description == "send 1 400")
    #expect(talk.receive(answer(second, code: code)).description == "fail refused")
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
    #expect(talk.receive(answer(second, code: code)).description == "fail refused")
    #expect(talk.exchange.refusedEDNS.isEmpty, "what is refused with and without OPT is refused for another reason")
  }

  @Test("what is refused without EDNS is refused for good", arguments: [1, 4])
  func plainFromTheStart(code: Int) {
    var talk = Conversation(withEDNS: false)
    #expect(talk.receive(answer(talk.start(), code: code)).description == "fail refused")
    #expect(talk.exchange.refusedEDNS.isEmpty)
  }

  @Test("who is not believed any more is asked by TCP, once, and what came by TCP is believed")
  func distrusted() {
    var talk = Conversation()
    _ = talk.start()
    let connected = talk.distrust()
    #expect(connected.description == "connect 0 1500")
    #expect(talk.distrust().description == "wait")
    #expect(talk.receiveStream(answer(connected)).description == "finish 0")
    #expect(talk.distrust().description == "wait")
  }

  @Test("when the time of all tries is over no other one is begun")
  func timeIsOver() {
    var talk = Conversation(servers: 2)
    _ = talk.start()
    #expect(talk.wait(until: talk.now + UpstreamLimits().total * 1_000_000).description == "fail timeout")
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

  @Test("a bare header that refuses EDNS is understood, and any other is not")
  func bareHeader() {
    var talk = Conversation()
    let first = talk.start()
    func bare(_ code: Int) -> [UInt8] {
      Messages.be16(first.id) + Messages.be16(0x8180 | code) + [0, 0, 0, 0, 0, 0, 0, 0]
    }
    #expect(talk.receive(bare(0)).description == "wait")
    #expect(talk.receive(bare(3)).description == "wait")
    #expect(talk.receive(bare(1) + [0]).description == "wait")
    #expect(talk.receive(bare(1)).description == "send 0 800 plain")
  }

  @Test("a try after EDNS was refused is still one of two")
  func plainBound() {
    var talk = Conversation()
    let second = talk.wait(until: talk.start().deadline)
    #expect(talk.receive(answer(second, code: 1)).description == "fail refused")
  }

  @Test("no script of the network makes it send more than two datagrams and one connection to a server")
  func amplification() {
    var random = SeededRandom(seed: 25)
    for _ in 0..<20_000 {
      let servers = Int(random.next() % 3) + 1
      var talk = Conversation(servers: servers)
      var step = talk.start()
      var sent: [String: Int] = [:]
      for _ in 0..<200 {
        let words = step.description.split(separator: " ")
        if words[0] == "send" || words[0] == "connect" { sent["\(words[0]) \(words[1])", default: 0] += 1 }
        guard words[0] != "fail", words[0] != "finish" else { break }
        let last = step
        switch random.next() % 8 {
        case 0: step = talk.wait(until: max(talk.now, last.deadline))
        case 1: step = talk.receive(answer(last, flags: 0x8380))
        case 2: step = talk.receive(answer(last, code: Int(random.next() % 6)))
        case 3: step = talk.receiveStream(answer(last, code: Int(random.next() % 6)))
        case 4: step = talk.receiveStream([0])
        case 5: step = talk.lose()
        default: step = talk.receive([0])
        }
        if step.description == "wait" { step.message = last.message }
        if step.description == "wait" { step.deadline = last.deadline }
      }
      for (what, count) in sent { #expect(count <= (what.hasPrefix("send") ? 2 : 1), "\(what)") }
      #expect(step.description.hasPrefix("fail") || step.description.hasPrefix("finish"))
    }
  }
}
