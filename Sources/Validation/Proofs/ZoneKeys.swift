package import DNSWire
import LDNS

/// A zone whose keys are known to be its own, and what they signed.
package struct ZoneKeys: Sendable {
  package let zone: Name
  let keys: [PublicKey]

  /// - Parameter records: data of DNSKEY records; what signs no records is left out.
  package init(zone: Name, records: [[UInt8]]) {
    self.zone = zone
    keys = records.compactMap(PublicKey.init)
  }

  /// The data of the keys' records.
  package var records: [[UInt8]] { keys.map(\.rdata) }

  /// What a signature shows.
  struct Proof {
    /// Seconds for which it holds.
    var ttl: UInt32
    /// Where the owner's name was made of a wildcard: the name that the wildcard stands below.
    var encloser: Name?
  }

  /// - Parameter now: seconds since 1970.
  /// - Throws: why no signature of the zone's over the set counts: what the first one with a known key says.
  func verify(_ set: RecordSet, now: UInt32, _ budget: inout WorkBudget) throws(ValidationFault) -> Proof {
    guard set.owner.isSubdomain(of: zone) else { throw .wrongSigner }
    let own = set.signatures.filter { $0.signer == zone }
    guard !own.isEmpty else { throw set.signatures.isEmpty ? .unsigned : .wrongSigner }
    var fault = ValidationFault.unsupported
    for signature in own.prefix(WorkBudget.signatures) {
      do throws(ValidationFault) {
        return try verify(set, signature, now: now, &budget)
      } catch .tooMuchWork {
        throw .tooMuchWork
      } catch {
        if fault == .unsupported || fault == .noKey { fault = error }
      }
    }
    throw fault
  }

  private func verify(
    _ set: RecordSet, _ signature: Signature, now: UInt32, _ budget: inout WorkBudget
  ) throws(ValidationFault) -> Proof {
    guard let algorithm = signature.algorithm else { throw .unsupported }
    if let fault = signature.timeFault(now) { throw fault }
    let labels = set.owner.labelCount - (set.owner.isWildcard ? 1 : 0)
    // A signature that counts more labels than there are was never made over this name.
    guard signature.labels <= labels, let encloser = set.owner.suffix(labels: signature.labels) else { throw .forged }
    var signed: Name? = set.owner
    if signature.labels < labels { signed = encloser.wildcard }
    guard let signed, encloser.isSubdomain(of: zone) else { throw .forged }
    let candidates = keys.filter { $0.algorithm == algorithm && $0.tag == signature.keyTag }
    guard !candidates.isEmpty else { throw .noKey }
    let octets = set.signedOctets(signature, name: signed)
    for key in candidates.prefix(WorkBudget.keysPerTag) {
      try budget.verify()
      if algorithm.verifies(signature.octets, key: key.octets, over: octets) {
        return Proof(
          ttl: min(set.ttl, signature.originalTTL, signature.remaining(now)),
          encloser: signature.labels < labels ? encloser : nil)
      }
      budget.failed()
    }
    throw .forged
  }
}
