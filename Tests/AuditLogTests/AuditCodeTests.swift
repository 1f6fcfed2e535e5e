import Testing

@testable import AuditLog

@Suite struct AuditCodeTests {
  @Test("every code has a token of its own")
  func tokens() {
    let tokens = AuditCode.registered.map { $0.token.description }
    #expect(Set(tokens).count == tokens.count)
    #expect(!tokens.contains("unknown"))
  }

  @Test("tokens are in kebab-case, numbers ascend, and the number of a code that was never written stays free")
  func table() {
    let codes = AuditCode.registered
    #expect(codes.allSatisfy { $0.token.description.wholeMatch(of: /[a-z]+(-[a-z]+)*/) != nil })
    #expect(codes.map(\.rawValue) == (1...64).filter { $0 != 14 } + (72...86))
    #expect(codes.allSatisfy { $0.rawValue < Coalescer.summaryCodes })
    for number in [0, 14, 65, 71, 87, 255] as [UInt8] {
      let code = AuditCode(rawValue: number)
      #expect(code.token.description == "unknown" && code.decision == .error && code.isService)
    }
  }

  @Test("a code is found by its token, and by what earlier versions wrote in its place")
  func spellings() {
    func code(_ text: String) -> AuditCode? { AuditCode(token: Array(text.utf8)[...]) }
    for one in AuditCode.registered {
      let token = Array(one.token.description.utf8)
      #expect(AuditCode(token: token[...]) == one && one.isSpelled(token[...]))
    }
    #expect(code("enforcement_degraded") == .enforcementDegraded)
    #expect(code("enforcement_restored") == .enforcementRestored)
    #expect(AuditCode.enforcementDegraded.isSpelled(Array("enforcement_degraded".utf8)[...]))
    for text in ["", "unknown", "not_listed", "not-liste", "not-listed2", "firewall-changed"] {
      #expect(code(text) == nil)
    }
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
