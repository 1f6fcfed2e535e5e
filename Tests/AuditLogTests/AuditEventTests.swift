import DNSWire
import Foundation
import IPNetwork
import TestSupport
import Testing

@testable import AuditLog

/// The event as a value: what is written is read back, and the other way round.
@Suite struct AuditEventTests {
  private static let wall: UInt64 = 1_763_630_062_481_000_000

  private func line(_ event: AuditEvent) -> [UInt8] {
    var encoder = EventEncoder(run: 1)
    var output: [UInt8] = []
    encoder.append(event, to: &output)
    return Array(output.dropLast())
  }

  private func text(_ random: inout SeededRandom, _ scalars: ClosedRange<UInt32>, atLeast: Int = 0) -> String {
    var text = String.UnicodeScalarView()
    for _ in 0..<Int.random(in: atLeast...40, using: &random) {
      text.append(Unicode.Scalar(UInt32.random(in: scalars, using: &random)) ?? "\u{FFFD}")
    }
    return String(text)
  }

  private func members(_ random: inout SeededRandom) -> AuditMembers {
    var members = AuditMembers()
    for _ in 0..<Int.random(in: 0...6, using: &random) {
      switch Int.random(in: 0..<3, using: &random) {
      case 0: members.append(AuditMembers.Text.allCases.randomElement(using: &random)!, text(&random, 0...0x1_FFFF))
      case 1: members.append(AuditMembers.Number.allCases.randomElement(using: &random)!, random.next())
      default:
        members.append(
          AuditMembers.List.allCases.randomElement(using: &random)!,
          (0..<Int.random(in: 0...3, using: &random)).map { _ in text(&random, 0...0x3000) })
      }
    }
    return members
  }

  private func time(_ random: inout SeededRandom) -> UInt64 {
    .random(in: 0...18_000_000_000_000, using: &random) * 1_000_000
  }

  private func event(_ random: inout SeededRandom) -> AuditEvent {
    let code = AuditCode.registered.randomElement(using: &random)!
    let isSeveral = Bool.random(using: &random)
    let client: IPAddress? =
      switch Int.random(in: 0..<3, using: &random) {
      case 0: IPAddress(v4: .random(in: 0 ... .max, using: &random))
      case 1: IPAddress(high: random.next(), low: random.next())
      default: nil
      }
    let transport = code.isService ? nil : AuditTransport.allCases.randomElement(using: &random)
    return AuditEvent(
      fields: AuditEvent.Fields(
        code: code,
        type: !code.isQuery || isSeveral ? nil : RRType(rawValue: .random(in: 0 ... .max, using: &random)),
        transport: transport,
        responseCode: code.isQuery ? ResponseCode(rawValue: .random(in: 0...40, using: &random)) : .NOERROR,
        payloadSize: .random(in: 0 ... .max, using: &random), client: client,
        clientPort: transport == nil ? 0 : .random(in: 0 ... .max, using: &random), wallClock: time(&random),
        count: random.next(),
        interval: isSeveral ? AuditEvent.Interval(first: time(&random), last: time(&random)) : nil),
      id: AuditEvent.Identifier(
        run: .random(in: 0..<1 << 40, using: &random), number: .random(in: 0..<1 << 40, using: &random)),
      server: text(&random, 0...0xFF, atLeast: 1), destination: text(&random, 0...0xFF), members: members(&random))
  }

  @Test("any event that is written is read back as it was", arguments: 0..<4 as Range<UInt64>)
  func roundTrip(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    for _ in 0..<250 {
      let event = event(&random)
      let line = line(event)
      #expect(try AuditEvent(line: line) == event)
      // And by a reader that is not of this project.
      let object = try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
      #expect(object["code"] as? String == event.fields.code.token.description)
      #expect(object["server"] as? String == event.server && object["destination"] as? String == event.destination)
    }
  }

  @Test("every line of a former log is read, and written again as it stands there")
  func formerLines() throws {
    for line in try WrittenEventsTests.former() {
      let event = try AuditEvent(line: Array(line.utf8))
      #expect(String(decoding: self.line(event), as: UTF8.self) == WrittenEventsTests.spelledAnew(line))
    }
  }

