import EgressPolicy
import IPNetwork

/// Hosts files that keep names from resolving (hosts(5)): names at 0.0.0.0 or loopback are denied.
///
/// After hosts(5) and StevenBlack/hosts, hosts (2026-08); names are exact, there are no wildcards.
enum HostsFormat {
  private static let meaning = NameMeaning(tool: "a hosts file")

  /// What every hosts file has of the host itself.
  private static let own: Set<String> = [
    "localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "ip6-localnet",
    "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "0.0.0.0",
  ]

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    let server = draft.server(nil, at: source.place(1))
    for line in try source.lines() {
      let words = line.text.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
      guard let first = words.first else { continue }
      // An address of a link has its interface behind it.
      guard let address = IPAddress(first.prefix { $0 != "%" }), words.count > 1 else {
        throw .error("expected an address and names, such as 0.0.0.0 ads.example.com", at: source.place(line.number))
      }
      let place = source.place(line.number)
      for name in words.dropFirst() where !own.contains(name.lowercased()) {
        if Self.blocks(address) {
          try draft.add(ListedHost(name, at: place, isDenied: true), meaning, to: server)
        } else {
          try draft.refuse(
            String(name), at: place, "has the address \(address) there: a zone of yours answers a name so (zones:)",
            of: server)
        }
      }
    }
  }

  private static func blocks(_ address: IPAddress) -> Bool {
    let address = address.unmapped
    return address.isUnspecified || address.isLoopback
  }
}
