import EgressPolicy
import IPNetwork
import Settings
import Testing

@testable import Serving

@Suite("What an entry holds of the host's own addresses")
struct HostAddressesTests {
  private let own = ["10.0.5.1", "172.17.0.1", "fd00:77:1::1"].compactMap { IPAddress($0) }

  @Test(
    "a prefix that holds some is warned about with the first of them, others are not",
    arguments: [
      ("172.17.0.1/32", "holds 172.17.0.1, this host's own"),
      ("0.0.0.0/0", "holds 10.0.5.1 and 1 more, this host's own"),
      ("fd00:77:1::/64", "holds fd00:77:1::1, this host's own"), ("172.17.0.2/32", nil), ("198.51.100.0/24", nil),
    ] as [(String, String?)])
  func held(prefix: String, words: String?) throws {
    let location = SourceLocation(file: "p.yaml", line: 4, column: 5)
    let rule = StaticPrefixRule(prefix: try #require(IPPrefix(prefix)), location: location)
    let warning = HostAddresses.entry(of: rule, own: own)
    #expect(warning?.severity == (words == nil ? nil : .warning))
    #expect(
      warning.map { $0.message.contains("cidr \(prefix) \(words ?? "")") && $0.location == location } ?? (words == nil))
  }

  @Test("of a listen address that is not there what the host has in its network is told")
  func absent() throws {
    let listen = ListenAddress(address: try #require(IPAddress("10.77.2.1")))
    let networks = ["10.77.0.0/16", "10.77.2.0/24"].compactMap { IPPrefix($0) }
    let own = Set(["10.77.9.1", "10.77.2.254"].compactMap { IPAddress($0) })
    #expect(HostAddresses.text(absent: listen, own, networks).hasSuffix("; in 10.77.2.0/24 it has 10.77.2.254"))
    #expect(HostAddresses.text(absent: listen, [], networks).hasSuffix("no interface of this host has the address"))
  }

  @Test("an inspector is at an address of the host, or it is said")
  func inspectors() throws {
    let location = SourceLocation(file: "p.yaml", line: 1, column: 1)
    let policies = try ["http://127.0.0.1:8080", "http://10.0.5.1:8080", "http://[::1]:1", "http://192.0.2.9:8080"].map
    {
      let inspector = try #require(Inspector($0))
      return ServerPolicy(
        name: try ServerName("mcp"), networks: [], rules: [],
        nameChecks: NameCheckDefaults(verification: .sni, inspector: inspector), location: location)
    }
    let said = HostAddresses.inspectors(of: policies, own: Set(own))
    #expect(said.count == 1 && said[0].message.hasPrefix("inspector http://192.0.2.9:8080 of mcp is at no address"))
    #expect(said.first?.severity == .warning && said.first?.location == location)
  }
}
