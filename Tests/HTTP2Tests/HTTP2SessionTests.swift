import NIOCore
import NIOEmbedded
import NIOHPACK
import NIOHTTP2
import TestSupport
import Testing

@testable import HTTP2

/// Both sides of HTTP/2 in memory.
@Suite("HTTP/2 sessions")
struct HTTP2SessionTests {
  private func message(_ mark: UInt8, _ count: Int = 40) -> [UInt8] { [UInt8](repeating: mark, count: count) }

  @Test("a message is a POST that says nothing but what it must, and its answer comes back")
  func post() throws {
    let peer = try HTTP2Peer()
    #expect(!peer.session.hasRoom)
    peer.talk()
    #expect(peer.session.hasRoom)
    let stream = peer.session.post(message(7, 128))
    #expect(peer.talk() == [])
    let request = try #require(peer.requests[stream])
    #expect(request.isWhole && request.body == message(7, 128))
    #expect(
      request.headers.map { "\($0.name): \($0.value)" } == [
        ":method: POST", ":scheme: https", ":authority: dns.example.net", ":path: /dns-query",
        "accept: application/dns-message", "content-type: application/dns-message", "content-length: 128",
      ])
    peer.answer(stream, message(9))
    #expect(peer.talk() == [.answered(stream, HTTPAnswer(message: message(9)))])
    #expect(peer.session.isOpen && peer.resets == [])
  }

  @Test("the octets of a request are those of the message, whatever was asked before")
  func sameOctets() throws {
    func octets(after earlier: [Int]) throws -> [UInt8] {
      let peer = try HTTP2Peer()
      peer.talk()
      for count in earlier {
        let stream = peer.session.post(message(1, count))
        peer.talk()
        peer.answer(stream, message(2))
        peer.talk()
      }
      let before = peer.octets.count
      let stream = peer.session.post(message(7, 128))
      peer.talk()
      var octets = Array(peer.octets[before...])
      // A head of nine octets, the last four of which are the stream's id, stands before the headers and before the message.
      let first = Int(octets[1]) << 8 + Int(octets[2])
      for start in [0, 9 + first] {
        #expect(octets[start + 8] == UInt8(stream))
        octets[start + 8] = 0
      }
      return octets
    }
    let reference = try octets(after: [128])
    #expect(try octets(after: [256, 128]) == reference)
    #expect(try octets(after: [128, 384, 256, 256]) == reference)
  }

  @Test("answers come in any order and in any pieces, each by the stream of its question", arguments: [1, 7, 4096])
  func disorder(piece: Int) throws {
    let peer = try HTTP2Peer()
    peer.talk()
    let streams = (0..<20).map { peer.session.post(message($0, 128)) }
    peer.talk()
    var random = SeededRandom(seed: UInt64(piece))
    for stream in streams.shuffled(using: &random) { peer.answer(stream, message(UInt8(stream), 300)) }
    let events = peer.talk(pieces: piece)
    #expect(events.count == 20)
    for stream in streams {
      #expect(events.contains(.answered(stream, HTTPAnswer(message: message(UInt8(stream), 300)))))
    }
  }

  @Test(
    "what is no DNS message is no answer",
    arguments: [
      ("404", [:], HTTPFailure.status(404)), ("302", ["location": "https://elsewhere/"], .status(302)),
      ("500", ["content-type": "application/dns-message"], .status(500)),
      ("204", ["content-type": "application/dns-message"], .status(204)),
      ("abc", ["content-type": "application/dns-message"], .content), ("200", [:], .content),
      ("200", ["content-type": "text/html"], .content),
      ("200", ["content-type": "application/dns-message, text/html"], .content),
      ("200", ["content-type": "application/dns-message", "content-encoding": "gzip"], .content),
    ] as [(String, HPACKHeaders, HTTPFailure)])
  func failures(status: String, headers: HPACKHeaders, failure: HTTPFailure) throws {
    let peer = try HTTP2Peer()
    peer.talk()
    let stream = peer.session.post(message(1))
    peer.talk()
    peer.head(stream, status: status, headers)
    peer.data(stream, message(9))
    #expect(peer.talk() == [.failed(stream, failure)])
    #expect(peer.session.hasRoom, "the connection goes on")
  }

  @Test("a type may have parameters, its letters any case; interim heads and trailers are passed over")
  func forms() throws {
    let peer = try HTTP2Peer()
    peer.talk()
    let stream = peer.session.post(message(1))
    peer.talk()
    peer.head(stream, status: "103", ["link": "</style.css>"])
    peer.head(stream, ["content-type": "Application/DNS-Message; charset=x", "age": "17", "set-cookie": "a=b"])
    peer.data(stream, message(9), isLast: false)
    peer.write(stream, .headers(.init(headers: ["age": "99"], endStream: true)))
    #expect(peer.talk() == [.answered(stream, HTTPAnswer(message: message(9), age: 17))])
  }

  @Test(
    "an age is a number of seconds, or none",
    arguments: [("0", 0), ("4294967295", .max), ("99999999999", .max), ("5, 7", 5), ("-1", 0), ("x", 0), ("", 0)]
      as [(String, UInt32)])
  func age(text: String, age: UInt32) throws {
    let peer = try HTTP2Peer()
    peer.talk()
    let stream = peer.session.post(message(1))
    peer.talk()
    peer.head(stream, ["content-type": "application/dns-message", "age": text])
    peer.data(stream, message(9))
    #expect(peer.talk() == [.answered(stream, HTTPAnswer(message: message(9), age: age))])
  }

  @Test("an answer has 12 octets at least and 65,535 at most")
  func lengths() throws {
    let peer = try HTTP2Peer()
    peer.talk()
    for (count, failure) in [(0, HTTPFailure.content), (11, .content), (12, nil), (65_535, nil), (65_536, .length)] {
      let stream = peer.session.post(message(1))
      peer.talk()
      peer.answer(stream, message(9, count))
      let expected = failure.map { HTTP2Session.Event.failed(stream, $0) }
      #expect(peer.talk() == [expected ?? .answered(stream, HTTPAnswer(message: message(9, count)))])
    }
    #expect(peer.session.hasRoom)
  }

  @Test("the window is given back: many long answers come by one connection")
  func window() throws {
    let peer = try HTTP2Peer()
    peer.talk()
    for index in 0..<100 {
      let stream = peer.session.post(message(1))
      peer.talk()
      peer.answer(stream, message(UInt8(index), 60_000))
      #expect(peer.talk() == [.answered(stream, HTTPAnswer(message: message(UInt8(index), 60_000)))])
    }
    #expect(peer.session.isOpen)
  }

  @Test("padding of the server's counts for the window and not for the message")
  func padding() throws {
    let peer = try HTTP2Peer()
    peer.talk()
    let stream = peer.session.post(message(1))
    peer.talk()
    peer.head(stream)
    peer.talk()
    // SwiftNIO writes no padding: 255 octets of it, one of data, in a frame of type 0 with the flag 8.
    for index in 0..<400 {
      let frame: [UInt8] = [0, 1, 1, 0, index == 399 ? 9 : 8, 0, 0, 0, UInt8(stream), 255, 9] + message(0, 255)
      let events = peer.session.receive(frame)
      #expect(events == (index == 399 ? [.answered(stream, HTTPAnswer(message: message(9, 400)))] : []))
    }
    #expect(peer.session.isOpen)
  }

  @Test("what is held of answers that are not whole is bounded, and freed when they are given up")
  func held() throws {
    let peer = try HTTP2Peer()
    peer.talk()
    let streams = (0..<60).map { _ in peer.session.post(message(1)) }
    peer.talk()
    for stream in streams {
      peer.head(stream)
      peer.data(stream, message(9, 60_000), isLast: false)
    }
    peer.talk()
    let held = peer.session.heldOctets
    #expect(held <= HTTP2Session.window && held > HTTP2Session.window * 3 / 4, "of 3,600,000")
    for stream in streams.dropLast() { peer.session.abandon(stream) }
    // What is given back is said with the next octets that come.
    peer.write(0, .ping(HTTP2PingData(withInteger: 1), ack: false))
    peer.talk()
    peer.data(streams[59], [], isLast: true)
    #expect(peer.talk() == [.answered(streams[59], HTTPAnswer(message: message(9, 60_000)))])
  }

  @Test("the server's bound on streams holds; one that is waited for no more is reset when its place is needed")
  func room() throws {
    let peer = try HTTP2Peer([HTTP2Setting(parameter: .maxConcurrentStreams, value: 2)])
    peer.talk()
    let first = peer.session.post(message(1))
    let second = peer.session.post(message(2))
    #expect(!peer.session.hasRoom && peer.session.isOpen)
    peer.talk()
    peer.answer(first, message(9))
    peer.talk()
    #expect(peer.session.hasRoom)
    peer.session.abandon(second)
    let third = peer.session.post(message(3))
    peer.talk()
    #expect(peer.resets == [], "there is a place for it")
    let fourth = peer.session.post(message(4))
    #expect(!peer.session.hasRoom)
    peer.talk()
    #expect(peer.resets == [second])
    peer.answer(third, message(9))
    peer.answer(fourth, message(9))
    #expect(peer.talk().count == 2)
    let none = try HTTP2Peer([HTTP2Setting(parameter: .maxConcurrentStreams, value: 0)])
    none.talk()
    #expect(none.session.isOpen && !none.session.hasRoom)
    let many = try HTTP2Peer([HTTP2Setting(parameter: .maxConcurrentStreams, value: Int(UInt32.max))])
    many.talk()
    for _ in 0..<HTTP2Session.mostStreams { _ = many.session.post(message(1)) }
    #expect(!many.session.hasRoom)
  }

  @Test("the answer to a message that is waited for no more is nobody's")
  func abandoned() throws {
    let peer = try HTTP2Peer()
    peer.talk()
    let stream = peer.session.post(message(1))
    peer.talk()
    peer.session.abandon(stream)
    peer.answer(stream, message(9))
    #expect(peer.talk() == [])
    #expect(peer.session.isOpen && peer.resets == [])
  }

  @Test("a server that leaves answers what it took, and drops the rest")
  func leaving() throws {
    let peer = try HTTP2Peer()
    peer.talk()
    let streams = (0..<4).map { peer.session.post(message($0)) }
    peer.talk()
    peer.write(0, .goAway(lastStreamID: HTTP2StreamID(Int(streams[1])), errorCode: .noError, opaqueData: nil))
    let events = peer.talk()
    #expect(events.first == .leaving)
    #expect(events.count == 3 && events.contains(.dropped(streams[2])) && events.contains(.dropped(streams[3])))
    #expect(!peer.session.hasRoom && peer.session.isSpent && !peer.session.isBroken)
    peer.answer(streams[0], message(8))
    peer.answer(streams[1], message(9))
    #expect(peer.talk().count == 2)
  }

  @Test("a stream that the server resets is dropped, and the others go on")
  func reset() throws {
    let peer = try HTTP2Peer()
    peer.talk()
    let (first, second) = (peer.session.post(message(1)), peer.session.post(message(2)))
    peer.talk()
    peer.write(first, .rstStream(.refusedStream))
    peer.head(second)
    peer.data(second, message(9))
    #expect(peer.talk() == [.dropped(first), .answered(second, HTTPAnswer(message: message(9)))])
  }

  @Test("a server that answers before it has taken the message has its stream reset")
  func early() throws {
    let peer = try HTTP2Peer([HTTP2Setting(parameter: .initialWindowSize, value: 0)])
    peer.talk()
    let stream = peer.session.post(message(1))
    peer.talk()
    #expect(peer.requests[stream]?.body == [])
    peer.head(stream, status: "413", [:], isLast: true)
    #expect(peer.talk() == [.failed(stream, .status(413))])
    #expect(peer.resets == [stream])
    #expect(peer.session.hasRoom)
  }

  /// Octets that a server may not say, on a connection with one open stream, which is 1.
  enum Violation: String, CaseIterable, Sendable {
    case text, promise, push, headers, continuations, window, table, settings, idle

    var octets: [UInt8] {
      switch self {
      case .text: Array("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".utf8)
      // PUSH_PROMISE of stream 2 with the head `:method: GET`.
      case .promise: [0, 0, 5, 5, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0x82]
      // HEADERS of a stream that the server began.
      case .push: [0, 0, 1, 1, 4, 0, 0, 0, 2, 0x88]
      // A head of 16,000 octets.
      case .headers: [0, 0x3E, 0x80, 1, 4, 0, 0, 0, 1] + [UInt8](repeating: 0x88, count: 16_000)
      case .continuations:
        [0, 0, 1, 1, 0, 0, 0, 0, 1, 0x88] + Array(repeating: [0, 0, 0, 9, 0, 0, 0, 0, 1], count: 1_000).joined()
      // More octets than the window has.
      case .window:
        Array(repeating: [0, 0x40, 0, 0, 0, 0, 0, 0, 1] + [UInt8](repeating: 0, count: 16_384), count: 80).flatMap {
          $0
        }
      // A field of the table that is not there.
      case .table: [0, 0, 3, 1, 4, 0, 0, 0, 1, 0xFF, 0xFF, 0x7F]
      // SETTINGS of seven octets.
      case .settings: [0, 0, 7, 4, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 7)
      // DATA of a stream that nobody began.
      case .idle: [0, 0, 1, 0, 0, 0, 0, 0, 99, 1]
      }
    }
  }

  @Test("a server that breaks the rules is heard no more", arguments: Violation.allCases)
  func violations(violation: Violation) throws {
    let peer = try HTTP2Peer()
    peer.talk()
    _ = peer.session.post(message(1))
    peer.talk()
    let events = peer.session.receive(violation.octets)
    #expect(events.allSatisfy { if case .answered = $0 { false } else { true } })
    #expect(peer.session.isBroken && !peer.session.hasRoom)
    #expect(peer.session.receive([0, 0, 0, 4, 1, 0, 0, 0, 0]) == [])
    peer.session.end()
  }

  @Test("no octets of a server trap, and none but a whole answer is one", arguments: 0..<40)
  func fuzz(seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    for _ in 0..<25 {
      let peer = try HTTP2Peer()
      peer.talk()
      let streams = (0..<3).map { peer.session.post(message($0)) }
      peer.talk()
      for stream in streams {
        peer.head(stream)
        peer.data(stream, message(9, 200), isLast: false)
        peer.data(stream, message(9, 200))
      }
      var octets = peer.output()
      for _ in 0..<(1 + random.next() % 6) {
        let at = Int(random.next() % UInt64(octets.count))
        switch random.next() % 5 {
        case 0: octets[at] = UInt8(truncatingIfNeeded: random.next())
        case 1: octets[at] ^= 1 << UInt8(random.next() % 8)
        case 2: octets.removeSubrange(at..<min(at + 3, octets.count))
        case 3: octets.insert(contentsOf: octets[at..<min(at + 30, octets.count)], at: at)
        // A frame head of any kind.
        default:
          octets.insert(
            contentsOf: [
              0, 0, UInt8(random.next() % 9), UInt8(random.next() % 12), UInt8(random.next() & 0x2D), 0, 0, 0,
            ]
              + [UInt8(random.next() % 8)], at: at)
        }
      }
      octets = Array(octets.prefix(Int(random.next() % UInt64(octets.count * 2))))
      var answers = 0
      var rest = octets[...]
      while !rest.isEmpty {
        let piece = 1 + Int(random.next() % 64)
        for event in peer.session.receive(Array(rest.prefix(piece))) {
          guard case .answered(let stream, let answer) = event else { continue }
          answers += 1
          #expect(streams.contains(stream) && (12...65_535).contains(answer.message.count))
        }
        rest = rest.dropFirst(piece)
        if peer.session.hasRoom, random.next() % 8 == 0 { peer.session.abandon(peer.session.post(message(5))) }
        var out: [UInt8] = []
        peer.session.takeOutput(into: &out)
      }
      #expect(answers <= 3)
      peer.session.end()
    }
  }

  @Test("nothing but noise is not HTTP/2 either", arguments: 0..<20)
  func noise(seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    let session = HTTP2Session(authority: "dns.example.net", path: "/")
    for _ in 0..<50 { _ = session.receive((0..<100).map { _ in UInt8(truncatingIfNeeded: random.next()) }) }
    #expect(!session.hasRoom)
  }

  @Test("the end is said to the server, and nothing is held after it")
  func memory() throws {
    weak var former: HTTP2Session?
    weak var channel: EmbeddedChannel?
    do {
      let peer = try HTTP2Peer()
      (former, channel) = (peer.session, peer.session.channel)
      peer.talk()
      _ = peer.session.post(message(1))
      peer.session.end()
      #expect(!peer.session.isOpen)
      peer.talk()
      #expect(peer.hasLeft)
    }
    #expect(former == nil)
    #expect(channel == nil)
  }
}
