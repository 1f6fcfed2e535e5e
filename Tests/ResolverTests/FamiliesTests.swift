import AuditLog
import DNSWire
import GrantLedger
import IPNetwork
import TestSupport
import Testing

@testable import Resolver

@Suite("One family and the other")
struct FamiliesTests {
  private struct NoPath: ReplyPath {
    func send(_ message: [UInt8]) {}
  }

  private static let name = "api.example.com"
  private static let four = [a(name, "198.35.26.96")]
  private static let six = [a(name, "2a00:1450::5")]

  /// What is told of answers in this order.
  private func told(_ answers: [(type: RRType, code: Int, records: [[UInt8]])]) throws -> [AuditCode] {
    let snapshot = try World().snapshot()
    let asker = Asker(snapshot, ringCapacity: 1 << 16, interfaces: [:])
    var engine = ResolutionEngine(
      ledger: GrantLedger(
        lifetimes: .init(minimum: 60 * second, grace: 30 * second, maximum: 3_600 * second), maxElementsPerServer: 100,
        maxElementsPerName: 100), wallSeconds: { 1_000_000 })
    var codes: [AuditCode] = []
    var now = asker.clock.monotonic
    for answer in answers {
      asker.clock.monotonic = now
      guard case .pending(let question) = try asker.ask(Messages.query(Self.name, answer.type)) else {
        throw Asker.NoReply()
      }
      guard case .ask(let ticket, _, _) = engine.submit(question, NoPath(), now: now, epoch: 1) else {
        throw Asker.NoReply()
      }
      let message = Messages.response(Self.name, answer.type, code: answer.code, answers: answer.records)
      var action = engine.answered(ticket, .answer(message, server: "udp://192.0.2.53:53"), now: now, epoch: 1)
      if case .commit(let ticket, _, _) = action { action = engine.committed(ticket, .committed, now: now, epoch: 1) }
      guard case .finish(let finished) = action else { throw Asker.NoReply() }
      if let remark = finished.remark { codes.append(remark.code) }
      // Nothing negative is in the cache any more, and every address is.
      now += 10 * second
    }
    return codes
  }

  @Test("a name with addresses of one family of which upstream says for the other that there is none is told, once")
  func differing() throws {
    #expect(try told([(.A, 0, Self.four), (.AAAA, 3, [])]) == [.familiesDiffer])
    #expect(try told([(.AAAA, 0, Self.six), (.A, 3, [])]) == [.familiesDiffer])
    #expect(try told([(.A, 0, Self.four), (.AAAA, 3, []), (.AAAA, 3, [])]) == [.familiesDiffer])
  }

  @Test("families that both have addresses, or of which one has none, do not differ")
  func alike() throws {
    #expect(try told([(.A, 0, Self.four), (.AAAA, 0, Self.six)]).isEmpty)
    #expect(try told([(.A, 0, Self.four), (.AAAA, 0, [])]).isEmpty)
    #expect(try told([(.A, 3, []), (.AAAA, 3, [])]).isEmpty)
  }
}
