package import EgressPolicy
package import GrantLedger

extension GrantTerms {
  /// What a rule had shown of an answer that it took.
  ///
  /// - Parameters:
  ///   - hasChain: whether the answer leads through other names.
  ///   - isSecure: whether signatures showed it; else, where the rule looks at them, that its zone does not sign.
  ///   - list: the mark of the server's list.
  ///   - denials: that of what the server is denied, which no chain leads through; nil where it is denied nothing.
  init(of rule: EgressRule, hasChain: Bool, isSecure: Bool, list: UInt32, denials: UInt32? = nil) {
    guard rule.cname != .follow || rule.dnssec != .off || denials != nil else {
      self.init()
      return
    }
    let through: Chain = rule.cname == .listed ? .listed(mark: list) : denials.map { .undenied(mark: $0) } ?? .any
    let chain: Chain = hasChain ? through : .none
    self.init(isSecure ? .secure : rule.dnssec == .off ? .unknown : .unsigned, chain)
  }

  /// Whether a rule would take an answer of which this was shown, as far as it asks for signatures and chains.
  ///
  /// - Parameters:
  ///   - list: the mark of the server's list.
  ///   - denials: that of what the server is denied; nil where it is denied nothing.
  package func satisfy(_ rule: EgressRule, list: UInt32, denials: UInt32? = nil) -> Bool {
    let isSigned: Bool =
      switch rule.dnssec {
      case .off: true
      case .verify: signatures >= .unsigned
      case .require: signatures == .secure
      }
    return switch rule.cname {
    case .follow:
      isSigned
        && (denials.map { [.none, .undenied(mark: $0), .listed(mark: list)].contains(chain) } ?? true)
    case .listed: isSigned && (chain == .none || chain == .listed(mark: list))
    case .strict: isSigned && chain == .none
    }
  }
}

extension ResolutionEngine {
  /// What was shown of an answer, for the next run.
  func terms(of resolution: Resolution, _ rule: EgressRule) -> GrantTerms {
    let question = resolution.question
    let policy = question.snapshot.policy
    let denials = policy.denialMark(server: question.server)
    guard rule.cname != .follow || rule.dnssec != .off || denials != nil else { return GrantTerms() }
    // What is said here nobody else has to sign for, and leads where the operator wrote.
    if case .local = question.kind { return GrantTerms(.secure, .none) }
    return GrantTerms(
      of: rule, hasChain: resolution.answer?.chain.isEmpty == false, isSecure: resolution.isSecure,
      list: policy.listMark(server: question.server), denials: denials)
  }
}
