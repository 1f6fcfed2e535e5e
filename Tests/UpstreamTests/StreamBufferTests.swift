import Glibc
import Testing

@testable import Upstream

@Suite("One message out and one in over a stream")
struct StreamBufferTests {
  /// Two ends of a connection; what is put into the far one comes to the buffer.
  private final class Connection {
    let near: Int32
    let far: Int32
    var buffer: StreamBuffer
    private var octets = [UInt8](repeating: 0, count: 4096)

    init(sending message: [UInt8]) throws {
      var ends: [Int32] = [-1, -1]
      let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
      // The array has room for the two descriptors that are written.
      try #require(unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0)
      (near, far) = (ends[0], ends[1])
      buffer = StreamBuffer(sending: message)
    }

    deinit {
      close(near)
      close(far)
    }

    func put(_ octets: [UInt8], into end: Int32) -> Int {
      // The pointer is the array's own and count its octets.
      unsafe octets.withUnsafeBytes { unsafe send(end, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    }

    func advance() -> String {
      switch buffer.advance(near, &octets) {
      case .wait(let writable): writable ? "waits for room" : "waits"
      case .message(let message): "message of \(message.count)"
      case .failed: "failed"
      }
    }
  }

  @Test("a socket without room is waited for, and one that is gone has failed")
  func sending() throws {
    let connection = try Connection(sending: [UInt8](repeating: 1, count: 20))
    let much = [UInt8](repeating: 0, count: 1 << 20)
    var rounds = 0
    while connection.put(much, into: connection.near) > 0, rounds < 1000 { rounds += 1 }
    #expect(connection.advance() == "waits for room" && !connection.buffer.isSent)
    shutdown(connection.near, Int32(SHUT_RDWR))
    #expect(connection.advance() == "failed")
  }

  @Test("a message is what its length says, at least a header, and nothing after it", arguments: [11, 12, 300])
  func length(_ count: Int) throws {
    for more in [0, 1] {
      let connection = try Connection(sending: [1, 2, 3])
      #expect(connection.advance() == "waits" && connection.buffer.isSent)
      let message = [UInt8(count >> 8), UInt8(count & 255)] + [UInt8](repeating: 7, count: count + more)
      #expect(connection.put([message[0]], into: connection.far) == 1)
      #expect(connection.advance() == "waits")
      #expect(connection.put(Array(message[1...]), into: connection.far) == message.count - 1)
      #expect(connection.advance() == (count < 12 || more > 0 ? "failed" : "message of \(count)"))
    }
  }
}
