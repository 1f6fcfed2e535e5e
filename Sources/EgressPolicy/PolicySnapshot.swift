package import DNSWire
package import IPNetwork

/// The whole policy, compiled and unchangeable: who asks, and what that server may ask for.
///
/// A decision costs the same with ten names and with a million, allocates nothing and counts no reference, so that one
/// snapshot serves all worker threads. Whether the policy makes sense was checked before by `PolicyLinter`.
package final class PolicySnapshot: Sendable {
  package let servers: [ServerPolicy]
  /// 32 hexadecimal digits that change when, and only when, a decision could change.
  package let fingerprint: String

  private let networks: PrefixTable
  private let names: NameTable
  private let types: TypeTable

  /// `seed` varies the hash tables only, never a decision or the fingerprint.
  package convenience init(_ servers: [ServerPolicy], seed: UInt64 = .random(in: .min ... .max)) {
    self.init(servers, seed: seed, hashMask: .max)
  }

  init(_ servers: [ServerPolicy], seed: UInt64, hashMask: UInt64) {
    self.servers = servers
    names = NameTable(servers.map(\.rules), seed: seed, hashMask: hashMask)
    types = TypeTable(names.merged)
    fingerprint = PolicyFingerprint.text(servers: servers, rules: names.merged, repeats: names.repeats)
    networks = PrefixTable(
      servers.enumerated().flatMap { index, server in server.networks.map { ($0.prefix, UInt32(index)) } })
  }

  /// The server whose network holds `address` with the longest prefix; an IPv4-mapped address counts as its IPv4 form.
  package func server(for address: IPAddress) -> Int? {
    networks.lookup(address.unmapped).map { Int($0) }
  }

  /// The index of the server with this name.
  package func server(named name: some StringProtocol) -> Int? {
    servers.firstIndex { $0.name.text == name }
  }

  /// Decides on the canonical wire `name`: the most specific pattern that matches it alone answers.
  package func decide(server: Int, name: Span<UInt8>, type: RRType) -> Verdict {
    guard server >= 0, server < names.serverCount, let (rule, profile) = names.match(server: server, name: name) else {
      return .notListed
    }
    return types.allows(type, server: server, profile: profile) ? .allowed(rule: rule) : .typeNotAllowed(rule: rule)
  }

  /// The rule that a verdict names, with what entries of the same pattern add to it.
  package func rule(server: Int, index: Int) -> EgressRule {
    names.merged[server][index]
  }

  /// The indices of a server's rules that can decide: all but those merged into an earlier one.
  package func effectiveRules(server: Int) -> [Int] {
    let absorbed = Set(names.repeats[server].map(\.second))
    return names.merged[server].indices.filter { !absorbed.contains($0) }
  }
}
