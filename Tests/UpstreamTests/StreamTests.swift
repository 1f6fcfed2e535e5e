import DNSWire
import Glibc
import TestSupport
import Testing

@testable import Upstream

@Suite("Answers by TCP")
struct StreamTests {
  /// Answers UDP with TC and follows `script` by TCP.
  private func truncating(_ script: @escaping FakeUpstream.Script) throws -> FakeUpstream {
    try FakeUpstream { arrival in
      arrival.overStream ? script(arrival) : [.message(arrival.answer(truncated: true, [0xBB]))]
    }
  }

  @Test("a truncated answer's content is ignored, and TCP gives the whole one")
  func truncated() throws {
    let upstream = try truncating { [.message($0.answer([UInt8](repeating: 7, count: 60_000)))] }
    defer { upstream.stop() }
    let result = try Asker([upstream]).ask()
    #expect(result.mark == 7)
    #expect(try result.get().message.count > 60_000)
    #expect(upstream.count(overStream: true) == 1)
    let ids = Set(upstream.arrivals.map(\.id))
    #expect(ids.count == 2)
  }

  @Test("an answer in many pieces is put together")
  func pieces() throws {
    let upstream = try truncating { arrival in
      let octets = FakeUpstream.framed(arrival.answer([UInt8](repeating: 8, count: 300)))
      return octets.map { .octets([$0]) }
    }
    defer { upstream.stop() }
    #expect(try Asker([upstream]).ask().mark == 8)
  }

  enum Fault: String, CaseIterable, Sendable {
    case id, question, truncatedAgain, short, garbage, closed, halfAnswer, reset
  }

  @Test("a wrong, broken or missing answer by TCP is a failure after one connection", arguments: Fault.allCases)
  func broken(fault: Fault) throws {
    let upstream = try truncating { arrival in
      var message = arrival.answer([1])
      switch fault {
      case .id: message[0] ^= 0x40
      case .question: message[14] ^= 1
      case .truncatedAgain: message[2] |= 2
      case .short: return [.octets([0, 3, 1, 2, 3])]
      case .garbage: return [.octets([UInt8](repeating: 0x47, count: 40_000))]
      case .closed: return []
      case .halfAnswer: return [.octets(Array(FakeUpstream.framed(message).dropLast(3)))]
      case .reset: return [.reset]
      }
      // A good answer behind a wrong one is not waited for.
      return [.message(message), .message(arrival.answer([2]))]
    }
    defer { upstream.stop() }
    #expect(try Asker([upstream]).ask().failure == .network)
    #expect(upstream.count(overStream: true) == 1)
    #expect(upstream.count(overStream: false) == 1)
  }

  @Test("a connection that says nothing, or stops in the middle, ends with its deadline", arguments: [0, 1, 40])
  func slow(octets: Int) throws {
    let upstream = try truncating { arrival in
      [.octets(Array(FakeUpstream.framed(arrival.answer([UInt8](repeating: 1, count: 99))).prefix(octets))), .hold]
    }
    defer { upstream.stop() }
    #expect(
      try Asker([upstream], limits: Asker.limits(first: 700, longest: 700, total: 1_000)).ask().failure == .timeout)
    #expect(upstream.arrivals.count { $0.overStream && !$0.isProbe } == 1)
  }

  @Test("of several answers by TCP the first is the answer, and the connection of the others is used no more")
  func several() throws {
    let upstream = try truncating { arrival in
      [.octets(FakeUpstream.framed(arrival.answer([1])) + FakeUpstream.framed(arrival.answer([2]))), .hold]
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    #expect(try asker.ask().mark == 1)
    try asker.until { _ in Descriptors.connected(to: upstream.port, by: SOCK_STREAM) == 0 }
    #expect(try asker.ask("second.example").mark == 1)
    #expect(upstream.count(overStream: true) == 2)
  }

  @Test("a datagram that is larger than was asked for counts as truncated (threats U7)", arguments: [1_233, 6_000])
  func oversized(octets: Int) throws {
    let upstream = try FakeUpstream { arrival in
      guard !arrival.overStream else { return [.message(arrival.answer([2]))] }
      let more = octets - arrival.answer([]).count
      return [.message(arrival.answer([UInt8](repeating: 7, count: more)))]
    }
    defer { upstream.stop() }
    #expect(try Asker([upstream]).ask().mark == 2)
    #expect(upstream.count(overStream: true) == 1)
  }

  @Test("each question may try TCP, however often that came to nothing before")
  func noPatience() throws {
    let upstream = try truncating { _ in [.reset] }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    for number in 1...8 {
      #expect(try asker.ask("n\(number).example").failure == .network)
      #expect(upstream.count(overStream: true) == number)
    }
  }

  @Test("when TCP fails the next upstream is asked")
  func failover() throws {
    let broken = try truncating { _ in [.reset] }
    let good = try FakeUpstream { [.message($0.answer([5]))] }
    defer {
      broken.stop()
      good.stop()
    }
    #expect(try Asker([broken, good]).ask().mark == 5)
  }
}
