package import EgressPolicy
package import GrantLedger

extension GrantTerms {
  /// What a rule had shown of an answer that it took.
  ///
  /// - Parameters:
  ///   - hasChain: whether the answer leads through other names.
  ///   - isSecure: whether signatures showed it; else, where the rule looks at them, that its zone does not sign.
  ///   - list: the mark of the server's list.
  init(of rule: EgressRule, hasChain: Bool, isSecure: Bool, list: UInt32) {
    guard rule.cname != .follow || rule.dnssec != .off else {
      self.init()
      return
    }
    let chain: Chain = hasChain ? (rule.cname == .listed ? .listed(mark: list) : .any) : .none
    self.init(isSecure ? .secure : rule.dnssec == .off ? .unknown : .unsigned, chain)
  }

  /// Whether a rule would take an answer of which this was shown, as far as it asks for signatures and chains.
  package func satisfy(_ rule: EgressRule, list: UInt32) -> Bool {
    let isSigned: Bool =
      switch rule.dnssec {
      case .off: true
      case .verify: signatures >= .unsigned
      case .require: signatures == .secure
      }
    return switch rule.cname {
    case .follow: isSigned
    case .listed: isSigned && (chain == .none || chain == .listed(mark: list))
    case .strict: isSigned && chain == .none
    }
  }
}

extension ResolutionEngine {
  /// What was shown of an answer, for the next run.
  func terms(of resolution: Resolution, _ rule: EgressRule) -> GrantTerms {
    guard rule.cname != .follow || rule.dnssec != .off else { return GrantTerms() }
    let question = resolution.question
    // What is said here nobody else has to sign for, and leads where the operator wrote.
    if case .local = question.kind { return GrantTerms(.secure, .none) }
    return GrantTerms(
      of: rule, hasChain: resolution.answer?.chain.isEmpty == false, isSecure: resolution.isSecure,
      list: question.snapshot.policy.listMark(server: question.server))
  }
}
