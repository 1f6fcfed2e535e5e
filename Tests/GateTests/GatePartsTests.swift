import Glibc
import LinuxIO
import Testing

@testable import Gate

/// The parts of a connection that need no gate.
@Suite("Parts of a gated connection")
struct GatePartsTests {
  @Test("a pipe that holds octets of one connection is no other's")
  func pipes() throws {
    let pair = try DescriptorPair.sockets(ofMessages: false)
    var pool = PipePool(limit: 4)
    guard var pipe = pool.take() else {
      Issue.record("the kernel gives no pipe")
      return
    }
    let octets: [UInt8] = [1, 2, 3]
    let sent = PassingSockets.send(pair.first, octets, from: 0).octets
    let filled = pipe.fill(from: pair.second).octets
    #expect(sent == 3 && filled == 3)
    pool.give(pipe)
    guard let next = pool.take() else {
      Issue.record("the kernel gives no other pipe")
      return
    }
    let held = next.held
    #expect(held == 0)
  }

  @Test("an end that has hung up and is waited for no more is not told of again, however often that is said")
  func hungUp() throws {
    var pair = try DescriptorPair.sockets(ofMessages: false)
    let reactor = try Reactor()
    let socket = dup(pair.second)
    let end = GateEnd(socket, reactor, resetsAtClose: false)
    var told = 0
    end.onReady = { _ in told += 1 }
    #expect(end.watch(readable: true, writable: false))
    pair.closeFirst()
    reactor.turn()
    #expect(told == 1)
    end.isHungUp = true
    for _ in 0..<3 {
      #expect(end.watch(readable: false, writable: false))
      reactor.turn()
    }
    #expect(told == 1)
    #expect(end.watch(readable: true, writable: false))
    reactor.turn()
    #expect(told == 2)
    end.close(resets: false)
  }
}

extension PassingSockets.Outcome {
  /// How many octets passed; nil where none could.
  fileprivate var octets: Int? {
    if case .octets(let count) = self { count } else { nil }
  }
}
