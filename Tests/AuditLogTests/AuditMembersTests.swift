import DNSWire
import IPNetwork
import Testing

@testable import AuditLog

@Suite struct AuditMembersTests {
  private func text(_ members: AuditMembers) -> String { String(decoding: members.octets, as: UTF8.self) }

  @Test("members stand in the order in which they were appended, each of its key's type")
  func order() throws {
    var members = AuditMembers(.policy, "0a1b").with(.servers, 3).with(.others, ["10.88.0.0/16", "fd00::/64"])
    members.append(.address, try #require(IPAddress("2001:db8::1")))
    members.append(.addresses, [IPAddress(v4: 0xC000_0201)])
    members.append(.chain, names: [wire("b.example.net"), wire(Array("a\"".utf8))])
    #expect(
      text(members)
        == #","policy":"0a1b","servers":3,"others":["10.88.0.0/16","fd00::/64"],"address":"2001:db8::1","#
        + #""addresses":["192.0.2.1"],"chain":["b.example.net","a\\\""]"#)
    #expect(members[.policy] == "0a1b" && members[.servers] == 3)
    #expect(members[.others] == ["10.88.0.0/16", "fd00::/64"] && members[.chain] == ["b.example.net", #"a\""#])
  }

  @Test("nothing is appended of what is absent, and negative numbers are 0")
  func absent() {
    #expect(text(AuditMembers(.version, "1").with(.error, nil).with(nil)) == #","version":"1""#)
    #expect(text(AuditMembers(.pid, -1 as Int32).with(.bytes, UInt64.max)) == #","pid":0,"bytes":18446744073709551615"#)
    #expect(AuditMembers().isEmpty && AuditMembers(.error, nil).isEmpty)
  }

  @Test("text is ASCII in the line whatever it was, and is read back whole")
  func everyText() throws {
    for given in ["", "it is \"needed\" \\", "a\n\u{7F}\0", "für müde Bären", "ночь", "🐻 \u{2028}", "]},\"x\":1"] {
      let members = AuditMembers(.justification, given).with(.ports, [given, "any"]).with(.uid, 0)
      #expect(members.octets.allSatisfy { (0x20...0x7E).contains($0) })
      #expect(isWellFormed(members.octets))
      #expect(members[.justification] == given && members[.ports] == [given, "any"] && members[.uid] == 0)
      let line = try #require(try events(line(members)).first)
      #expect(line["justification"] as? String == given && line["members_omitted"] == nil)
    }
  }

  @Test("a value is found by its key at the first level alone")
  func levels() {
    let octets = Array(#","codes":{"bytes":1},"top":[{"bytes":2}],"error":",\"bytes\":3","packets":4,"bytes":5"#.utf8)
    let members = AuditMembers(octets: octets)
    #expect(members[.bytes] == 5 && members[.packets] == 4 && members[.error] == #","bytes":3"#)
    for broken in [
      #","bytes":"#, #","x":[,"bytes":1"#, #""bytes":1"#, #","bytes":99999999999999999999"#, #","bytes":[1]"#,
      #","bytes":18446744073709551616"#,
    ] {
      #expect(AuditMembers(octets: Array(broken.utf8))[.bytes] == nil)
    }
  }

  @Test("a text is a string, and no other value")
  func texts() {
    #expect(AuditMembers(octets: Array(#","error":5,"policy":["a"]"#.utf8))[.error] == nil)
    #expect(AuditMembers(octets: Array(#","error":5,"policy":["a"]"#.utf8))[.policy] == nil)
    #expect(AuditMembers(octets: Array(#","chain":"a""#.utf8))[.chain] == nil)
  }

  @Test("escapes are undone, and half a pair of surrogates is no character")
  func escapes() {
    for (text, plain) in [
      (#"a\n\r\t\b\f\"\\\/"#, "a\n\r\t\u{8}\u{C}\"\\/"), (#"\ud83d\udc3b"#, "\u{1F43B}"), (#"\u00e9x"#, "\u{E9}x"),
      (#"\ud83d"#, "\u{FFFD}"), (#"\ud83dxyzxyz"#, "\u{FFFD}xyzxyz"), (#"\ud83d\u0041b"#, "\u{FFFD}b"),
      (#"\ud83d\n0041"#, "\u{FFFD}\n0041"), (#"\u12"#, "\u{FFFD}"), (#"\"#, "\\"),
    ] {
      let undone = JSONEscapes.undo(Array(text.utf8)[...])
      #expect(String(decoding: undone, as: UTF8.self) == plain, "\(text)")
    }
  }

  @Test("a surrogate stands only in a pair")
  func surrogates() {
    for (text, isGood) in [
      (#"\ud83d\udc3b"#, true), (#"\ud83d"#, false), (#"\udc3b"#, false), (#"\ud83dx"#, false),
      (#"\ud83d\u0041"#, false),
    ] {
      #expect(isWellFormed(Array(",\"error\":\"\(text)\"".utf8)) == isGood)
    }
  }

  @Test("no key stands twice in the schema, and all are in snake case")
  func schema() {
    let keys =
      EventKey.allCases.map(\.rawValue) + AuditMembers.Text.allCases.map(\.rawValue)
      + AuditMembers.Number.allCases.map(\.rawValue) + AuditMembers.List.allCases.map(\.rawValue)
      + AuditMembers.Shaped.allCases.map(\.rawValue)
    #expect(Set(keys).count == keys.count)
    #expect(keys.allSatisfy { $0.wholeMatch(of: /[a-z]+(_[a-z]+)*/) != nil })
  }

  @Test("every member that was ever written has its key in the schema, and its type")
  func written() {
    for members in WrittenEventsTests.members.values.joined() {
      let members = AuditMembers(octets: Array(members.utf8))
      var again = 0
      for key in AuditMembers.Text.allCases where members[key] != nil { again += key.rawValue.count }
      for key in AuditMembers.Number.allCases where members[key] != nil { again += key.rawValue.count }
      for key in AuditMembers.List.allCases where members[key] != nil { again += key.rawValue.count }
      let keys = keys(Array("{".utf8) + members.octets.dropFirst() + Array("}".utf8))
      #expect(again == keys.reduce(0) { $0 + $1.count }, "\(keys)")
    }
  }

  private func isWellFormed(_ octets: [UInt8]) -> Bool { JSONMembers.areWellFormed(octets.span) }

  private func line(_ members: AuditMembers) -> [UInt8] {
    var encoder = EventEncoder(run: 1)
    var output: [UInt8] = []
    encoder.append(record(members: members.octets), to: &output)
    return output
  }

  @Test("an escape that is cut, and surrogates that are no pair, are not well-formed")
  func cutEscapes() {
    #expect(isWellFormed(Array(#","a":"\ud83d\ude00""#.utf8)))
    for value in [#""\"#, #""\u"#, #""\udc00\udc00""#, #""\ud83d\ud83d""#, #""\ud83dA""#] {
      #expect(!isWellFormed(Array(",\"a\":\(value)".utf8)), "\(value)")
    }
  }
}
