import DNSWire
import TestSupport
import Testing

/// Our reader against libldns: what both accept, both read alike.
///
/// Where we are looser on purpose, nothing is compared: data of classes other than IN and of types outside `compared` is
/// opaque to us (RFC 3597), while libldns reads names in some of it.
@Suite("Differential test against libldns")
struct DifferentialTests {
  @Test("well-formed messages are accepted by both and read alike", arguments: [21, 22])
  func valid(_ seed: UInt64) throws {
    for message in ValidMessages(seed: seed).prefix(2000) {
      let ours = try #require(Self.read(message))
      let theirs = try #require(LDNSMessage(libldns: message), "libldns refuses \(message)")
      guard ours != theirs else { continue }
      Issue.record("read differently: \(message)")
      return
    }
  }

  @Test("malformed messages that both accept are read alike", arguments: [31, 32, 33, 34])
  func malformed(_ seed: UInt64) throws {
    var both = 0
    for message in MalformedMessages(seed: seed).prefix(3000) {
      guard let ours = Self.read(message.octets), let theirs = LDNSMessage(libldns: message.octets) else { continue }
      both += 1
      guard ours != theirs else { continue }
      Issue.record("\(message.kind) read differently: \(message.octets)")
      return
    }
    #expect(both > 100)
  }

  @Test("what libldns takes and we refuse on purpose", arguments: Strictness.cases)
  fileprivate func stricter(_ strictness: Strictness) {
    #expect(LDNSMessage.accepts(strictness.message))
    let isQuery = strictness.message[2] & 0x80 == 0
    #expect(
      isQuery ? (try? Reading.query(strictness.message).result.get()) == nil : Self.read(strictness.message) == nil)
  }

  /// Types whose data both read, or both leave as it is.
  private static let compared: Set<RRType> = Set(ValidMessages.types).union([.SVCB, .SPF])

  /// Nil if we refuse the message or a name in it, or read less of it than libldns does.
  private static func read(_ message: [UInt8]) -> LDNSMessage? {
    do throws(FormatError) {
      let (reader, records) = try Reading.records(message)
      var budget = NameWire.pointerBudget
      var result = LDNSMessage(id: reader.header.id)
      if let question = reader.question {
        result.question = LDNSMessage.Record(
          owner: try Reading.name(message, at: question.name, budget: &budget).wire, type: question.type.rawValue,
          klass: question.klass.rawValue, ttl: 0, rdata: [])
      }
      for record in records {
        if record.type == .OPT {
          guard let edns = reader.edns else { return nil }
          result.edns = (record.klass.rawValue, edns.version, edns.extendedCode)
          continue
        }
        guard record.klass == .IN, compared.contains(record.type) else { return nil }
        let section = [.answer: 0, .authority: 1, .additional: 2][record.section, default: 2]
        result.sections[section].append(
          LDNSMessage.Record(
            owner: try Reading.name(message, at: record.owner, budget: &budget).wire, type: record.type.rawValue,
            klass: record.klass.rawValue, ttl: record.ttl, rdata: try rdata(message, record, &budget)))
      }
      return result
    } catch {
      return nil
    }
  }

  /// The data with its names uncompressed and in lower case.
  private static func rdata(
    _ message: [UInt8], _ record: RecordHeader, _ budget: inout Int
  ) throws(FormatError) -> [UInt8] {
    let layouts: [RRType: (head: Int, names: Int)] = [
      .NS: (0, 1), .CNAME: (0, 1), .PTR: (0, 1), .DNAME: (0, 1), .MX: (2, 1), .SRV: (6, 1), .SOA: (0, 2),
      .SVCB: (2, 1), .HTTPS: (2, 1),
    ]
    guard let layout = layouts[record.type], record.rdata.count >= layout.head else {
      return Array(message[record.rdata])
    }
    var at = record.rdata.lowerBound + layout.head
    var data = Array(message[record.rdata.lowerBound..<at])
    for _ in 0..<layout.names {
      let name = try Reading.name(message, at: at, budget: &budget)
      data += name.wire
      at = name.end
    }
    guard at <= record.rdata.upperBound else { throw FormatError(.recordData, at: at) }
    return data + message[at..<record.rdata.upperBound]
  }
}

/// A message that we refuse and libldns takes, and why we do.
private struct Strictness: CustomTestStringConvertible, Sendable {
  let testDescription: String
  let message: [UInt8]

  private static func response(_ answers: [[UInt8]], _ additionals: [[UInt8]] = []) -> [UInt8] {
    Messages.response("a.example", .A, answers: answers, additionals: additionals)
  }

  /// An answer whose owner's name begins 200 pointers away from its end.
  private static func chain() -> [UInt8] {
    var hops: [UInt8] = [0xC0, 12]
    for hop in 0..<199 { hops += Messages.be16(0xC000 + 38 + 2 * hop) }
    let head = Messages.record(".", RRType(rawValue: 65_280), hops)
    return response([head, address(owner: Messages.be16(0xC000 + 38 + 2 * 199))])
  }

  private static func address(owner: [UInt8]) -> [UInt8] {
    let rest: [UInt8] = [0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]
    return owner + rest
  }

  private static func response(_ type: RRType, _ rdata: [UInt8]) -> [UInt8] {
    response([Messages.record("a.example", type, rdata)])
  }

  private init(_ description: String, _ message: [UInt8]) {
    testDescription = description
    self.message = message
  }

  private static let twoQuestions: [UInt8] = [
    0, 1, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 97, 0, 0, 1, 0, 1, 1, 98, 0, 0, 1, 0, 1,
  ]
  private static let unsortedKeys: [UInt8] = [0, 1, 0, 0, 4, 0, 4, 1, 2, 3, 4, 0, 1, 0, 3, 2, 104, 50]

  static let cases: [Strictness] = [
    Strictness("two questions (RFC 9619)", twoQuestions),
    Strictness("octets after a query", Messages.query("a.example", .A) + [1, 2, 3]),
    Strictness("a compressed name in a query", [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 4, 0, 1, 0, 1]),
    Strictness("a pointer into the header", response([address(owner: [0xC0, 8])])),
    Strictness("a pointer forwards", response([address(owner: [0xC0, 29])])),
    Strictness("more than 128 pointers to pointers", chain()),
    Strictness("two OPT", response([], [Messages.opt(), Messages.opt()])),
    Strictness("an OPT that is an answer", response([Messages.opt()])),
    Strictness("an OPT that is not the root's", response([], [[1, 97] + Messages.opt()])),
    Strictness("an option longer than its OPT", response([], [Messages.opt(options: [0, 3, 0, 9, 1])])),
    Strictness("SVCB keys out of order", response(.HTTPS, unsortedKeys)),
    Strictness("a compressed SVCB target", response(.HTTPS, [0, 1, 0xC0, 12])),
    Strictness("octets after the name of a CNAME", response(.CNAME, [0xC0, 12, 0])),
  ]
}
