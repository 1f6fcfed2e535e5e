/// What a testbed differs in.
struct TestbedSettings {
  /// Master-file lines that the upstream serves, with absolute names.
  var records = Self.standardRecords
  /// Policy documents.
  var policies = Self.standardPolicies
  /// What holds connections to names where no entry says it; nil is Sluice's own default. What listens in the testbed speaks no TLS
  /// unless `identity` is given, and nearly all tests are about addresses.
  var verify: String? = "address"
  /// By which port 443 speaks TLS: files of a certificate and of its key.
  var identity: (certificate: String, key: String)?
  /// Lines of the configuration after `listen`, `upstreams`, `policies`, `audit` and `control`.
  var configuration = "workers: 2\n"
  /// Where Sluice listens, as the configuration has it.
  var listen = #"[ "10.77.1.1:53", "[fd00:77:1::1]:53" ]"#
  var upstreams = "[ udp://192.0.2.54 ]"
  /// More zone files by name, beside the shipped ones.
  var zones: [String: String] = [:]
  var auditAllowed = "grants"
  var startsSluice = true
  /// Sluice has a mount namespace of its own, in which a test may put something over a file of the system.
  var hasOwnMounts = false
  /// Words of a program that becomes Sluice, before those of Sluice itself.
  var launcher: [String] = []

  static let standardPolicies = """
    server: github-mcp
    networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
    egress:
      - api.github.com
      - uploads.github.com
      - onlya.github.com
      - big.github.com
      - bad.github.com
      - mixed.github.com
      - gone.github.com
      - www.vendor.net
      - collector.lan
      - "*.bulk.net"
      - "*.load.net"
    ---
    server: other-mcp
    networks: [ 10.77.1.200/32 ]
    egress:
      - host: api.github.com
        ports: any

    """

  static let standardRecords: String = {
    var lines = """
      api.github.com. IN A 45.11.0.10
      api.github.com. IN AAAA 2a10:77::10
      uploads.github.com. IN A 45.11.0.11
      onlya.github.com. IN A 45.11.0.13
      bad.github.com. IN A 169.254.169.254
      mixed.github.com. IN A 45.11.0.14
      mixed.github.com. IN A 10.0.0.1
      www.vendor.net. IN CNAME cdn.edge.net.
      cdn.edge.net. IN CNAME pop.edge.net.
      pop.edge.net. IN A 45.11.0.12
      evil.example.com. IN A 45.11.0.66

      """
    for index in 0..<50 {
      lines += "big.github.com. IN AAAA 2a10:77::b\(index)\n"
    }
    // So many names that each can be asked for once: every question needs a grant of its own.
    for index in 0..<1_000 {
      lines += "n\(index).bulk.net. IN A \(address(0x1000 + index))\n"
    }
    for index in 0..<20_000 {
      lines += "n\(index).load.net. IN A \(address(0x4000 + index))\n"
    }
    return lines
  }()

  /// An address of 45.11.0.0/16.
  static func address(_ index: Int) -> String {
    "45.11.\(index >> 8 & 0xFF).\(index & 0xFF)"
  }
}
