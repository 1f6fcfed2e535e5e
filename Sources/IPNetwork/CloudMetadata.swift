/// The addresses at which clouds tell a machine about itself and hand out its credentials. No server needs them, and most
/// lie in prefixes that a policy may list for another reason.
package enum CloudMetadata {
  package static let prefixes: [IPPrefix] = [
    "169.254.169.0/24",  // AWS, Azure, Google, Oracle, OpenStack, DigitalOcean and others; AWS' resolver and clock
    "169.254.170.0/24",  // credentials of AWS' container tasks and pods
    "169.254.0.23/32",  // Tencent
    "169.254.42.42/32",  // Scaleway
    "100.100.100.200/32",  // Alibaba
    "168.63.129.16/32",  // Azure's WireServer: certificates and extensions, DNS
    "192.0.0.192/32",  // Oracle Classic
    "192.80.8.124/32",  // Equinix Metal
    "fd00:ec2::/32",  // AWS
    "fd20:ce::254/128",  // Google
    "fd00:42::42/128",  // Scaleway
    "fd00:a9fe:a9fe::/48",  // Linode
    "fe80::a9fe:a9fe/128",  // OpenStack
  ].compactMap { (text: String) in IPPrefix(text) }

  private static let table = PrefixTable(prefixes.map { ($0, 1) })

  /// Whether a cloud's metadata service may be there.
  package static func contains(_ address: IPAddress) -> Bool {
    table.lookup(address) != nil
  }
}

extension IPPrefix {
  /// Whether the two have an address in common: then one holds the other.
  package func overlaps(_ other: IPPrefix) -> Bool {
    length <= other.length ? contains(other.address) : other.contains(address)
  }
}
