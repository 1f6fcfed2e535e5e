import EgressPolicy
import IPNetwork

extension FirewallPlan {
  /// Checks every field that becomes text or an index.
  package func validate() throws(FirewallPlanError) {
    guard Self.isName(table) else { throw .tableName }
    guard mode == .sets || family == .inet else { throw .managedFamily }
    guard servers.count <= Self.maximumServerCount else { throw .tooManyServers }
    var names: Set<String> = []
    var prefixes: Set<IPPrefix> = []
    for (index, server) in servers.enumerated() {
      guard ServerName.fault(of: server.name) == nil else { throw .serverName(index: index) }
      guard names.insert(server.name).inserted else { throw .serverTwice(index: index) }
      guard !server.isGone || server.isRetired else { throw .gone(index: index) }
      for prefix in Set(server.prefixes) where !prefixes.insert(prefix).inserted {
        throw .prefixTwice(index: index)
      }
      for port in server.staticRules.flatMap(\.ports) + (server.inbound ?? []) where port.port == 0 {
        throw .port(index: index)
      }
      guard server.inspectors.count <= PolicyLinter.maximumInspectors, server.inspectors.allSatisfy({ $0.port > 0 })
      else { throw .inspectors(index: index) }
      guard server.deniedPrefixes.count <= PolicyLinter.maximumDeniedNetworks, Self.areApart(server.deniedPrefixes)
      else { throw .denied(index: index) }
      if let interface = server.interface, !Self.isInterface(interface) { throw .interface(index: index) }
      guard server.caps.count <= Self.maximumCapCount, Set(server.caps).count == server.caps.count,
        server.caps.allSatisfy({ $0.bytes > 0 }), server.staticRules.allSatisfy({ $0.maxBytes?.bytes != 0 })
      else { throw .caps(index: index) }
    }
  }

  /// Whether prefixes are in their order, and none lies in another one: nft takes them as one set.
  private static func areApart(_ prefixes: [IPPrefix]) -> Bool {
    zip(prefixes, prefixes.dropFirst()).allSatisfy { left, right in
      left.address < right.address && !(left.contains(right.address))
    }
  }

  /// Whether `text` is safe as an nft identifier: `[A-Za-z_][A-Za-z0-9_-]{0,62}`.
  package static func isName(_ text: String) -> Bool {
    let octets = text.utf8
    guard let first = octets.first, octets.count <= ServerName.maximumLength else { return false }
    guard isLetter(first) || first == 0x5F else { return false }
    return octets.allSatisfy { isLetter($0) || $0 == 0x5F || $0 == 0x2D || ($0 >= 0x30 && $0 <= 0x39) }
  }

  /// IFNAMSIZ less its zero.
  package static let maximumInterfaceOctets = 15

  /// Whether `text` is an interface's name that is also safe in nft text.
  package static func isInterface(_ text: String) -> Bool {
    let octets = text.utf8
    return (1...maximumInterfaceOctets).contains(octets.count) && text != "." && text != ".."
      && octets.allSatisfy {
        isLetter($0) || $0 == 0x5F || $0 == 0x2D || $0 == 0x2E || ($0 >= 0x30 && $0 <= 0x39)
      }
  }

  private static func isLetter(_ octet: UInt8) -> Bool {
    (octet >= 0x61 && octet <= 0x7A) || (octet >= 0x41 && octet <= 0x5A)
  }
}
