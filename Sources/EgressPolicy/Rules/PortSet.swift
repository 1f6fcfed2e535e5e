/// One transport port that a rule opens.
package struct PortRule: Hashable, Sendable {
  /// The IP protocol number of a transport that has ports.
  package enum Transport: UInt8, Sendable {
    case tcp = 6
    case udp = 17

    /// The lower-case word that the policy and nft use.
    package var name: String { self == .tcp ? "tcp" : "udp" }
  }

  package let transport: Transport
  package let port: UInt16

  package init(_ port: UInt16, _ transport: Transport) {
    self.transport = transport
    self.port = port
  }

  /// Reads `443/tcp`; nil for anything else, port 0 and leading zeros included.
  package init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let port = Self.port(parts[0]) else { return nil }
    switch parts[1] {
    case "tcp", "TCP": self.init(port, .tcp)
    case "udp", "UDP": self.init(port, .udp)
    default: return nil
    }
  }

  private static func port(_ digits: some StringProtocol) -> UInt16? {
    guard let first = digits.utf8.first, first != 0x30, digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
      return nil
    }
    return UInt16(digits)
  }
}

extension PortRule: Comparable, CustomStringConvertible {
  package static func < (left: Self, right: Self) -> Bool {
    (left.port, left.transport.rawValue) < (right.port, right.transport.rawValue)
  }

  package var description: String { "\(port)/\(transport.name)" }
}

/// The ports that a rule opens on the addresses of its name.
package enum PortSet: Hashable, Sendable {
  case any
  /// Ascending and without repeats when made by `init(_:)` or `union`.
  case ports([PortRule])

  /// What a rule opens that says nothing about ports.
  package static let https = PortSet.ports([PortRule(443, .tcp)])

  package init(_ ports: [PortRule]) {
    self = .ports(Array(Set(ports)).sorted())
  }

  /// Whether `other` opens every port that this one opens.
  package func isWithin(_ other: PortSet) -> Bool { other.union(self) == other }

  /// All ports that either of them opens.
  package func union(_ other: PortSet) -> PortSet {
    guard case .ports(let left) = self, case .ports(let right) = other else { return .any }
    return left == right ? self : PortSet(left + right)
  }
}

extension PortSet: CustomStringConvertible {
  package var description: String { texts.joined(separator: ", ") }

  /// A text each, as events and JSON have them: `any` alone, or `443/tcp`.
  package var texts: [String] {
    switch self {
    case .any: ["any"]
    case .ports(let ports): ports.map(\.description)
    }
  }
}
