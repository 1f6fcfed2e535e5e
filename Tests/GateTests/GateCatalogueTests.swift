import GateModel
import TestSupport
import Testing

@testable import Gate

/// What an attacker's client, and an honest one, may send first: all over real sockets, judged and passed on, or cut.
@Suite("What passes the gate, and what does not")
struct GateCatalogueTests {
  private static let name = "api.example.com"
  private static let answer = Hello.records(Hello.answer([UInt8](repeating: 5, count: 32)))

  private func gate() throws -> PlayedGate {
    let gate = try PlayedGate()
    try gate.open(Self.name)
    try gate.open("other.example.com", server: 1)
    try gate.open("browsed.example.com", allowsHiding: true)
    gate.ready()
    return gate
  }

  private static func hello(_ name: String? = Self.name, _ change: (inout Hello) -> Void = { _ in }) -> Hello {
    var hello = Hello(name)
    change(&hello)
    return hello
  }

  /// Octets, and how they are cut into segments.
  struct Passing: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var octets: [UInt8]
    var size = 100_000
  }

  private static let passing: [Passing] = [
    Passing(testDescription: "as clients send it", octets: hello().records()),
    Passing(testDescription: "in upper case", octets: hello("API.EXAMPLE.COM").records()),
    Passing(testDescription: "one octet at a time", octets: hello().records(), size: 1),
    Passing(testDescription: "a record for each octet", octets: hello().records(of: 1), size: 50),
    Passing(
      testDescription: "16 KiB in one record",
      octets: hello { $0.extensions = [(21, [UInt8](repeating: 0, count: 16_200))] }.records(), size: 1_460),
    Passing(testDescription: "GREASE", octets: hello { $0.extensions = [(0x0A0A, []), (0x1A1A, [0])] }.records()),
    Passing(testDescription: "TLS 1.0", octets: hello { $0.version = [3, 1] }.records()),
    Passing(
      testDescription: "a name whose entry lets it hide another",
      octets: hello("browsed.example.com") { $0.extensions = [(0xFE0D, [0])] }.records()),
  ]

  @Test(
    "the right name passes octet for octet, however it comes",
    arguments: GateCatalogueTests.passing)
  func passes(_ one: Passing) throws {
    let gate = try gate()
    let client = try gate.client()
    for start in stride(from: 0, to: one.octets.count, by: one.size) {
      client.send(Array(one.octets[start..<min(start + one.size, one.octets.count)]))
      if one.octets.count < 1_000 { gate.settle() }
    }
    gate.settle()
    #expect(gate.judged.map(\.verdict) == [.verified])
    let peer = try #require(gate.peers.first)
    #expect(peer.look() == .open && peer.received == one.octets)
    peer.send(Self.answer)
    gate.settle()
    client.send([1, 2, 3])
    gate.settle()
    #expect(client.look() == .open && client.received == Self.answer)
    #expect(peer.look() == .open && Array(peer.received.suffix(3)) == [1, 2, 3])
  }

  /// What is sent, by a client of server 0, and how it is told.
  struct Refused: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var octets: [UInt8]
    var verdict: GateVerdict
    var said = ""
    var ends = false
    /// It is refused when its time is over, and not before.
    var isLate = false
  }

  private static let refused: [Refused] = [
    Refused(
      testDescription: "another name", octets: hello("evil.example.net").records(), verdict: .mismatch,
      said: "evil.example.net"),
    Refused(
      testDescription: "a name of another server's list", octets: hello("other.example.com").records(),
      verdict: .mismatch, said: "other.example.com"),
    Refused(
      testDescription: "a name that was not resolved to the address, listed, under a pattern or not",
      octets: hello("secret.data.example.com").records(), verdict: .mismatch, said: "secret.data.example.com"),
    Refused(testDescription: "no name", octets: hello(nil).records(), verdict: .nameMissing),
    Refused(
      testDescription: "no extension at all", octets: hello(nil) { $0.hasExtensions = false }.records(),
      verdict: .nameMissing),
    Refused(
      testDescription: "a dot at its end", octets: hello("api.example.com.").records(), verdict: .mismatch,
      said: "api.example.com."),
    Refused(
      testDescription: "a U-label", octets: hello("\u{FC}.example.com").records(), verdict: .mismatch,
      said: "\\195\\188.example.com"),
    Refused(
      testDescription: "a zero within it", octets: hello("api.example.com\0.net").records(), verdict: .mismatch,
      said: "api.example.com\\000.net"),
    Refused(
      testDescription: "two names",
      octets: hello { $0.names = [[(0, Array("api.example.com".utf8)), (0, Array("evil.example.net".utf8))]] }
        .records(),
      verdict: .mismatch, said: "(several names)"),
    Refused(
      testDescription: "two lists of names",
      octets: hello { $0.names = [[(0, Array("api.example.com".utf8))], [(0, Array("evil.example.net".utf8))]] }
        .records(), verdict: .notTLS),
    Refused(
      testDescription: "an address for a name", octets: hello("127.0.0.1").records(), verdict: .mismatch,
      said: "127.0.0.1"),
    Refused(
      testDescription: "SSLv2", octets: [0x80, 0x2E, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10], verdict: .notTLS),
    Refused(
      testDescription: "HTTP", octets: Array("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n".utf8), verdict: .notTLS
    ),
    Refused(
      testDescription: "PostgreSQL asking for TLS", octets: [0, 0, 0, 8, 4, 0xD2, 0x16, 0x2F], verdict: .notTLS),
    Refused(testDescription: "SSH", octets: Array("SSH-2.0-OpenSSH\r\n".utf8), verdict: .notTLS),
    Refused(
      testDescription: "more than 16 KiB",
      octets: hello { $0.extensions = [(21, [UInt8](repeating: 0, count: 17_000))] }.records(), verdict: .notTLS),
    Refused(
      testDescription: "half a hello, and the end", octets: Array(hello().records().prefix(60)), verdict: .notTLS,
      ends: true),
    Refused(
      testDescription: "half a hello, and silence", octets: Array(hello().records().prefix(60)), verdict: .notTLS,
      isLate: true),
    Refused(testDescription: "silence", octets: [], verdict: .notTLS, isLate: true),
    Refused(
      testDescription: "what may hide another name", octets: hello { $0.extensions = [(0xFE0D, [0])] }.records(),
      verdict: .mayHide, said: "api.example.com"),
  ]

  @Test(
    "everything else is cut before a peer hears of it, and told",
    arguments: GateCatalogueTests.refused)
  func refuses(_ one: Refused) throws {
    let gate = try gate()
    let client = try gate.client()
    client.send(one.octets)
    if one.ends { client.finish() }
    gate.settle()
    if one.isLate {
      #expect(client.look() == .open && gate.judged.isEmpty)
      gate.pass(milliseconds: 5_000)
    }
    #expect(client.look() == .reset && client.received.isEmpty)
    #expect(gate.judged.map(\.verdict) == [one.verdict] && gate.judged.map(\.said) == [one.said])
    #expect(gate.peers.allSatisfy { $0.look() != .open && $0.received.isEmpty })
  }

  @Test("a drop now and then does not keep a hello alive")
  func slow() throws {
    let gate = try gate()
    let client = try gate.client()
    let octets = Self.hello().records()
    for octet in octets.prefix(12) where client.look() == .open {
      client.send([octet])
      gate.pass(milliseconds: 1_000)
    }
    #expect(client.look() == .reset && gate.judged.map(\.verdict) == [.notTLS])
  }

  private static let retry: [UInt8] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11,
    0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
  ]

  @Test(
    "where the server asks for another hello that says the same, whatever came before it",
    arguments: [
      ("api.example.com", nil), ("evil.example.net", .mismatch), ("browsed.example.com", .mismatch),
      (nil, .nameMissing),
    ] as [(String?, GateVerdict?)])
  func again(_ name: String?, _ verdict: GateVerdict?) throws {
    let gate = try gate()
    let client = try gate.client()
    let early = Hello.records([UInt8](repeating: 9, count: 300), type: 23)
    let first = Self.hello().records()
    client.send(first + early)
    gate.settle()
    let peer = try #require(gate.peers.first)
    #expect(peer.look() == .open && peer.received == first, "what came behind it waits for the answer")
    let asks = Hello.records(Hello.answer(Self.retry))
    peer.send(asks)
    gate.settle()
    let second = Self.hello(name).records()
    client.send(Hello.records([1], type: 20) + second)
    gate.settle()
    let passed = first + early + Hello.records([1], type: 20)
    guard let verdict else {
      #expect(peer.look() == .open && peer.received == passed + second && gate.judged.count == 1)
      return
    }
    #expect(client.look() == .reset && peer.look() != .open && peer.received == first + early)
    #expect(gate.judged.map(\.verdict) == [.verified, verdict])
  }

  @Test("early data passes once the server's answer asks for nothing again")
  func early() throws {
    let gate = try gate()
    let client = try gate.client()
    let octets = Self.hello().records() + Hello.records([UInt8](repeating: 9, count: 300), type: 23)
    client.send(octets)
    gate.settle()
    let peer = try #require(gate.peers.first)
    peer.send(Self.answer)
    gate.settle()
    #expect(peer.look() == .open && peer.received == octets)
    #expect(client.look() == .open && client.received == Self.answer)
  }
}
