import Testing

@testable import AuditLog

@Suite struct AuditCodeTests {
  @Test("every code has a token of its own")
  func tokens() {
    let tokens = AuditCode.registered.map { $0.token.description }
    #expect(Set(tokens).count == tokens.count)
    #expect(!tokens.contains("unknown"))
  }

  @Test("the contract's codes have the contract's sentences and decisions")
  func sentences() {
    #expect(AuditCode.notListed.token.description == "not-listed")
    #expect(AuditCode.notListed.reason.description == "destination not in allowlist")
    #expect(AuditCode.typeNotAllowed.reason.description == "type not allowed")
    #expect(AuditCode.unknownClient.reason.description == "unknown client")
    #expect(AuditCode.answerNotPublic.reason.description == "answer not public")
    #expect(AuditCode.firewallUnavailable.decision == .error)
    #expect(AuditCode.setFull.reason.description == "set full")
    #expect(AuditCode.granted.decision == .allow)
    #expect(AuditCode.notListed.decision == .block)
  }
}
