import DNSWire
import TestSupport
import Testing

@testable import Resolver

@Suite("Writing sections")
struct SectionWriterTests {
  /// The records as a client reads them behind a question.
  private func read(_ writer: SectionWriter, _ question: String, answers: Int) throws -> Reply {
    let head = Messages.be16(1) + Messages.be16(0x8180) + Messages.be16(1) + Messages.be16(answers) + [0, 0, 0, 0]
    return try Reply(head + Messages.name(question) + Messages.be16(1) + Messages.be16(1) + writer.octets)
  }

  private func name(_ reply: Reply, _ offset: Int) throws -> String { try reply.name(at: offset) }

  @Test("targets end in pointers to what stands before them, and read as what they are")
  func targets() throws {
    var writer = SectionWriter(question: Messages.name("www.example.com"))
    let targets = [
      "edge.example.com", "www.example.com.cdn.example.net", "example.net", "cdn.example.net", "a.b.cdn.example.net",
      "com",
      "x.org",
    ]
    for target in targets { writer.appendAlias(to: Messages.name(target), ttl: 1) }
    let reply = try read(writer, "www.example.com", answers: targets.count)
    #expect(try reply.answers.map { try name(reply, $0.header.rdata.lowerBound) } == targets)
    #expect(reply.answers.map(\.owner) == ["www.example.com"] + targets.dropLast())
    #expect(reply.answers.map(\.rdata.count) == [5 + 2, 33, 2, 2, 4 + 2, 2, 7])
  }

  @Test("names in data are compressed in the types that every reader knows, and in no other")
  func data() throws {
    var writer = SectionWriter(question: Messages.name("example.com"))
    let inside = Messages.name("ns.example.com")
    let types: [(RRType, [UInt8])] = [(.NS, []), (.PTR, []), (.CNAME, []), (.MX, [0, 5]), (.SRV, [0, 1, 0, 2, 0, 3])]
    for (type, head) in types { writer.append(type, ttl: 1, rdata: head + inside) }
    writer.append(.SOA, ttl: 1, rdata: inside + Messages.name("h.example.com") + [UInt8](repeating: 7, count: 20))
    let reply = try read(writer, "example.com", answers: 6)
    for (record, (type, head)) in zip(reply.answers, types) {
      #expect(record.rdata.starts(with: head))
      #expect(try name(reply, record.header.rdata.lowerBound + head.count) == "ns.example.com")
      #expect((record.rdata.count == head.count + inside.count) == (type == .SRV))
    }
    #expect(reply.answers[5].rdata.count == 2 + 4 + 20 && reply.answers[5].rdata.suffix(20).allSatisfy { $0 == 7 })
  }

  @Test("data that is no name is written as it is")
  func broken() throws {
    for data in [[], [3], [3, 97], [0xC0, 12], [1, 97], [0, 9]] as [[UInt8]] {
      var writer = SectionWriter(question: Messages.name("example.com"))
      writer.append(.NS, ttl: 1, rdata: data)
      #expect(writer.octets.suffix(data.count).elementsEqual(data))
      #expect(writer.octets.count == 12 + data.count)
    }
  }

  @Test("what no label is long enough for is no name, though one that is known stands at its end")
  func longLabel() throws {
    var writer = SectionWriter(question: Messages.name("example.com"))
    let data = [70] + [UInt8](repeating: 97, count: 70) + Messages.name("example.com")
    writer.append(.NS, ttl: 1, rdata: data)
    #expect(writer.octets.suffix(data.count).elementsEqual(data))
  }

  @Test("of names with a hundred labels each the first suffixes are remembered alone, and all read as what they are")
  func bound() throws {
    var writer = SectionWriter(question: Messages.name("www.example.com"))
    let names = (0..<11).map { number in (0..<110).map { _ in "\(number % 10)" }.joined(separator: ".") + ".n\(number)"
    }
    for name in names { writer.appendAlias(to: Messages.name(name), ttl: 1) }
    // The ends of the first are known, those of the last are not.
    writer.appendAlias(to: Messages.name("x." + names[0]), ttl: 1)
    writer.appendAlias(to: Messages.name("x." + names[10]), ttl: 1)
    let reply = try read(writer, "www.example.com", answers: 13)
    let sizes = reply.answers.map(\.rdata.count)
    #expect(sizes[11] == 4 && sizes[12] == Messages.name("x." + names[10]).count)
    #expect(
      try reply.answers.map { try name(reply, $0.header.rdata.lowerBound) }
        == names + ["x." + names[0], "x." + names[10]])
  }

  @Test("no pointer leads further than its fourteen bits")
  func far() throws {
    var writer = SectionWriter(question: Messages.name("www.example.com"))
    for _ in 0..<70 { writer.append(.TXT, ttl: 1, rdata: [255] + [UInt8](repeating: 97, count: 255)) }
    writer.append(.NS, ttl: 1, rdata: Messages.name("late.example.org"))
    writer.append(.NS, ttl: 1, rdata: Messages.name("late.example.org"))
    let reply = try read(writer, "www.example.com", answers: 72)
    for record in reply.answers.suffix(2) {
      #expect(try name(reply, record.header.rdata.lowerBound) == "late.example.org")
      #expect(record.rdata.count == Messages.name("late.example.org").count)
    }
  }
}
