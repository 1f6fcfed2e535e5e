import DNSWire

/// What is known of the zones of an answer.
struct AnswerZones {
  private let zones: [ZoneKeys]
  private let unsigned: [Name]

  init(_ zones: [ZoneKeys], unsigned: [Name]) { (self.zones, self.unsigned) = (zones, unsigned) }

  func keys(of zone: Name) -> ZoneKeys? { zones.first { $0.zone == zone } }

  /// Whether a name lies in a zone that does not sign, and in none further down whose keys are known: from an anchor of its own.
  func isUnsigned(_ name: Name) -> Bool {
    unsigned.contains { top in
      name.isSubdomain(of: top)
        && !zones.contains { $0.zone.isSubdomain(of: top) && name.isSubdomain(of: $0.zone) }
    }
  }
}

extension Judgement {
  func answer(
    _ name: Name, _ type: RRType, _ zones: AnswerZones, _ budget: inout WorkBudget
  ) throws(ValidationFault) -> Verdict {
    let answer = try AnswerParts(message.span, name: name, type: type)
    var (ttl, isSecure) = (UInt32.max, true)
    for part in answer.parts {
      if zones.isUnsigned(part.name) {
        isSecure = false
        continue
      }
      guard let signer = part.signer else { throw .unsigned }
      guard let keys = zones.keys(of: signer) else { throw .wrongSigner }
      let proof = try prove(part, of: answer.message, type: type, keys, &budget)
      ttl = min(ttl, proof.ttl)
      isSecure = isSecure && !proof.isOptOut
    }
    return isSecure ? .secure(ttl: ttl) : .unsigned(ttl: ttl)
  }

  private func prove(
    _ part: AnswerParts.Part, of message: SignedMessage, type: RRType, _ keys: ZoneKeys, _ budget: inout WorkBudget
  ) throws(ValidationFault) -> (ttl: UInt32, isOptOut: Bool) {
    guard let set = part.set else {
      let denial = try Denial(message, keys, now: now, &budget)
      let isOptOut =
        message.code == .NXDOMAIN
        ? try denial.deniesName(part.name, &budget) : try denial.deniesType(type, of: part.name, &budget)
      return (denial.ttl, isOptOut)
    }
    let proof = try keys.verify(set, now: now, &budget)
    guard let encloser = proof.encloser else { return (proof.ttl, false) }
    // Made of a wildcard: that is right only where nothing stands closer (RFC 4035 section 5.3.4).
    let denial = try Denial(message, keys, now: now, &budget)
    let isOptOut = try denial.deniesCloser(than: encloser, to: set.owner, &budget)
    return (min(proof.ttl, denial.ttl), isOptOut)
  }
}
