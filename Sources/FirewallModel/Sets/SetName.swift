package import EgressPolicy
package import IPNetwork

/// A set of a server: which addresses it holds, whether it keeps their ports apart, and whether it opens or bounds.
package struct SetName: Hashable, Sendable {
  /// Whether the set keeps ports apart.
  package enum Kind: UInt8, Sendable {
    /// Address, protocol and port.
    case ports
    /// Address alone, for rules that open every port.
    case anyPort
  }

  package let server: String
  package let family: IPAddress.Family
  package let kind: Kind
  /// Nil for a set that opens; else the bound that its elements stand under.
  package let cap: ByteCap?

  package init(server: String, family: IPAddress.Family, kind: Kind, cap: ByteCap? = nil) {
    self.server = server
    self.family = family
    self.kind = kind
    self.cap = cap
  }

  /// Reads the name of a set back; nil for a name that no plan gives.
  package init?(_ text: some StringProtocol) {
    let parts = String(text).split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 1 || parts.count == 2 else { return nil }
    if parts.count == 2 {
      guard let cap = ByteCap(suffix: parts[1]) else { return nil }
      self.cap = cap
    } else {
      cap = nil
    }
    var rest = String(parts[0])
    kind = rest.hasSuffix("-any") ? .anyPort : .ports
    if kind == .anyPort {
      rest.removeLast(4)
    }
    guard rest.hasSuffix("-4") || rest.hasSuffix("-6") else { return nil }
    family = rest.hasSuffix("4") ? .v4 : .v6
    rest.removeLast(2)
    guard FirewallPlan.isName(rest), rest != "clients", rest != "servers" else { return nil }
    server = rest
  }

  /// `server-4`, `server-6-any`, `server-4/max-262144`: no server's name holds a '/'.
  package var text: String {
    "\(server)-\(family.rawValue)\(kind == .anyPort ? "-any" : "")\(cap.map { "/\($0.suffix)" } ?? "")"
  }

  /// Which sets are fed most: IPv4 and IPv6 with ports, then the rest.
  package var rank: Int { cap == nil && kind == .ports ? (family == .v4 ? 0 : 1) : 2 }

  /// The element type in nft's words.
  package var type: String { kind == .anyPort ? family.type : "\(family.type) . inet_proto . inet_service" }

  /// What nft matches a packet's destination with.
  package var key: String { "\(family.header) daddr\(kind == .anyPort ? "" : " . meta l4proto . th dport")" }

  /// How nft declares the set.
  package var declaration: String {
    let statement =
      switch cap?.kind {
      case nil: " counter;"
      case .perConnection: ""
      case .perHour: " quota over \(cap?.bytes ?? 0) bytes;"
      }
    return "{ type \(type); flags timeout; size \(FirewallPlan.setSize);\(statement) }"
  }

  /// The sets that a managed table holds for `server`, those that open first; none for one that is gone.
  package static func all(of server: FirewallPlan.Server) -> [SetName] {
    if server.isGone { return [] }
    let kinds: [Kind] = server.opensAnyPort ? [.ports, .anyPort] : [.ports]
    return ([nil] + server.caps.map(Optional.some)).flatMap { cap in
      kinds.flatMap { kind in
        [IPAddress.Family.v4, .v6].map { SetName(server: server.name, family: $0, kind: kind, cap: cap) }
      }
    }
  }
}

extension ByteCap {
  fileprivate var suffix: String { "\(kind == .perHour ? "hour" : "max")-\(bytes)" }

  fileprivate init?(suffix: some StringProtocol) {
    let words = suffix.split(separator: "-", omittingEmptySubsequences: false)
    guard words.count == 2, let bytes = UInt64(words[1]), bytes > 0, String(bytes) == words[1] else { return nil }
    switch words[0] {
    case "max": self.init(kind: .perConnection, bytes: bytes)
    case "hour": self.init(kind: .perHour, bytes: bytes)
    default: return nil
    }
  }
}