  @Test("the decoder knows what the record said")
  func meaning() throws {
    var encoder = EventEncoder(run: 7)
    var output: [UInt8] = []
    encoder.append(
      record(header(.granted), members: Array(#","rule":"a.yaml:3","addresses":["192.0.2.1"],"ttl":60"#.utf8)),
      to: &output)
    let event = try AuditEvent(line: output.dropLast())
    #expect(event.fields.code == .granted && event.fields.type == .A && event.fields.responseCode == .NXDOMAIN)
    #expect(event.fields.client == IPAddress(v4: 0x0A4D_0102) && event.fields.clientPort == 40188)
    #expect(event.fields.transport == .udp && event.fields.wallClock == Self.wall && event.fields.interval == nil)
    #expect(event.id == AuditEvent.Identifier(run: 7, number: 1) && event.server == "github-mcp")
    #expect(event.destination == "evil.example.com" && event.members[.rule] == "a.yaml:3")
    #expect(event.members[.addresses] == ["192.0.2.1"] && event.members[.ttl] == 60)
    #expect(event.members[.cause] == nil && event.members[.port] == nil && event.members[.chain] == nil)
  }

  @Test("an old spelling of a code is read as the code that it was")
  func formerSpelling() throws {
    for (code, former) in [
      (AuditCode.enforcementDegraded, "enforcement_degraded"), (.enforcementRestored, "enforcement_restored"),
    ] {
      var random = SeededRandom(seed: 1)
      var event = event(&random)
      while event.fields.code != code { event = self.event(&random) }
      let line = String(decoding: line(event), as: UTF8.self)
      let written = line.replacing("\"code\":\"\(code.token)\"", with: "\"code\":\"\(former)\"")
      #expect(written != line)
      #expect(try AuditEvent(line: Array(written.utf8)) == event)
    }
  }

  @Test("what is no event says where, and a code of a later version is told apart")
  func refused() throws {
    let whole = String(decoding: line(try AuditEvent(line: Array(WrittenEventsTests.former()[0].utf8))), as: UTF8.self)
    #expect(throws: AuditEventError(kind: .form, offset: 0)) { try AuditEvent(line: []) }
    for (part, other) in [
      ("{\"ts\"", "{ \"ts\""), ("\"server\"", "\"serve\""), ("\"type\":\"A\"", "\"type\":\"NOTYPE\""),
      ("\"transport\":\"udp\"", "\"transport\":\"quic\""), ("\"transport\":\"udp\"", "\"transport\":null"),
      ("\"client_port\":40188", "\"client_port\":null"),
      ("\"client\":\"10.77.1.2\"", "\"client\":null"), ("\"client\":\"10.77.1.2\"", "\"client\":\"10.77.1\""),
      ("2025-11-20", "2025-02-30"), ("2025-11-20", "2025-11-00"), ("2025-11-20T", "9999-11-20T"),
      ("2025-11-20T", "2025-11-20 "), ("\"payload_size\":45", "\"payload_size\":4294967296"),
      ("\"count\":1", "\"count\":01,"),
      ("\"count\":1}", "\"count\":1,\"x\":[}"), ("\"count\":1}", "\"count\":1"), ("\"rcode\":\"", "\"rcode\":\"RCODE0"),
    ] {
      #expect(whole.contains(part))
      let line = Array(whole.replacing(part, with: other).utf8)
      #expect(throws: AuditEventError.self, "\(other)") { try AuditEvent(line: line) }
    }
    let later = Array(whole.replacing("\"code\":\"not-listed\"", with: "\"code\":\"not-yet\"").utf8)
    let error = #expect(throws: AuditEventError.self) { try AuditEvent(line: later) }
    #expect(error?.kind == .unknownCode)
    #expect(error.map { String(decoding: later[$0.offset...], as: UTF8.self).hasPrefix("not-yet\"") } == true)
  }

  @Test("an event that is cut anywhere is none")
  func cut() throws {
    let whole = line(try AuditEvent(line: Array(WrittenEventsTests.former()[0].utf8)))
    for count in whole.indices {
      #expect(throws: AuditEventError.self, "\(count) octets") { try AuditEvent(line: Array(whole.prefix(count))) }
    }
  }

  @Test("what is cut within a string, at an escape too, or within a number of fixed length is wrong from its beginning")
  func cutWithin() throws {
    var event = try AuditEvent(line: Array(WrittenEventsTests.former()[0].utf8))
    event.destination = #"a\"b\.example.com"#
    let whole = String(decoding: line(event), as: UTF8.self)
    for (before, length) in [(#""destination":""#, 8), (#""id":""#, 9)] {
      let start = whole.utf8.distance(
        from: whole.startIndex, to: try #require(whole.firstRange(of: before)).upperBound)
      for count in 1...length {
        #expect(throws: AuditEventError(kind: .form, offset: start), "\(before), \(count) octets") {
          try AuditEvent(line: Array(whole.utf8.prefix(start + count)))
        }
      }
    }
  }

  @Test("random damage to a line traps nothing, and what is still read is written as it is read", arguments: 0..<4)
  func damage(seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    let lines = try WrittenEventsTests.former()
    for _ in 0..<1000 {
      var line = Array(lines.randomElement(using: &random)!.utf8)
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let at = Int.random(in: line.indices, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: line[at] = .random(in: 0...255, using: &random)
        case 1: line.remove(at: at)
        default: line.insert("\"\\{}[]:,0-9u".utf8.randomElement(using: &random)!, at: at)
        }
      }
      guard let event = try? AuditEvent(line: line) else { continue }
      #expect(try AuditEvent(line: self.line(event)) == event)
    }
  }

  @Test("a number with a sign is no id, and a response code that has a name is called by it")
  func otherSpellings() throws {
    let whole = String(decoding: line(try AuditEvent(line: Array(WrittenEventsTests.former()[0].utf8))), as: UTF8.self)
    for other in [
      whole.replacing(/"id":"[0-9a-f]/, with: #""id":"+"#),
      whole.replacing(/"rcode":"[A-Z0-9]+"/, with: #""rcode":"RCODE3""#),
      whole.replacing(/"rcode":"[A-Z0-9]+"/, with: #""rcode":"RCODE0077""#),
    ] {
      #expect(other != whole)
      #expect(throws: AuditEventError.self, "\(other)") { try AuditEvent(line: Array(other.utf8)) }
    }
  }
}
