package import DNSWire

/// What is asked of the validator: one message, held against keys that are known.
package struct Judgement: Sendable {
  /// What is to be shown, and what is known of the zones that it rests on.
  package enum Question: Sendable {
    /// Whether the keys of a zone are those that its parent, or the operator, names.
    case keys(zone: Name, signers: [DelegationSigner])
    /// Whether a zone begins at a name, as its parent says.
    case delegation(of: Name, parent: ZoneKeys)
    /// Whether an answer is what the zones signed, or lies in one that does not sign.
    case answer(name: Name, type: RRType, zones: [ZoneKeys], unsigned: [Name])
  }

  package let question: Question
  package let message: [UInt8]
  /// Seconds since 1970.
  package let now: UInt32

  package init(_ question: Question, message: [UInt8], now: UInt32) {
    (self.question, self.message, self.now) = (question, message, now)
  }
}

/// What the validator says.
package enum Verdict: Sendable, Equatable {
  /// The data of the zone's keys.
  case keys([[UInt8]], ttl: UInt32)
  /// A signed zone begins there.
  case delegated([DelegationSigner], ttl: UInt32)
  /// No zone begins there.
  case noCut(ttl: UInt32)
  /// An answer is what its zones signed.
  case secure(ttl: UInt32)
  /// It is shown that nothing there needs to be signed.
  case unsigned(ttl: UInt32)
  case bogus(ValidationFault)
}

extension Judgement {
  /// Judges. Bounded by `WorkBudget`, whatever the message holds.
  package func verdict() -> Verdict {
    var budget = WorkBudget()
    return verdict(spending: &budget)
  }

  func verdict(spending budget: inout WorkBudget) -> Verdict {
    do {
      switch question {
      case .keys(let zone, let signers): return try keys(of: zone, signers, &budget)
      case .delegation(let child, let parent): return try delegation(of: child, parent, &budget)
      case .answer(let name, let type, let zones, let unsigned):
        return try answer(name, type, AnswerZones(zones, unsigned: unsigned), &budget)
      }
    } catch let fault as ValidationFault {
      return .bogus(fault)
    } catch {
      return .bogus(.malformed)
    }
  }

  /// One key that a signer names has to have signed the whole set (RFC 4035 section 5.2).
  private func keys(
    of zone: Name, _ signers: [DelegationSigner], _ budget: inout WorkBudget
  ) throws -> Verdict {
    let usable = DelegationSigner.usable(signers)
    // Signed in a way that cannot be followed is as good as not signed (RFC 4035 section 5.2).
    guard !usable.isEmpty else { return .unsigned(ttl: .max) }
    let message = try SignedMessage(message.span, type: .DNSKEY)
    guard let set = message.answer(zone, .DNSKEY) else { throw ValidationFault.noKey }
    let all = ZoneKeys(zone: zone, records: set.records)
    // Another key can have the named one's tag: only what is named is believed.
    var named: [[UInt8]] = []
    for key in all.keys {
      for signer in usable where signer.means(key) {
        try budget.digest()
        if signer.names(key, of: zone) { named.append(key.rdata) }
      }
    }
    guard !named.isEmpty else { throw ValidationFault.noKey }
    let proof = try ZoneKeys(zone: zone, records: named).verify(set, now: now, &budget)
    return .keys(Array(all.records.prefix(Self.maxKeys)), ttl: proof.ttl)
  }

  /// Keys of a zone that are kept; a zone that changes two of them has four.
  private static let maxKeys = 32

  private func delegation(
    of child: Name, _ parent: ZoneKeys, _ budget: inout WorkBudget
  ) throws -> Verdict {
    let message = try SignedMessage(message.span, type: .DS)
    if let set = message.answer(child, .DS) {
      let proof = try parent.verify(set, now: now, &budget)
      guard proof.encloser == nil else { throw ValidationFault.forged }
      let signers = set.records.compactMap { DelegationSigner($0) }
      return DelegationSigner.usable(signers).isEmpty
        ? .unsigned(ttl: proof.ttl) : .delegated(signers, ttl: proof.ttl)
    }
    // Where a name is another's alias no zone begins, but for a wildcard's, which tells nothing.
    if let alias = message.answer(child, .CNAME) {
      let proof = try parent.verify(alias, now: now, &budget)
      guard proof.encloser == nil else { throw ValidationFault.notDenied }
      return .noCut(ttl: proof.ttl)
    }
    let denial = try Denial(message, parent, now: now, &budget)
    switch try denial.word(of: child, &budget) {
    case .types(let types):
      guard !types.has(.DS), !types.has(.SOA) else { throw ValidationFault.notDenied }
      return types.has(.NS) ? .unsigned(ttl: denial.ttl) : .noCut(ttl: denial.ttl)
    case .absent(_, let isOptOut):
      return isOptOut ? .unsigned(ttl: denial.ttl) : .noCut(ttl: denial.ttl)
    }
  }
}
