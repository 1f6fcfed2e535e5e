import Glibc
import Testing

@testable import Transport

@Suite("Which socket is read next")
struct ReadySocketsTests {
  /// Pairs of datagram sockets; what is written to `send` waits at `receive`.
  private final class Pairs {
    let receive: [Int32]
    let send: [Int32]

    init(_ count: Int) {
      let pairs = (0..<count).map { _ in
        var ends: [Int32] = [-1, -1]
        _ = unsafe socketpair(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0, &ends)
        return ends
      }
      receive = pairs.map { $0[0] }
      send = pairs.map { $0[1] }
    }

    deinit {
      for end in receive + send { close(end) }
    }

    func put(_ index: Int) {
      var octet: UInt8 = 1
      _ = unsafe write(send[index], &octet, 1)
    }

    func take(_ socket: Int32) -> Bool {
      var octet: UInt8 = 0
      return unsafe recv(socket, &octet, 1, Int32(MSG_DONTWAIT)) == 1
    }
  }

  @Test("a socket that never runs empty does not keep the others waiting")
  func fair() {
    let pairs = Pairs(3)
    var ready = ReadySockets(pairs.receive)
    #expect(!ready.blocks)
    for _ in 0..<4 { pairs.put(0) }
    var sinceQuiet = 0
    for turn in 0..<400 {
      pairs.put(0)
      if turn % 40 == 20 {
        pairs.put(1)
        pairs.put(2)
        sinceQuiet = 0
      }
      guard let socket = ready.next() else {
        Issue.record("no socket")
        return
      }
      if !pairs.take(socket) { ready.drained(socket) }
      sinceQuiet += 1
      if sinceQuiet == 20 {
        #expect(!pairs.take(pairs.receive[1]) && !pairs.take(pairs.receive[2]), "still unread after 20 turns")
      }
    }
  }

  @Test("a socket that is the only one is read at once, for reading it sleeps")
  func single() {
    let pairs = Pairs(1)
    var ready = ReadySockets(pairs.receive)
    #expect(ready.blocks)
    for _ in 0..<3 {
      #expect(ready.next() == pairs.receive[0])
      ready.drained(pairs.receive[0])
    }
    var none = ReadySockets([])
    #expect(none.next() == nil)
  }

  @Test("everything that waits is read, and then it sleeps until something comes")
  func all() {
    let pairs = Pairs(2)
    var ready = ReadySockets(pairs.receive)
    for round in 1...50 {
      for _ in 0..<round % 7 { pairs.put(0) }
      for _ in 0..<round % 3 + 1 { pairs.put(1) }
      var left = round % 7 + round % 3 + 1
      for _ in 0..<100 where left > 0 {
        guard let socket = ready.next() else { break }
        if pairs.take(socket) { left -= 1 } else { ready.drained(socket) }
      }
      #expect(left == 0, "round \(round)")
    }
  }
}
