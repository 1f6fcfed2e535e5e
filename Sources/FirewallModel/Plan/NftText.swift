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
    let start = IPAddress(family: family, value: first)
    if let length { return "\(start.nft)/\(length)" }
    return "\(start.nft)-\(IPAddress(family: family, value: last).nft)"
  }

  /// What matches an address in a packet's header, `saddr` or `daddr`, to the range. Of an IPv4 prefix nft would load as few
  /// octets as there are in it; the kernel is quick with four, and slow with three. Listed it is a prefix all the same.
  func matches(_ address: String) -> String {
    guard family == .v4, let length, (17..<32).contains(length) else { return "\(family.header) \(address) \(nft)" }
    return "ip \(address) & \(family.mask(length)) == \(IPAddress(family: family, value: first).nft)"
  }

  /// Nil where the range is no prefix.
  private var length: Int? {
    let span = last - first
    guard span & (span &+ 1) == 0 && first & span == 0 else { return nil }
    return (family == .v4 ? 32 : 128) - span.nonzeroBitCount
  }
}

extension [PortRule] {
  /// Those of TCP first.
  var nft: String {
    sorted { ($0.transport.rawValue, $0.port) < ($1.transport.rawValue, $1.port) }
      .map { "\($0.transport.name) . \($0.port)" }.joined(separator: ", ")
  }
}
