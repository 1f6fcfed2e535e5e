import ArgumentParser
import AuditLog
import AuditStore
import Testing

@testable import sluice

@Suite("Changes of what servers may reach, for people")
struct PolicyChangeTextTests {
  private static func text(_ event: LoggedEvent, of server: String? = nil) throws -> PolicyChangeText {
    var event = event
    (event.client, event.type) = (nil, nil)
    let change = try #require(PolicyChangeText.changes([try event.line]).first)
    return PolicyChangeText(change, of: server, try TimeOption.parse(["--utc"]))
  }

  @Test("a reload says who asked for it, what came and went, and what that closed")
  func reload() throws {
    let text = try Self.text(
      LoggedEvent(
        destination: "", code: "policy-reloaded", decision: "observe", server: "*",
        members:
          #","policy":"0a1b","former":"0000","servers":3,"servers_changed":1,"addresses_closed":2,"flows_cut":1,"#
          + #""networks_held":["10.77.9.0/24"],"uid":1000,"pid":4711,"cause":"files","names_added":1,"names_removed":0"#
      ))
    #expect(
      text.columns == [
        "2026-11-20 09:00:00Z", "policy-reloaded", "*", "uid 1000, pid 4711",
        "1 name added; 1 server changed; 2 addresses closed; 1 connection cut; policy 0a1b, was 0000",
      ])
    #expect(text.details == ["networks held: 10.77.9.0/24"])
  }

  @Test("a server that is gone is known by what came, went or changed of it")
  func lists() throws {
    let line = try LoggedEvent(
      destination: "", code: "policy-reloaded", decision: "observe", type: nil, client: nil, server: "*",
      members: #","policy":"0a1b","former":"0000","servers":3,"names_added":1,"names_removed":1,"#
        + #""entries_added":["web: a.example.com"],"entries_removed":["gone: b.example.com"],"#
        + #""changed":["other: ttl: was 1, now 2"]"#
    ).line
    let change = try #require(PolicyChangeText.changes([line]).first)
    for server in ["web", "gone", "other"] { #expect(change.lists(server), "\(server)") }
    for server in ["we", "nope", "a.example.com", "0a1b"] { #expect(!change.lists(server), "\(server)") }
  }

  @Test("a start is a change where another policy was in force before, also by a reload that was long ago")
  func starts() throws {
    func event(_ code: String, _ policy: String, _ second: Int, _ members: String = "") throws -> LogLine {
      try LoggedEvent(
        destination: "", code: code, decision: "observe", type: nil, client: nil, second: second, server: "*",
        members: #","policy":"\#(policy)""# + members
      ).line
    }
    let changes = try PolicyChangeText.changes([
      event("started", "a", 1), event("policy-reloaded", "b", 2, #","former":"a","cause":"files""#),
      event("started", "b", 3), event("started", "c", 4), event("policy-refused", "c", 5, #","errors":1"#),
    ])
    #expect(changes.map(\.event.fields.code) == [.policyReloaded, .started, .policyRefused])
    #expect(changes.map(\.former) == ["a", "b", nil])
    let text = PolicyChangeText(changes[1], of: nil, try TimeOption.parse(["--utc"]))
    #expect(text.columns[3...] == ["-", "policy c, was b"])
  }

  @Test("what is in force is what reloads and starts say, and no other event")
  func inForce() throws {
    func event(_ code: String, _ policy: String, _ second: Int) throws -> LogLine {
      try LoggedEvent(
        destination: "", code: code, decision: "observe", type: nil, client: nil, second: second, server: "*",
        members: #","policy":"\#(policy)""#
      ).line
    }
    let changes = try PolicyChangeText.changes([
      event("started", "a", 1), event("allowed-for-time", "z", 2), event("started", "a", 3),
    ])
    #expect(changes.map(\.event.fields.code) == [.allowedForTime])
    #expect(changes.map(\.former) == [nil])
  }

  @Test("a permit says until when and why, on one line")
  func permit() throws {
    let text = try Self.text(
      LoggedEvent(
        destination: "*.example.com", code: "allowed-for-time", decision: "observe",
        members: #","permit":7,"until":"2026-11-20T10:00:00Z","ports":["443/tcp"],"types":["A","AAAA"],"#
          + #""justification":"a\nb\u001b[31m","uid":0,"pid":1"#))
    #expect(text.columns[4] == "*.example.com; until 2026-11-20 10:00:00Z; permit 7; reason: a?b?[31m")
    #expect(text.details == ["ports: 443/tcp", "types: A, AAAA"])
  }

  @Test("what was refused says that the old policy stays; what has no caller says its cause")
  func refused() throws {
    let refused = try Self.text(
      LoggedEvent(
        destination: "", code: "policy-refused", decision: "error", server: "*",
        members: #","policy":"0a1b","errors":2,"cause":"files""#))
    #expect(refused.columns[3...] == ["files", "2 errors found; the old policy stays"])
    let revoked = try Self.text(
      LoggedEvent(
        destination: "", code: "revoked", decision: "observe",
        members:
          #","addresses":["192.0.2.1"],"address_count":1,"flows_cut":0,"policy":"0a1b","cause":"address-refused""#))
    #expect(
      revoked.columns[3...] == ["address-refused", "1 address closed"] && revoked.details == ["addresses: 192.0.2.1"])
  }
}
