import DNSWire
import Foundation
import IPNetwork
import TestSupport
import Testing

@testable import AuditLog

@Suite struct EventEncoderTests {
  private func line(_ record: AuditRecord) -> [UInt8] {
    var encoder = EventEncoder(run: 7)
    var output: [UInt8] = []
    encoder.append(record, to: &output)
    return output
  }

  @Test("an event is the contract's example, key by key")
  func contract() throws {
    let text = String(decoding: line(record()), as: UTF8.self)
    #expect(
      text
        == #"{"ts":"2025-11-20T09:14:22.481Z","server":"github-mcp","destination":"evil.example.com","decision":"block","#
        + #""reason":"destination not in allowlist","payload_size":45,"id":"0000000007-0000000001","code":"not-listed","#
        + #""client":"10.77.1.2","client_port":40188,"transport":"udp","type":"A","rcode":"NXDOMAIN","count":1}"# + "\n"
    )
  }

  @Test("members come after the fixed keys, in the order given")
  func members() {
    let members = Array(#","rule":"a.yaml:3","chain":[],"addresses":["192.0.2.1"]"#.utf8)
    let line = line(record(header(.granted), members: members))
    #expect(keys(line).suffix(4) == ["count", "rule", "chain", "addresses"])
  }

  @Test("members that would break the line are left out, and the event says so")
  func brokenMembers() throws {
    for members in [
      ",\"a\":\"\n\"", "\"a\":1", ",\"a\":\"\u{2028}\"", ",\"a\":\"\0\"", ",\"a\":1}", ",\"a\":[1", ",\"a\":[1}",
      ",\"a\":{\"b\":1]", ",\"a\":01", ",\"a\":", ",", ",\"a\"", ",\"a\":\"\\x\"", ",\"a\":\"\\uD800\"", ",\"a\":[,1]",
      ",\"a\":1,", ",\"a\":1]", "," + String(repeating: "[", count: 500),
    ] {
      let event = try #require(events(line(record(members: Array(members.utf8)))).first)
      #expect(event["members_omitted"] as? Bool == true)
      #expect(event["a"] == nil)
    }
  }

  @Test("members of every shape are passed on as they are")
  func shapes() throws {
    let members = #","a":[],"b":{},"c":[[1,2],{"d":null,"e":[true]}],"f":"\u00e9\\\"","g":0,"h":10,"i":[{"j":{}},[]]"#
    let event = try #require(events(line(record(members: Array(members.utf8)))).first)
    #expect(event["members_omitted"] == nil)
    #expect((event["c"] as? [Any])?.count == 2 && event["h"] as? Int == 10)
  }

  @Test("random damage to members never breaks a line")
  func damagedMembers() throws {
    var random = SeededRandom(seed: 6)
    let whole = Array(#","rule":"a.yaml:3","chain":["a.b"],"addresses":["192.0.2.1"],"o":{"x":[1,{}]},"ttl":60"#.utf8)
    for _ in 0..<3000 {
      var members = whole
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        members[.random(in: members.indices, using: &random)] =
          "[]{},:\"\\019truenlfs ".utf8.randomElement(using: &random) ?? 0
      }
      #expect(try events(line(record(members: members))).count == 1)
    }
  }

  @Test("hostile names stay one JSON object a line and come back as presented (threats L1)")
  func hostileNames() throws {
    var names: [[UInt8]] = [
      wire(Array("a\nb".utf8), Array("\r".utf8)), wire(Array("\u{2028}".utf8)), wire([0x1B] + Array("[31m".utf8)),
      wire(Array("\"".utf8), Array("\\".utf8)), wire([0]), wire([0xFF, 0xFE, 0xC3]), wire(Array("</script>&<!--".utf8)),
      wire(Array("a.b".utf8), Array("x\\.y".utf8)), wire(Array("$(id);`id`@(x)".utf8)), [0],
      wire(
        [UInt8](repeating: 0xFF, count: 63), [UInt8](repeating: 34, count: 63), [UInt8](repeating: 92, count: 63),
        [UInt8](repeating: 0, count: 61)),
    ]
    names += (0...UInt8.max).map { wire([$0], [$0, $0]) }
    for name in names {
      let output = line(record(name: name))
      #expect(output.filter { $0 == UInt8(ascii: "\n") }.count == 1)
      #expect(output.dropLast().allSatisfy { (0x20...0x7E).contains($0) })
      let event = try #require(events(output).first)
      #expect(event["destination"] as? String == NameWire.presentation(name.span))
    }
  }

  @Test("random octets in server and name never break a line")
  func randomOctets() throws {
    var random = SeededRandom(seed: 9)
    for _ in 0..<2000 {
      let server = (0..<Int.random(in: 0...80, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      let name = (0..<Int.random(in: 0...255, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      #expect(try events(line(record(server: server, name: name))).count == 1)
    }
  }

  @Test("addresses are written as IPNetwork writes them")
  func addresses() throws {
    var random = SeededRandom(seed: 3)
    var addresses = [
      "::", "::1", "2001:db8::1", "fe80::1:0:0:1", "1:0:0:2:0:0:0:3", "::ffff:192.0.2.1", "1::", "10.0.0.255",
      "1:2:3:4:5:6:7:8", "0:1:2:3:4:5:6:7", "1:2:3:4:5:6:7:0", "1:0:3:4:5:6:7:8",
    ].compactMap { IPAddress($0) }
    #expect(addresses.count == 12)
    for _ in 0..<500 {
      let mask = UInt64.random(in: .min ... .max, using: &random) & .random(in: .min ... .max, using: &random)
      var high: UInt64 = 0
      for group in 0..<4 where mask >> UInt64(group) & 1 == 1 {
        high |= UInt64.random(in: 0...0xFFFF, using: &random) << UInt64(group * 16)
      }
      addresses.append(IPAddress(high: high, low: mask & 0xFFFF_0000_FFFF))
    }
    for address in addresses {
      var output: [UInt8] = []
      output.append(address: address)
      #expect(String(decoding: output, as: UTF8.self) == address.description)
    }
  }

  @Test("times are ISO 8601 in UTC with milliseconds")
  func times() {
    let format = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
    var random = SeededRandom(seed: 5)
    var stamp = Timestamp()
    for second in [0, 951_782_400, 951_868_799, 1_709_164_800, 4_102_444_799]
      + (0..<500).map({ _ in
        Int.random(in: 0..<8_000_000_000, using: &random)
      })
    {
      var output: [UInt8] = []
      stamp.append(UInt64(second) * 1_000_000_000 + 42_999_999, to: &output)
      let date = Date(timeIntervalSince1970: Double(second) + 0.0425)
      #expect(String(decoding: output, as: UTF8.self) == date.formatted(format))
    }
  }

  @Test("times that are too late for nanoseconds in 64 bits, or before 1970, have a text too")
  func farTimes() {
    #expect(Timestamp.text(milliseconds: 42) == "1970-01-01T00:00:00.042Z")
    #expect(Timestamp.text(milliseconds: -1) == "1970-01-01T00:00:00.000Z")
    #expect(Timestamp.text(milliseconds: 253_402_300_799_999) == "9999-12-31T23:59:59.999Z")
    #expect(Timestamp.text(milliseconds: .max).hasSuffix("Z"))
  }

  @Test("ids are unique and grow, within a run and from run to run")
  func ids() throws {
    var ids: [String] = []
    for run in [5, 6, 4000] as [UInt64] {
      var encoder = EventEncoder(run: run)
      var output: [UInt8] = []
      for _ in 0..<300 { encoder.append(record(), to: &output) }
      ids += try events(output).compactMap { $0["id"] as? String }
    }
    #expect(ids == ids.sorted() && Set(ids).count == 900)
  }

  @Test("types and codes without a name are written by number")
  func numbers() throws {
    var unusual = header(type: RRType(rawValue: 65280))
    unusual.responseCode = ResponseCode(rawValue: 3841)
    let event = try #require(events(line(record(unusual, server: []))).first)
    #expect(event["type"] as? String == "TYPE65280")
    #expect(event["rcode"] as? String == "RCODE3841")
    #expect(event["server"] as? String == "unknown")
  }
}
