package import IPNetwork

/// Addresses at which well-known public resolvers answer DNS over HTTPS: a connection there by address means to go
/// around us. Read from the operators' own pages; names for them are denied like any other name.
package enum PublicResolvers {
  private static let prefixes: [IPPrefix] = [
    // Cloudflare
    "1.1.1.0/24", "1.0.0.0/24", "162.159.36.0/24", "162.159.46.0/24", "2606:4700:4700::/48",
    // Google
    "8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844",
    // Quad9
    "9.9.9.0/24", "149.112.112.0/24", "2620:fe::/48",
    // OpenDNS
    "208.67.222.0/24", "208.67.220.0/24", "146.112.41.0/24", "2620:119:35::/48", "2620:119:53::/48",
    // AdGuard
    "94.140.14.0/24", "94.140.15.0/24", "2a10:50c0::/32",
    // NextDNS
    "45.90.28.0/24", "45.90.30.0/24", "2a07:a8c0::/32", "2a07:a8c1::/32",
    // CleanBrowsing
    "185.228.168.0/24", "185.228.169.0/24", "2a0d:2a00:1::/48", "2a0d:2a00:2::/48",
    // Mullvad
    "194.242.2.0/24", "2a07:e340::/32",
    // ControlD
    "76.76.2.0/24", "76.76.10.0/24", "2606:1a40::/48", "2606:1a40:1::/48",
    // DNS.SB, DNS0, Yandex, AliDNS, DNSPod
    "185.222.222.222", "45.11.45.11", "2a09::", "2a11::", "193.110.81.0/24", "185.253.5.0/24", "77.88.8.0/24",
    "2a02:6b8::feed:ff", "223.5.5.5", "223.6.6.6", "2400:3200::1", "2400:3200:baba::1", "1.12.12.12",
    "120.53.53.53",
  ].compactMap { IPPrefix($0) }

  private static let table = PrefixTable(prefixes.map { ($0, 1) })

  /// Whether a public resolver answers at the address.
  package static func contains(_ address: IPAddress) -> Bool {
    table.lookup(address) != nil
  }
}
