import EgressPolicy
import HostNetwork
import IPNetwork
import Settings
import Testing

@testable import Serving

/// Which listen addresses policy knows no client of.
@Suite struct ListenCoverageTests {
  private func gaps(
    _ listen: [String], _ networks: [String], onLink: [String] = [], routes: [String] = []
  ) throws -> [String] {
    let here = SourceLocation(file: "policy.yaml", line: 1, column: 1)
    let servers = try networks.enumerated().map { index, network in
      ServerPolicy(
        name: try ServerName("s\(index)"),
        networks: [ServerNetwork(prefix: IPPrefix(network)!, location: here)], rules: RuleList([]), location: here)
    }
    let host = HostNetwork(
      addresses: onLink.map { text in
        let prefix = IPPrefix(text)!
        return HostNetwork.Address(interface: 2, address: prefix.address, network: prefix)
      }, routes: routes.map { HostNetwork.Route(destination: IPPrefix($0)!, interface: 2) })
    return ListenCoverage(listen.map { IPAddress($0)! }, servers, host: host).gaps.map { gap in
      "\(gap.listen)\(gap.candidate.map { " \($0.server) \($0.network)" } ?? "")"
    }
  }

  @Test func `an address in a server's network, on loopback or of every interface is none`() throws {
    let listen = ["10.77.1.1", "127.0.0.53", "::1", "0.0.0.0", "::"]
    #expect(try gaps(listen, ["10.77.1.0/24"]) == [])
  }

  @Test func `one wrong digit is told, with the network that may have been meant`() throws {
    #expect(try gaps(["10.77.2.1"], ["10.99.2.0/24"], onLink: ["10.77.2.0/24"]) == ["10.77.2.1 s0 10.99.2.0/24"])
    #expect(
      try gaps(["10.77.1.1", "10.77.2.1"], ["10.77.1.0/24", "10.99.2.0/24"], onLink: ["10.77.1.0/24"])
        == ["10.77.2.1 s1 10.99.2.0/24"])
  }

  @Test func `an address for which no policy has a network is told`() throws {
    #expect(try gaps(["10.77.1.1", "10.77.2.1"], ["10.77.1.0/24"], onLink: ["10.77.1.0/24"]) == ["10.77.2.1"])
    #expect(try gaps(["10.77.1.1", "fd00:77::1"], ["10.77.1.0/24"]) == ["fd00:77::1"])
  }

  @Test func `a server's network that is there may ask at another address`() throws {
    #expect(try gaps(["192.0.2.1"], ["10.77.1.0/24"], onLink: ["10.77.1.0/24"]) == [])
    #expect(try gaps(["192.0.2.1"], ["10.77.0.0/16"], routes: ["10.77.3.0/24"]) == [])
    // A default route leads everywhere, and says nothing.
    #expect(try gaps(["192.0.2.1"], ["10.77.1.0/24"], routes: ["0.0.0.0/0"]) == ["192.0.2.1 s0 10.77.1.0/24"])
  }
}
