import DNSWire
import LinuxIO
import TestSupport
import Testing

@testable import Upstream

/// The parts of a TLS connection that need none.
@Suite("Parts of DNS over TLS")
struct SecurePartsTests {
  @Test("messages come out whole, whatever pieces they come in", arguments: [1, 2, 3, 7, 4096])
  func frames(piece: Int) throws {
    var random = SeededRandom(seed: UInt64(piece))
    let messages = (0..<50).map { _ in (0..<(12 + Int(random.next() % 600))).map { _ in UInt8(random.next() & 255) } }
    let stream = messages.flatMap(FakeUpstream.framed)
    var frames = MessageFrames()
    var found: [[UInt8]] = []
    for start in stride(from: 0, to: stream.count, by: piece) {
      frames.append(stream[start..<min(start + piece, stream.count)])
      while let message = try frames.next() { found.append(message) }
    }
    #expect(found == messages)
    #expect(!frames.isInMessage)
    frames.append([0])
    #expect(try frames.next() == nil)
    #expect(frames.isInMessage)
    frames.append(([0x0B] as [UInt8] + [UInt8](repeating: 0, count: 11))[...])
    #expect(throws: MessageFrames.MalformedError.self) { try frames.next() }
  }

  @Test("a server is connected to again soon, then after twice as long each time, and soon after an answer")
  func reconnection() {
    var reconnection = Reconnection()
    #expect(reconnection.earliest == 0)
    let waits = (0..<9).map { _ in
      reconnection.failed(now: 5_000_000_000)
      return (reconnection.earliest - 5_000_000_000) / 1_000_000
    }
    #expect(waits == [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000])
    reconnection.succeeded()
    #expect(reconnection.earliest == 0)
    reconnection.failed(now: 0)
    #expect(reconnection.earliest == 200_000_000)
  }

  @Test("each message has an id that is no other's, until its answer comes")
  func ids() {
    var random = SecureRandom()
    var ids = ConnectionIDs<Int>()
    var given: [UInt16: Int] = [:]
    for call in 0..<ConnectionIDs<Int>.capacity {
      #expect(!ids.isFull)
      given[ids.add(call, &random)] = call
    }
    #expect(ids.isFull && given.count == ConnectionIDs<Int>.capacity && ids.count == given.count)
    for (id, call) in given where call % 2 == 0 {
      ids.abandon(id)
      ids.abandon(id)
    }
    #expect(ids.isFull && ids.count == given.count / 2)
    for (id, call) in given where call < 100 {
      switch ids.answered(id) {
      case .call(let answered): #expect(answered == call && call % 2 == 1)
      case .abandoned: #expect(call % 2 == 0)
      case .unasked: Issue.record("asked with \(id)")
      }
      guard case .unasked = ids.answered(id) else {
        Issue.record("answered twice")
        return
      }
    }
    #expect(!ids.isFull)
    #expect(Set(ids.removeAll()) == Set(given.values.filter { $0 % 2 == 1 && $0 >= 100 }))
    #expect(ids.isEmpty && ids.count == 0)
  }

  @Test("behind what breaks the rules nothing is heard, though it be whole")
  func broken() {
    let answer = FakeUpstream.framed([UInt8](repeating: 0, count: 12))
    for wrong in [[0, 2, 0, 0], answer] as [[UInt8]] {
      let conversation = FramedConversation()
      conversation.receive((wrong + answer)[...])
      guard case .broken? = conversation.next() else {
        Issue.record("\(wrong) is taken")
        continue
      }
      let isSilent = if case nil = conversation.next() { true } else { false }
      #expect(isSilent)
    }
  }

  @Test("an upstream that is asked in lower case is not doubted, and one that keeps letters is not either")
  func doubts() {
    let limits = UpstreamLimits()
    var memory = CaseMemory()
    memory.folded(now: 10, limits)
    let folded = memory.isDoubted(since: 5, now: 20, limits)
    memory.kept(now: 20)
    let kept = memory.isDoubted(since: 5, now: 30, limits)
    let silent = memory.isDoubted(since: 25, now: 30, limits)
    let again = memory.isDoubted(since: 25, now: 31, limits)
    #expect([folded, kept, silent, again] == [false, false, true, false])
  }

  @Test("a padded query says the same as another one, in whole blocks")
  func padding() throws {
    for length in 1...60 {
      let name = Messages.name(String(repeating: "a", count: length) + ".example.com")
      let plain = UpstreamQuery.message(id: 7, name: name, type: .A, withEDNS: true)
      let padded = UpstreamQuery.message(id: 7, name: name, type: .A, withEDNS: true, .init(isPadded: true))
      #expect(padded.count % 128 == 0 && padded.count - plain.count < 128 + 8)
      let options = plain.count
      #expect(Array(padded[..<(options - 2)]) == Array(plain[..<(options - 2)]))
      #expect(padded.span.read16(options - 2) == UInt16(padded.count - options))
      // TCP keepalive without a time (RFC 7828 section 3.2.1), padding of zeros (RFC 7830 section 3).
      #expect(Array(padded[options..<(options + 6)]) == [0, 11, 0, 0, 0, 12])
      #expect(padded.span.read16(options + 6) == UInt16(padded.count - options - 8))
      #expect(padded[(options + 8)...].allSatisfy { $0 == 0 })
    }
    let name = Messages.name("www.example.com")
    #expect(
      UpstreamQuery.message(id: 7, name: name, type: .A, withEDNS: false, .init(isPadded: true))
        == UpstreamQuery.message(id: 7, name: name, type: .A, withEDNS: false))
  }

  @Test("how long a connection is kept is read where the upstream says so, among other options")
  func keepalive() {
    func answer(_ options: [UInt8]) -> [UInt8] {
      let opt = [0] + Messages.be16(41) + Messages.be16(1232) + [0, 0, 0, 0] + Messages.be16(options.count) + options
      return Messages.response("www.example.com", .A, additionals: [opt])
    }
    #expect(UpstreamQuery.keepalive(answer([0, 12, 0, 3, 0, 0, 0, 0, 11, 0, 2, 0, 25]).span) == 2_500)
    #expect(UpstreamQuery.keepalive(answer([0, 11, 0, 0]).span) == nil)
    #expect(UpstreamQuery.keepalive(answer([0, 11, 0, 3, 0, 25, 0]).span) == nil)
    #expect(UpstreamQuery.keepalive(answer([0, 11, 0, 0, 0, 12, 0, 0]).span) == nil)
    #expect(UpstreamQuery.keepalive(answer([]).span) == nil)
    #expect(UpstreamQuery.keepalive(answer([0, 11, 0, 2, 0]).span) == nil)
    #expect(UpstreamQuery.keepalive(Messages.response("www.example.com", .A).span) == nil)
  }
}
