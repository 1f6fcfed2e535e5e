import Glibc
import Testing

@testable import LinuxIO

@Suite("Messages that wait for room")
struct MessageOutboxTests {
  private static func message(_ number: Int) -> [UInt8] {
    [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 4096) + [UInt8(truncatingIfNeeded: number >> 8)]
  }

  @Test("nothing overtakes what waits, each comes once, and it is told when room matters and when it does not any more")
  func order() throws {
    let ends = try DescriptorPair.sockets(ofMessages: true)
    let (near, far) = (ends.first, ends.second)
    var outbox = MessageOutbox()
    var told: [MessageOutbox.Outcome] = []
    var sent = 0
    // As much as is taken, and some behind that.
    while outbox.count < 10 {
      let outcome = outbox.send(Self.message(sent), to: near)
      sent += 1
      if outcome != .unchanged { told.append(outcome) }
    }
    #expect(told == [.awaitsRoom(true)])
    #expect(outbox.sendWaiting(to: near) == .unchanged && outbox.count == 10, "there is no room yet")
    var buffer = [UInt8](repeating: 0, count: 8192)
    var next = 0
    while next < sent {
      guard case .octets(let octets) = MessageSocket.receive(far, into: &buffer) else {
        let outcome = outbox.sendWaiting(to: near)
        if outcome != .unchanged { told.append(outcome) }
        continue
      }
      try #require(octets == Self.message(next))
      next += 1
    }
    #expect(outbox.isEmpty && told == [.awaitsRoom(true), .awaitsRoom(false)])
    #expect(outbox.sendWaiting(to: near) == .unchanged && outbox.send([1], to: near) == .unchanged)
    withExtendedLifetime(ends) {}
  }

  @Test("that the other end is gone is told, by what is sent and by what waits")
  func closed() throws {
    let ends = try DescriptorPair.sockets(ofMessages: true)
    let (near, far) = (ends.first, ends.second)
    var outbox = MessageOutbox()
    var sent = 0
    while outbox.isEmpty {
      _ = outbox.send(Self.message(sent), to: near)
      sent += 1
    }
    _ = shutdown(far, Int32(SHUT_RDWR))
    #expect(outbox.sendWaiting(to: near) == .closed)
    outbox.removeAll()
    #expect(outbox.isEmpty && outbox.send([1], to: near) == .closed)
    withExtendedLifetime(ends) {}
  }
}
