import DNSWire
import GateModel
import TestSupport
import Testing

@Suite("what a hello says")
struct ClientHelloTests {
  private func read(_ hello: Hello) -> ClientHello? { try? ClientHello(hello.message) }

  @Test("the name in any case, with or without anything else")
  func names() throws {
    let name = try Name(hostname: "api.example.com")
    #expect(read(Hello("api.example.com"))?.name == name)
    #expect(read(Hello("API.Example.COM"))?.name == name)
    #expect(read(Hello("API.Example.COM"))?.text == "api.example.com")
    var hello = Hello("api.example.com")
    hello.version = [3, 1]
    hello.extensions = [
      (0x0A0A, []), (16, Hello.vector(2, Hello.vector(1, Array("h2".utf8)))), (42, []), (0xFE0C, [1]),
    ]
    let found = try #require(read(hello))
    #expect(found.name == name && !found.hidesName && found.protocols == [Array("h2".utf8)])
  }

  @Test("no name where none stands there", arguments: [true, false])
  func missing(_ hasExtensions: Bool) throws {
    var hello = Hello()
    hello.hasExtensions = hasExtensions
    let found = try #require(read(hello))
    #expect(found.said == .nothing && found.name == nil)
  }

  @Test(
    "what is no host's name is no name",
    arguments: [
      "api.example.com.", "192.0.2.1", "2001:db8::1", "", ".", "a..example", "b\u{FC}cher.example", "a b.example",
      "api.example.com\0", "\0api.example.com", "*.example.com", String(repeating: "a", count: 64) + ".example",
      String(repeating: "a.", count: 130) + "example",
    ])
  func strange(_ text: String) throws {
    let found = try #require(read(Hello(text)))
    #expect(found.name == nil)
    #expect(found.text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F })
  }

  @Test("two names are none, in one extension and in two")
  func several() {
    var hello = Hello("api.example.com")
    hello.names = [[(0, Array("api.example.com".utf8)), (0, Array("other.example".utf8))]]
    #expect(read(hello)?.said == .several)
    #expect(read(hello)?.name == nil)
    hello.names = [[(1, Array("api.example.com".utf8))]]
    #expect(read(hello)?.name == nil)
    hello.names = [[(0, Array("api.example.com".utf8))], [(0, Array("other.example".utf8))]]
    #expect(read(hello) == nil)
    hello.names = [[]]
    #expect(read(hello) == nil)
  }

  @Test("that it may hide another name", arguments: [0xFE0D, 0xFFCE] as [UInt16])
  func hides(_ type: UInt16) {
    var hello = Hello("api.example.com")
    hello.extensions = [(type, [0, 1, 2])]
    #expect(read(hello)?.hidesName == true)
  }

  @Test("a hello that is cut, or has more than it says, is none, and no octets trap", arguments: [1, 2, 3])
  func malformed(_ seed: UInt64) throws {
    var hello = Hello("api.example.com")
    hello.extensions = [(16, Hello.vector(2, Hello.vector(1, Array("h2".utf8)))), (43, [2, 3, 4])]
    let message = hello.message
    for count in message.indices { #expect((try? ClientHello(Array(message[..<count]))) == nil) }
    #expect((try? ClientHello(message + [0])) == nil)
    var random = SeededRandom(seed: seed)
    for _ in 0..<20_000 {
      var octets = message
      for _ in 0...Int.random(in: 0..<4, using: &random) {
        octets[Int.random(in: octets.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      _ = try? ClientHello(octets)
      var reader = HandshakeReader(.clientHello)
      _ = reader.take(Hello.records(octets, of: 1 + Int.random(in: 0..<300, using: &random)))
    }
  }
}
