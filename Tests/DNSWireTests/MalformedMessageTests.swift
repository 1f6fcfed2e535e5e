import DNSWire
import Foundation
import TestSupport
import Testing

/// What every reader must keep to with any octets: it does not trap, and what it returns lies inside the message.
@Suite("Malformed messages")
struct MalformedMessageTests {
  private static let perSeed = 2500

  /// Seeds that once found a fault, and some to start with: `Fixtures/seeds.txt`, one a line.
  private static func seeds() throws -> [UInt64] {
    let file = try #require(Bundle.module.url(forResource: "Fixtures/seeds", withExtension: "txt"))
    return try String(contentsOf: file, encoding: .utf8).split(separator: "\n").filter { !$0.hasPrefix("#") }
      .map { try #require(UInt64($0)) }
  }

  @Test("12,000 malformed messages and more: nothing traps, and every result lies inside its message (threats W19)")
  func nothingTraps() throws {
    let seeds = try Self.seeds()
    #expect(seeds.count * Self.perSeed >= 12_000)
    for seed in seeds {
      var outcomes: [Bool: Int] = [:]
      for (index, message) in MalformedMessages(seed: seed).prefix(Self.perSeed).enumerated() {
        checkNames(message.octets, from: index % 8)
        let isQuery = checkQuery(message.octets)
        outcomes[checkResponse(message.octets) || isQuery, default: 0] += 1
      }
      // Neither all refused nor all accepted: such messages would test nothing.
      #expect(outcomes[true, default: 0] > Self.perSeed / 20 && outcomes[false, default: 0] > Self.perSeed / 20)
    }
  }

  @Test("a seed always gives the same messages, and every kind of fault is among them")
  func generator() {
    let once = Array(MalformedMessages(seed: 1).prefix(500))
    let again = Array(MalformedMessages(seed: 1).prefix(500))
    #expect(once.map(\.octets) == again.map(\.octets))
    #expect(once.map(\.octets) != MalformedMessages(seed: 2).prefix(500).map(\.octets))
    #expect(Set(once.map(\.kind)) == Set(MalformedMessages.Kind.allCases))
  }

  @Test("the messages that the malformed ones are made of are accepted")
  func valid() {
    for message in ValidMessages(seed: 11).prefix(3000) {
      #expect(message[2] & 0x80 == 0 ? checkQuery(message) : Reading.failure(message) == nil, "\(message)")
    }
  }

  /// As `#expect`, which is too slow for a million checks.
  private func check(_ condition: Bool, _ message: [UInt8], line: Int = #line) {
    if !condition {
      let location = SourceLocation(fileID: #fileID, filePath: #filePath, line: line, column: 1)
      Issue.record("not so with \(message)", sourceLocation: location)
    }
  }

  private func checkQuery(_ message: [UInt8]) -> Bool {
    let (result, name) = Reading.query(message)
    switch result {
    case .success(let query):
      check(message.count >= 12 && message[2] & 0xF8 == 0, message)
      check(message[4..<11].elementsEqual([0, 1, 0, 0, 0, 0, 0]) && message[11] <= 1, message)
      check(query.questionEnd == 12 + name.count + 4 && query.questionEnd <= message.count, message)
      check((1...255).contains(name.count) && name.last == 0, message)
      check(name == message[12..<(12 + name.count)].map(NameWire.lowercased), message)
      check(query.labelCount == NameWire.labelCount(name.span), message)
      check(query.isHostname == Name(canonical: name.span).isHostname, message)
      check(
        query.edns == nil ? query.questionEnd == message.count : query.questionEnd + 11 <= message.count, message)
      return true
    case .failure(let fault):
      check(fault, message)
      return false
    }
  }

  /// What an error reply echoes is a question of the message.
  private func check(_ fault: QueryFault, _ message: [UInt8]) {
    switch fault {
    case .drop: check(message.count < 12 || message[2] & 0x80 != 0, message)
    case .notImplemented(let end, _), .formatError(_, let end, _), .badVersion(let end, _):
      check(message.count >= 12 && message[2] & 0x80 == 0, message)
      guard let end else { return }
      check((17...(12 + 255 + 4)).contains(end) && end <= message.count, message)
    }
  }

  private func checkResponse(_ message: [UInt8]) -> Bool {
    guard var reader = try? ResponseReader(message.span) else { return false }
    var last = reader.question?.end ?? 12
    var count = 0
    do throws(FormatError) {
      while let record = try reader.next(message.span) {
        count += 1
        check(record.owner >= last && record.rdata.lowerBound >= record.owner + 11, message)
        check(record.rdata.upperBound <= message.count && record.ttl <= UInt32(Int32.max), message)
        last = record.rdata.upperBound
      }
    } catch {
      check((0...message.count).contains(error.offset), message)
      return false
    }
    let header = reader.header
    check(count == Int(header.answerCount) + Int(header.authorityCount) + Int(header.additionalCount), message)
    return true
  }

  /// A name at every eighth offset of the message, read and printed; the longest of them is parsed again.
  private func checkNames(_ message: [UInt8], from first: Int) {
    _ = NameWire.presentation(message.span)
    _ = NameWire.labelCount(message.span)
    var longest: [UInt8] = []
    for start in stride(from: first, through: message.count, by: 8) {
      guard let (wire, end) = try? Reading.name(message, at: start) else { continue }
      check(end > start && end <= message.count && (1...255).contains(wire.count) && wire.last == 0, message)
      if wire.count > longest.count { longest = wire }
    }
    guard !longest.isEmpty else { return }
    check((try? Name(presentation: NameWire.presentation(longest.span)))?.wire == longest, message)
  }
}
