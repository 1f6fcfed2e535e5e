import TestSupport
import Testing

@testable import GateModel

@Suite("a hello, however it is cut")
struct HandshakeReaderTests {
  private func read(_ octets: [UInt8], by size: Int, _ expected: HandshakeReader.Expected = .clientHello)
    -> (HandshakeReader, HandshakeReader.Progress)
  {
    var reader = HandshakeReader(expected)
    var progress = HandshakeReader.Progress.incomplete
    for start in stride(from: 0, to: octets.count, by: size) where progress == .incomplete {
      progress = reader.take(octets[start..<min(start + size, octets.count)])
    }
    return (reader, progress)
  }

  @Test("is the same in one octet at a time and in records of any size", arguments: [1, 2, 7, 100, 16_384])
  func cuts(_ size: Int) {
    let hello = Hello("api.example.com")
    for records in [17, 60, 200, 16_384] {
      let (reader, progress) = read(hello.records(of: records), by: size)
      #expect(progress == .complete)
      #expect(reader.message == hello.message)
      #expect(Array(reader.parts.message) == hello.records(of: records))
    }
  }

  @Test("may have 16 KiB, and not more")
  func sizes() {
    var hello = Hello("api.example.com")
    let bare = hello.message.count - 4
    hello.extensions = [(21, [UInt8](repeating: 0, count: 16_384 - bare - 4))]
    #expect(hello.message.count == 4 + 16_384)
    #expect(read(hello.records(), by: 1_000).1 == .complete)
    hello.extensions[0].body.append(0)
    #expect(read(hello.records(), by: 1_000).1 == .tooLong)
    // Of records so small their headers count as well.
    #expect(
      read(Hello.records([1] + Hello.vector(3, [UInt8](repeating: 0, count: 9_000)), of: 1), by: 500).1 == .tooLong)
  }

  @Test("what follows it is not part of it: early data, or a second hello that nothing asked for")
  func rest() {
    let first = Hello("api.example.com").records()
    let second = Hello("other.example").records()
    let (reader, progress) = read(first + second, by: 100_000)
    #expect(progress == .complete)
    #expect(Array(reader.parts.message) == first)
    #expect(Array(reader.parts.rest) == second)
  }

  @Test(
    "is foreign at the first octet that no TLS client sends",
    arguments: [
      [0x80, 0x2E, 0x01, 0x03], Array("GET / HTTP/1.1".utf8), Array("SSH-2.0-x".utf8), [22, 2, 0], [22, 3, 9],
      [23, 3, 1],
      [22, 3, 1, 0, 0], [22, 3, 1, 0x50, 0], [0, 0, 0, 8, 4, 0xD2, 0x16, 0x2F], [21, 3, 1, 0, 2, 1, 0],
    ] as [[UInt8]])
  func foreign(_ octets: [UInt8]) {
    #expect(read(octets, by: 1).1 == .foreign)
  }

  @Test("another message of the handshake is none")
  func messages() {
    #expect(read(Hello.records([2] + Hello.vector(3, [0, 0, 0, 0])), by: 3).1 == .foreign)
    #expect(read(Hello.records(Hello("a.example").message), by: 3, .serverHello).1 == .foreign)
  }

  @Test("a server asks for another one by the random of RFC 8446, and by no other")
  func retries() {
    let retry: [UInt8] = [
      0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11,
      0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
    ]
    for size in [1, 5, 1_000] {
      let asked = read(Hello.records(Hello.answer(retry), of: 20), by: size, .serverHello)
      #expect(asked.1 == .complete && asked.0.asksForAnotherHello)
      var other = retry
      other[31] ^= 1
      let plain = read(Hello.records(Hello.answer(other)), by: size, .serverHello)
      #expect(plain.1 == .complete && !plain.0.asksForAnotherHello)
    }
  }

  @Test("before the second one come a change of cipher and early data, which pass as they are")
  func second() {
    let passed = Hello.records([1], type: 20) + Hello.records([UInt8](repeating: 9, count: 400), of: 150, type: 23)
    let hello = Hello("api.example.com").records()
    var reader = HandshakeReader(.secondClientHello)
    var early: [UInt8] = []
    var progress = HandshakeReader.Progress.incomplete
    for octet in passed + hello {
      progress = reader.take([octet])
      early += reader.takePassed()
    }
    #expect(progress == .complete)
    #expect(early == passed)
    #expect(reader.octets == hello)
    // Within it nothing else may come.
    let cut = Hello("api.example.com").records(of: 20)
    let doubled = Array(cut.prefix(25)) + Hello.records([1], type: 20) + Array(cut.dropFirst(25))
    #expect(read(doubled, by: 1_000, .secondClientHello).1 == .foreign)
  }
}
