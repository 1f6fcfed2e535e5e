package import IPNetwork

/// The counters of what `cidr:` entries open: one for each prefix of a server, whatever its ports.
extension Ruleset {
  private static let beginning = "opened/"

  /// The counter of a prefix of a server. nft takes no colon in a name: an IPv6 address is its 32 hexadecimal digits.
  package static func counter(of prefix: IPPrefix, server: String) -> String {
    let address: String
    switch prefix.address.family {
    case .v4: address = prefix.address.description
    case .v6: address = hex(prefix.address.high) + hex(prefix.address.low)
    }
    return "\(beginning)\(server)/\(address)-\(prefix.length)"
  }

  /// Whose a counter is, and of which prefix; nil for the name of another one.
  package static func opened(by counter: String) -> (server: String, prefix: IPPrefix)? {
    guard counter.hasPrefix(beginning) else { return nil }
    let parts = counter.dropFirst(beginning.count).split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, FirewallPlan.isName(String(parts[0])), let dash = parts[1].lastIndex(of: "-"),
      let length = Int(parts[1][parts[1].index(after: dash)...]), let address = address(parts[1][..<dash]),
      let prefix = IPPrefix(address, length: length), prefix.address == address
    else { return nil }
    return (String(parts[0]), prefix)
  }

  /// The counters that a plan has, each once.
  static func openedCounters(of plan: FirewallPlan) -> [String] {
    plan.servers.filter { !$0.isGone }.flatMap { server in
      Set(server.staticRules.map { counter(of: $0.prefix, server: server.name) }).sorted()
    }
  }

  private static func hex(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }

  private static func address(_ text: Substring) -> IPAddress? {
    guard text.utf8.count == 32, let high = UInt64(text.prefix(16), radix: 16),
      let low = UInt64(text.dropFirst(16), radix: 16)
    else { return IPAddress(text).flatMap { $0.family == .v4 ? $0 : nil } }
    return IPAddress(high: high, low: low)
  }
}
