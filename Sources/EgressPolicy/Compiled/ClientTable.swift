package import IPNetwork

/// Which server a client belongs to, by the client's address: apart from what that server may ask, so that the one changes
/// without the other.
///
/// A policy brings the table of its networks (`PolicySnapshot.clients`). Another one takes its place in a `ResolverSnapshot`
/// while the compiled policy, the caches and the firewall's rules stay. It says who is answered and by what; what is opened the
/// firewall's rules still give to the networks of the policy: a client outside its server's networks reaches nothing more.
package final class ClientTable: Sendable {
  private let networks: PrefixTable
  /// Indexes of servers in the policy are below this.
  package let serverCount: Int

  /// - Precondition: every `server` is an index below `serverCount`.
  package init(_ networks: [(prefix: IPPrefix, server: Int)], serverCount: Int) {
    precondition(networks.allSatisfy { (0..<serverCount).contains($0.server) })
    self.networks = PrefixTable(networks.map { ($0.prefix, UInt32($0.server)) })
    self.serverCount = serverCount
  }

  /// As a policy's networks say.
  package convenience init(_ servers: [ServerPolicy]) {
    self.init(
      servers.enumerated().flatMap { index, server in server.networks.map { ($0.prefix, index) } },
      serverCount: servers.count)
  }

  /// The index of the server whose network holds `client` with the longest prefix; an IPv4-mapped address counts as its
  /// IPv4 form.
  package func server(of client: IPAddress) -> Int? {
    networks.lookup(client.unmapped).map { Int($0) }
  }
}
