package import IPNetwork

/// A set of a server: which addresses it holds and whether it keeps their ports apart.
package struct SetName: Hashable, Sendable {
  package enum Kind: UInt8, Sendable {
    /// Address, protocol and port.
    case ports
    /// Address alone, for rules that open every port.
    case anyPort
  }

  package let server: String
  package let family: IPAddress.Family
  package let kind: Kind

  package init(server: String, family: IPAddress.Family, kind: Kind) {
    self.server = server
    self.family = family
    self.kind = kind
  }

  /// Reads the name of a set back; nil for a name that we would not have given.
  package init?(_ text: some StringProtocol) {
    var rest = String(text)
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

  package var text: String { "\(server)-\(family.rawValue)\(kind == .anyPort ? "-any" : "")" }

  /// The element type in nft's words.
  var type: String { kind == .anyPort ? family.type : "\(family.type) . inet_proto . inet_service" }

  /// The sets that a managed table holds for `server`.
  static func all(of server: FirewallPlan.Server) -> [SetName] {
    let kinds: [Kind] = server.opensAnyPort ? [.ports, .anyPort] : [.ports]
    return kinds.flatMap { kind in
      [IPAddress.Family.v4, .v6].map { SetName(server: server.name, family: $0, kind: kind) }
    }
  }
}
