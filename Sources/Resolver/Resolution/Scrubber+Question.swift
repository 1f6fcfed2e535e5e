import DNSWire
import EgressPolicy
import Zones

extension Scrubber {
  /// What may be taken of an answer to a question, by the policy that decided it.
  ///
  /// - Parameter rule: the one that decided; nil where none did.
  init(_ question: PendingQuery, _ rule: EgressRule?, _ forbidden: ForbiddenAddresses) {
    let prefixes = rule?.privatePrefixes ?? []
    // What each holds is one reference.
    self.init(
      maxTTL: question.snapshot.rules.maxTTL, maxNegativeTTL: question.snapshot.rules.maxNegativeTTL,
      admitsAddress: { [index = question.state.firewallIndex] address, chain in
        guard question.snapshot.policy.denial(of: address, server: question.server) == nil else { return false }
        let forwards = question.snapshot.forwards
        let zones = forwards.zones.isEmpty ? [] : forwards.privatePrefixes(of: [question.name] + chain)
        return forbidden.admits(address, private: zones.isEmpty ? prefixes : prefixes + zones, server: index)
      },
      admitsTarget: { question.snapshot.zones.answer(name: $0.span, type: .A) == nil || question.allows($0) },
      lists: { question.allows($0) }, denies: { question.denies($0) }, chains: rule?.cname ?? .follow,
      service: ServiceRules(ports: rule?.ports ?? .any, hintFamilies: question.hintFamilies(of: rule)))
  }
}
