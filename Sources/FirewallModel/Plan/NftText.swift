import EgressPolicy
import IPNetwork

extension IPAddress.Family {
  /// The nft word for addresses of this family.
  var type: String { self == .v4 ? "ipv4_addr" : "ipv6_addr" }
  var header: String { self == .v4 ? "ip" : "ip6" }
  package var addressOctets: Int { self == .v4 ? 4 : 16 }
}

extension IPAddress {
  /// The address as nft reads it: never a name, never the dotted tail that its scanner does not know.
  var nft: String {
    let text = description
    guard family == .v6, text.contains(".") else { return text }
    return (0..<8).map { String(UInt16(truncatingIfNeeded: value >> UInt128(112 - 16 * $0)), radix: 16) }
      .joined(separator: ":")
  }
}

extension IPPrefix {
  var nft: String { "\(address.nft)/\(length)" }
}

extension OwnedRange {
  /// A prefix where the range is one, else first and last address.
  var nft: String {
    let bits = family == .v4 ? 32 : 128
    let start = IPAddress(family: family, value: first)
    let span = last - first
    if span & (span &+ 1) == 0 && first & span == 0 {
      return "\(start.nft)/\(bits - span.nonzeroBitCount)"
    }
    return "\(start.nft)-\(IPAddress(family: family, value: last).nft)"
  }
}

extension [PortRule] {
  /// Those of TCP first.
  var nft: String {
    sorted { ($0.transport.rawValue, $0.port) < ($1.transport.rawValue, $1.port) }
      .map { "\($0.transport.name) . \($0.port)" }.joined(separator: ", ")
  }
}
