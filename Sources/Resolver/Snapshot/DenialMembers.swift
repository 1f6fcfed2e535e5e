import AuditLog
import EgressPolicy

/// What the event of a query that an entry of `deny` denies says of the entry: made once for each, since the query path allocates
/// nothing.
package final class DenialMembers: Sendable {
  /// Where the entries of one server begin: those of its document, and of the layers, which are the same for all servers.
  private struct Server {
    /// What stands before them among its rules.
    let listed: Int
    let own: Range<Int>
    var common = 0
  }

  let octets: [UInt8]
  private let starts: [Int]
  private let servers: [Server]

  init(_ policy: PolicySnapshot) {
    var octets: [UInt8] = []
    var starts: [Int] = []
    var layers: [ObjectIdentifier: Int] = [:]
    func add(_ denials: RuleList) -> Range<Int> {
      let first = starts.count
      for index in denials.indices {
        starts.append(octets.count)
        octets += EventMembers.place(denials.location(at: index), denials.layer(at: index)).octets
      }
      return first..<starts.count
    }
    servers = policy.servers.map { server in
      var places = Server(listed: server.rules.count, own: add(server.denials))
      guard let common = server.layers else { return places }
      if layers[ObjectIdentifier(common)] == nil { layers[ObjectIdentifier(common)] = add(common.denials).lowerBound }
      places.common = layers[ObjectIdentifier(common)] ?? 0
      return places
    }
    starts.append(octets.count)
    (self.octets, self.starts) = (octets, starts)
  }

  /// Where in `octets` the members of the denial stand that is this rule of a server.
  func range(server: Int, rule: Int) -> Range<Int> {
    let places = servers[server]
    let index = rule - places.listed
    let entry = index < places.own.count ? places.own.lowerBound + index : places.common + index - places.own.count
    return starts[entry]..<starts[entry + 1]
  }
}
