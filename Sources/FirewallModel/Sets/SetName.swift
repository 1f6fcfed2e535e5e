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
  /// The bound that its elements stand under; nil for any other set.
  package let cap: ByteCap?
  /// What is done with connections to its elements; nil for any other set.
  package let check: Check?

  /// What becomes of connections to elements that are open, before they are opened.
  package enum Check: String, Sendable, CaseIterable {
    /// They go through the gate.
    case sni
    /// The gate could not connect there, and they are refused for a while.
    case unreachable
  }

  package init(
    server: String, family: IPAddress.Family, kind: Kind, cap: ByteCap? = nil, check: Check? = nil
  ) {
    self.server = server
    self.family = family
    self.kind = kind
    self.cap = cap
    self.check = check
  }

  /// Whether it admits packets.
  package var opens: Bool { cap == nil && check == nil }

  /// Reads the name of a set back; nil for a name that no plan gives.
  package init?(_ text: some StringProtocol) {
    let parts = String(text).split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 1 || parts.count == 2 else { return nil }
    cap = parts.count == 2 ? ByteCap(suffix: parts[1]) : nil
    check = parts.count == 2 ? Check(rawValue: String(parts[1])) : nil
    guard parts.count == 1 || cap != nil || check != nil else { return nil }
    var rest = String(parts[0])
    kind = rest.hasSuffix("-any") ? .anyPort : .ports
    // What has no port is not checked.
    guard check == nil || kind == .ports else { return nil }
    if kind == .anyPort {
      rest.removeLast(4)
    }
    guard rest.hasSuffix("-4") || rest.hasSuffix("-6") else { return nil }
    family = rest.hasSuffix("4") ? .v4 : .v6
    rest.removeLast(2)
    guard FirewallPlan.isName(rest), rest != "clients", rest != "servers" else { return nil }
    server = rest
  }

  /// `server-4`, `server-6-any`, `server-4/max-262144`, `server-4/sni`: no server's name holds a '/'.
  package var text: String {
    "\(server)-\(family.rawValue)\(kind == .anyPort ? "-any" : "")\(suffix.map { "/\($0)" } ?? "")"
  }

  private var suffix: String? { cap?.suffix ?? check?.rawValue }

  /// Which sets are fed most: IPv4 and IPv6 with ports, then the rest.
  package var rank: Int { opens && kind == .ports ? (family == .v4 ? 0 : 1) : 2 }

  /// The element type in nft's words.
  package var type: String { kind == .anyPort ? family.type : "\(family.type) . inet_proto . inet_service" }

  /// What nft matches a packet's destination with.
  package var key: String { "\(family.header) daddr\(kind == .anyPort ? "" : " . meta l4proto . th dport")" }

  /// How nft declares the set.
  package var declaration: String {
    let statement =
      switch cap?.kind {
      case nil: opens ? " counter;" : ""
      case .perConnection: ""
      case .perHour: " quota over \(cap?.bytes ?? 0) bytes;"
      }
    return "{ type \(type); flags timeout; size \(FirewallPlan.setSize);\(statement) }"
  }

  /// Whether its elements count something.
  package var hasStatement: Bool { opens || cap?.kind == .perHour }

  /// The sets that a managed table holds for `server`, those that open first; none for one that is gone.
  package static func all(of server: FirewallPlan.Server) -> [SetName] {
    if server.isGone { return [] }
    let kinds: [Kind] = server.opensAnyPort ? [.ports, .anyPort] : [.ports]
    let families = [IPAddress.Family.v4, .v6]
    let bounds = ([nil] + server.caps.map(Optional.some)).flatMap { cap in
      kinds.flatMap { kind in families.map { SetName(server: server.name, family: $0, kind: kind, cap: cap) } }
    }
    guard server.checksNames else { return bounds }
    return bounds
      + Check.allCases.flatMap { check in
        families.map { SetName(server: server.name, family: $0, kind: .ports, check: check) }
      }
  }
}

extension ByteCap {
  fileprivate var suffix: String { "\(Self.word(kind, excess))-\(bytes)" }

  private static func word(_ kind: Kind, _ excess: ByteBound.Excess) -> String {
    switch (kind, excess) {
    case (.perConnection, .block): "max"
    case (.perHour, .block): "hour"
    case (.perConnection, .audit): "audit"
    case (.perHour, .audit): "audithour"
    }
  }

  fileprivate init?(suffix: some StringProtocol) {
    let words = suffix.split(separator: "-", omittingEmptySubsequences: false)
    guard words.count == 2, let bytes = UInt64(words[1]), bytes > 0, String(bytes) == words[1] else { return nil }
    switch words[0] {
    case "max": self.init(kind: .perConnection, bytes: bytes)
    case "hour": self.init(kind: .perHour, bytes: bytes)
    case "audit": self.init(kind: .perConnection, bytes: bytes, excess: .audit)
    case "audithour": self.init(kind: .perHour, bytes: bytes, excess: .audit)
    default: return nil
    }
  }
}
