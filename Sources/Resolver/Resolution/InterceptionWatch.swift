import DNSWire
import EgressPolicy
package import IPNetwork

/// Finds upstreams that answer every name from one network which no answer may hold: VPN clients and proxies on the way
/// (`198.18.0.0/15`, `100.64.0.0/10`), or a portal in a network of the host.
///
/// Some names in a row, without a public answer between them, are enough. It is told once, and again after a day if it is
/// still so. Sans-IO: times are nanoseconds of the monotonic clock.
package struct InterceptionWatch {
  /// What is told of an upstream.
  package struct Finding: Equatable, Sendable {
    /// As in the configuration.
    package var upstream: String
    package var network: IPPrefix

    /// False for what no line admits, such as the host's own addresses.
    package var isAdmissible = true

    /// The line that admits what it answers, where one does.
    package var remedy: String? {
      isAdmissible ? "private: [ \(network.address.family == .v4 ? "\(network)" : "\"\(network)\"") ]" : nil
    }
  }

  private struct Suspicion {
    var network: IPPrefix
    /// Different ones, none of which had a public answer.
    var names: Set<[UInt8]> = []
    /// Whose names they are.
    var domains: Set<Name> = []
    var toldAt: UInt64?

    var isCertain: Bool { names.count >= InterceptionWatch.names && domains.count >= InterceptionWatch.domains }
  }

  /// A company's own names may well be private; four names of a policy in a row, of one network, are a pattern.
  static let names = 4
  /// What one zone says of its names its owner may say.
  static let domains = 2
  private static let day: UInt64 = 86_400_000_000_000
  /// RFC 2544, from which proxies answer with addresses that they made up; RFC 6598, from which VPN clients do.
  package static let proxies: [IPPrefix] = ["198.18.0.0/15", "100.64.0.0/10"].compactMap { (text: String) in
    IPPrefix(text)
  }

  /// By upstream; they are as many as the configuration has.
  private var suspicions: [String: Suspicion] = [:]

  package init() {}

  /// The network from which an upstream answers every name now; nil for an honest one.
  package func network(of upstream: String) -> IPPrefix? {
    suspicions[upstream].flatMap { $0.isCertain ? $0.network : nil }
  }

  /// All addresses of an answer were refused; what is to be told of the upstream, if anything.
  ///
  /// - Parameter own: networks on links of the host.
  package mutating func refused(
    _ addresses: [IPAddress], of name: [UInt8], by upstream: String, own: Set<IPPrefix>, now: UInt64
  ) -> Finding? {
    guard let network = Self.network(holding: addresses, own) else {
      answered(by: upstream)
      return nil
    }
    var suspicion = suspicions[upstream] ?? Suspicion(network: network)
    if suspicion.network != network { suspicion = Suspicion(network: network, toldAt: suspicion.toldAt) }
    if !suspicion.isCertain {
      let whole = Name(canonical: name.span)
      suspicion.names.insert(name)
      suspicion.domains.insert(PublicSuffix.registrableDomain(of: whole) ?? whole)
    }
    defer { suspicions[upstream] = suspicion }
    guard suspicion.isCertain, suspicion.toldAt.map({ now - min($0, now) >= Self.day }) ?? true else { return nil }
    suspicion.toldAt = now
    // Which of the host's own networks a server may reach is no question of an upstream's.
    return Finding(upstream: upstream, network: network, isAdmissible: Self.proxies.contains(network))
  }

  /// An answer was given out: it does not answer everything from one network.
  package mutating func answered(by upstream: String) {
    guard !suspicions.isEmpty else { return }
    suspicions[upstream]?.names = []
    suspicions[upstream]?.domains = []
  }

  /// The network that holds all of them.
  private static func network(holding addresses: [IPAddress], _ own: Set<IPPrefix>) -> IPPrefix? {
    guard let first = addresses.first else { return nil }
    let holding =
      proxies.first { $0.contains(first) } ?? own.filter { $0.contains(first) }.max { $0.length < $1.length }
    return holding.flatMap { network in addresses.allSatisfy { network.contains($0) } ? network : nil }
  }
}

extension InterceptionWatch {
  /// Whether an answer that is refused makes its upstream one that answers every name from one network.
  mutating func refused(
    _ error: ScrubError, _ question: PendingQuery, by upstream: String, _ forbidden: ForbiddenAddresses, now: UInt64
  ) -> Finding? {
    guard case .notPublic(let refused, let others) = error, others.isEmpty else { return nil }
    let found = self.refused(refused, of: question.name, by: upstream, own: forbidden.onLink, now: now)
    guard var found else { return nil }
    let network = [found.network]
    found.isAdmissible =
      found.isAdmissible
      && refused.allSatisfy { forbidden.admits($0, private: network, server: question.state.firewallIndex) }
    return found
  }
}
