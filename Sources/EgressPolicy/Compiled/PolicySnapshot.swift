package import DNSWire
package import IPNetwork

/// The whole policy, compiled and unchangeable: what each server may ask for, and in which networks its clients are.
///
/// A decision costs the same with ten names and with a million, allocates nothing and counts no reference, so that one
/// snapshot serves all worker threads. Whether the policy makes sense was checked before by `PolicyLinter`.
package final class PolicySnapshot: Sendable {
  package let servers: [ServerPolicy]
  /// 32 hexadecimal digits that change when, and only when, a decision could change.
  package let fingerprint: String

  /// How names must be hashed for `decide(server:name:hash:type:)`.
  package let nameHash: NameHash

  /// Who asks, as the networks of the policy say. What is in force is the snapshot's own table.
  package let clients: ClientTable

  /// How many patterns are listed over all servers, one that a server lists twice once.
  package let nameCount: Int

  private let names: NameTable
  private let types: TypeTable
  private let deniedAddresses: [DeniedAddresses?]
  private let listMarks: [UInt32]
  private let judgements: [String]
  private let denialMarks: [UInt32]
  /// By server, how many rules list names; what denies stands behind them.
  private let listedCounts: [Int]

  /// `hash` varies the hash tables only, never a decision or the fingerprint.
  package convenience init(_ servers: [ServerPolicy], hash: NameHash = .ofProcess) {
    self.init(servers, hash: hash, hashMask: .max)
  }

  init(_ servers: [ServerPolicy], hash: NameHash, hashMask: UInt64) {
    self.servers = servers
    nameHash = hash
    listedCounts = servers.map(\.rules.count)
    names = NameTable(servers.map(\.compiled), hash: hash, hashMask: hashMask)
    types = TypeTable(names.merged)
    deniedAddresses = Self.deniedAddresses(servers)
    judgements = servers.map { PolicyFingerprint.judgement(of: $0) }
    nameCount = zip(listedCounts, names.repeats).reduce(0) { sum, server in
      sum + server.0 - Set(server.1.lazy.map(\.second).filter { $0 < server.0 }).count
    }
    fingerprint = PolicyFingerprint.text(servers: servers, rules: names.merged, repeats: names.repeats)
    clients = ClientTable(servers)
    denialMarks = zip(listedCounts, names.merged).map { listed, rules in
      PolicyFingerprint.mark(of: rules.entries[listed...], in: rules)
    }
    listMarks = zip(servers, names.merged).map { server, rules in
      server.limitsChains ? PolicyFingerprint.mark(of: rules.entries[...], in: rules) : 0
    }
  }

  /// 28 bits that differ, but for chance, where lists of a server name other patterns, or deny others: the same in every run. 0
  /// where nothing of the server asks for the names of a chain.
  package func listMark(server: Int) -> UInt32 { listMarks[server] }

  /// The same of what is denied alone; nil where nothing is.
  package func denialMark(server: Int) -> UInt32? {
    guard deniesNames(server: server) else { return nil }
    return denialMarks[server]
  }

  /// Whether some name is denied to a server, whatever allows it.
  package func deniesNames(server: Int) -> Bool { listedCounts[server] < names.merged[server].count }

  /// What a server is denied by layers alone is one table for all.
  private static func deniedAddresses(_ servers: [ServerPolicy]) -> [DeniedAddresses?] {
    var common: [ObjectIdentifier: DeniedAddresses?] = [:]
    return servers.map { server in
      guard server.deniedPrefixes.isEmpty, let layers = server.layers else {
        return DeniedAddresses(server.prefixDenials)
      }
      if let known = common[ObjectIdentifier(layers)] { return known }
      let addresses = DeniedAddresses(layers.deniedPrefixes)
      common[ObjectIdentifier(layers)] = .some(addresses)
      return addresses
    }
  }

  /// What answers of a server are judged by besides their rule: another text, but for chance, where that is another. Compared for
  /// every answer that a reload finds, however long the lists are.
  package func judgement(server: Int) -> String { judgements[server] }

  /// The entry that denies an address to a server, or what it carries; nil where none does.
  package func denial(of address: IPAddress, server: Int) -> PrefixDenial? {
    deniedAddresses[server]?.denial(of: address)
  }

  /// Whether some address is denied to a server.
  package func deniesAddresses(server: Int) -> Bool { deniedAddresses[server] != nil }

  /// The index of the server with this name.
  package func server(named name: some StringProtocol) -> Int? {
    servers.firstIndex { $0.name.text == name }
  }

  /// Decides on the canonical wire `name`: a denial that matches it, else the most specific pattern that does, alone answers.
  package func decide(server: Int, name: Span<UInt8>, type: RRType) -> Verdict {
    decide(server: server, name: name, hash: nameHash(name), type: type)
  }

  /// The same with a name that was hashed by `nameHash` already.
  package func decide(server: Int, name: Span<UInt8>, hash: UInt64, type: RRType) -> Verdict {
    guard server >= 0, server < names.serverCount,
      let (rule, profile) = names.match(server: server, name: name, hash: hash)
    else { return .notListed }
    if types.allows(type, server: server, profile: profile) { return .allowed(rule: rule) }
    // Behind what is listed, and of no type.
    return rule < listedCounts[server] ? .typeNotAllowed(rule: rule) : .denied(rule: rule)
  }

  /// Prefetches what `decide` will read, one step after the other: each needs what the former fetched.
  package func prefetch(server: Int, hash: UInt64, step: Int) {
    switch step {
    case 0: names.prefetchPart(server: server)
    case 1: names.prefetchSlot(server: server, hash: hash)
    default: names.prefetchName(server: server, hash: hash)
    }
  }

  /// The rule that a verdict names, with what entries of the same pattern add to it; of a denial its pattern and place count.
  package func rule(server: Int, index: Int) -> EgressRule {
    names.merged[server][index]
  }

  /// The indices of a server's rules that can allow: all but those merged into an earlier one.
  package func effectiveRules(server: Int) -> [Int] { effective(0..<listedCounts[server], server) }

  /// The indices of what a server is denied: first by its document, then by the layers above it.
  package func effectiveDenials(server: Int) -> [Int] {
    effective(listedCounts[server]..<names.merged[server].count, server)
  }

  private func effective(_ rules: Range<Int>, _ server: Int) -> [Int] {
    let absorbed = Set(names.repeats[server].map(\.second))
    return rules.filter { !absorbed.contains($0) }
  }
}
