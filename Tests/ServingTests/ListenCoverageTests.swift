import EgressPolicy
import HostNetwork
import IPNetwork
import Settings
import Testing

@testable import Serving

/// Which listen addresses policy knows no client of.
@Suite struct ListenCoverageTests {
  private func coverage(
    _ listen: [String], _ networks: [String], onLink: [String] = [], routes: [String] = [], held: [String] = []
  ) throws -> ListenCoverage {
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
    return ListenCoverage(
      listen.map { IPAddress($0)! }, servers, host: host, held: held.map { IPPrefix($0)! })
  }

  private func gaps(
    _ listen: [String], _ networks: [String], onLink: [String] = [], routes: [String] = []
  ) throws -> [String] {
    try coverage(listen, networks, onLink: onLink, routes: routes).gaps.map { gap in
      "\(gap.listen)\(gap.candidate.map { " \($0.server) \($0.network)" } ?? "")"
    }
  }

  @Test func `nothing is open from a network that stays closed`() throws {
    let gap = try #require(try coverage(["10.77.2.1"], [], held: ["10.77.2.0/24"]).gaps.first)
    #expect(gap.text.hasSuffix("gets no name, and its network stays closed"))
    let open = try #require(try coverage(["10.77.2.1"], [], held: ["10.77.3.0/24"]).gaps.first)
    #expect(open.text.hasSuffix("gets no name, and nothing keeps it from any address"))
  }

  @Test(
    arguments: [
      (["10.77.1.1"], ["10.77.1.0/24", "10.77.2.0/24"], "no listen address lies in 10.77.2.0/24 of s1: the gateway"),
      (["10.77.1.1"], ["10.77.1.0/24", "10.77.2.0/24", "10.77.3.0/24"], "of s1, nor in those of 1 server more"),
      (["127.0.0.1", "::1"], ["10.77.1.0/24"], "is loopback, which in a container is its own"),
      // One for all, and one of no server's network, are where all ask.
      (["0.0.0.0"], ["10.77.1.0/24"], nil), (["192.0.2.1"], ["10.77.1.0/24"], nil),
      (["10.77.1.1", "192.0.2.1"], ["10.77.1.0/24", "10.77.2.0/24"], nil),
      (["10.77.1.1", "10.77.2.1"], ["10.77.1.0/24", "10.77.2.0/24"], nil), (["127.0.0.1"], ["127.0.0.0/8"], nil),
    ] as [([String], [String], String?)])
  func `a server that is not heard where the others are is told`(listen: [String], networks: [String], says: String?)
    throws
  {
    let text = try coverage(listen, networks).unheard?.text
    #expect(says.map { text?.contains($0) ?? false } ?? (text == nil), "\(text ?? "nothing")")
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
