import Foundation
import IPNetwork

/// A host that the configuration of a package client names, and where.
struct IndexHost: Hashable {
  let host: String
  let port: UInt16
  /// By HTTP, which says no name that is checked.
  let isPlain: Bool
  /// `FILE:LINE`, a variable, or the program that said it.
  let place: String

  /// Of a URL; nil for one of another scheme, and for what is none.
  init?(_ url: some StringProtocol, at place: String) {
    var text = String(url).trimmingCharacters(in: .whitespacesAndNewlines)
    // `sparse+https`, `tor+http`, `mirror+https`: how it is fetched, and of whom.
    if let colon = text.firstRange(of: "://"), let plus = text[..<colon.lowerBound].lastIndex(of: "+") {
      text = String(text[text.index(after: plus)...])
    }
    guard let colon = text.firstRange(of: "://") else { return nil }
    switch text[..<colon.lowerBound].lowercased() {
    case "https": isPlain = false
    case "http", "mirror": isPlain = true
    default: return nil
    }
    let authority = text[colon.upperBound...].prefix { !"/?#".contains($0) }
    let address = authority.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
    let (host, port) = Self.parts(address)
    guard !host.isEmpty, !host.contains("$") else { return nil }
    self.host = host.lowercased()
    self.port = port ?? (isPlain ? 80 : 443)
    self.place = place
  }

  private static func parts(_ address: Substring) -> (host: String, port: UInt16?) {
    if address.hasPrefix("["), let end = address.firstIndex(of: "]") {
      let rest = address[address.index(after: end)...]
      return (String(address[address.index(after: address.startIndex)..<end]), UInt16(rest.dropFirst()))
    }
    guard let colon = address.lastIndex(of: ":") else { return (String(address), nil) }
    return (String(address[..<colon]), UInt16(address[address.index(after: colon)...]))
  }

  /// Whether it is this host itself, or the container; 0.0.0.0 stands for nowhere, as in maven's block of plain HTTP.
  var isLocal: Bool {
    host == "localhost" || host.hasSuffix(".localhost") || host.hasPrefix("127.")
      || ["::1", "0.0.0.0", "::"].contains(host)
  }
}

/// The entries that open hosts, as the files write them.
enum IndexEntries {
  /// A line for each host with the places that name it; those of this host itself are left out.
  static func lines(_ hosts: [IndexHost]) -> [String] {
    let known = Dictionary(grouping: hosts.filter { !$0.isLocal }, by: \.host)
    return known.keys.sorted().map { host in
      let named = known[host, default: []]
      var places: [String] = []
      for place in named.map(\.place) where !places.contains(place) { places.append(place) }
      return "  - \(entry(host, named))  # \(places.joined(separator: ", "))"
    }
  }

  private static func entry(_ host: String, _ named: [IndexHost]) -> String {
    let ports = Set(named.map(\.port)).sorted()
    let list = "ports: [ \(ports.map { "\($0)/tcp" }.joined(separator: ", ")) ]"
    if let address = IPAddress(host) {
      return "{ cidr: \"\(address)/\(address.family == .v4 ? 32 : 128)\", \(list) }"
    }
    if ports == [443], named.allSatisfy({ !$0.isPlain }) { return host }
    // Nothing says a name there; what speaks TLS besides has its name checked.
    return "{ host: \(host), \(list)\(named.allSatisfy(\.isPlain) ? ", verify: address" : "") }"
  }
}

/// What the configuration of a package client says.
struct ClientReading {
  var hosts: [IndexHost] = []
  /// What a reader of the list should know.
  var notes: [String] = []
  /// What to do where the client goes by a default of its own that is not known here; nil where it does not, or where it is.
  var unknownDefault: String?

  mutating func add(_ url: some StringProtocol, at place: String) {
    if let host = IndexHost(url, at: place) { hosts.append(host) }
  }
}
