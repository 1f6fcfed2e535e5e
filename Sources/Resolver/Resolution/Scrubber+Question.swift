import DNSWire
import EgressPolicy
import Zones

extension Scrubber {
  /// What may be taken of an answer to a question, by the policy that decided it.
  ///
  /// - Parameter rule: the one that decided; nil where none did.
  init(_ question: PendingQuery, _ rule: EgressRule?, _ forbidden: ForbiddenAddresses) {
    let snapshot = question.snapshot
    let server = question.server
    let prefixes = rule?.privatePrefixes ?? []
    let isListed = { (name: [UInt8]) -> Bool in
      if case .allowed = snapshot.policy.decide(server: server, name: name.span, type: .A) { true } else { false }
    }
    self.init(
      maxTTL: snapshot.rules.maxTTL, maxNegativeTTL: snapshot.rules.maxNegativeTTL,
      admitsAddress: { [index = question.state.firewallIndex] address, chain in
        let forwards = snapshot.forwards
        let zones = forwards.zones.isEmpty ? [] : forwards.privatePrefixes(of: [question.name] + chain)
        return forbidden.admits(address, private: zones.isEmpty ? prefixes : prefixes + zones, server: index)
      },
      admitsTarget: { snapshot.zones.answer(name: $0.span, type: .A) == nil || isListed($0) },
      lists: isListed, chains: rule?.cname ?? .follow,
      service: ServiceRules(ports: rule?.ports ?? .any, hintFamilies: question.hintFamilies(of: rule)))
  }
}
