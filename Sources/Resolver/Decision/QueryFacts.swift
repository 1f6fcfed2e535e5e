package import DNSWire

/// What a decision needs to know of a query besides its name.
package struct QueryFacts: BitwiseCopyable, Sendable {
  /// Index of the server that the client belongs to.
  package var server: Int
  package var type: RRType
  package var klass: RRClass
  /// Labels of the name, the root not counted.
  package var labelCount: Int
  /// Whether the name has only letters, digits, hyphens and underscores.
  package var isHostname: Bool
  /// Of the name, by the policy's `nameHash`.
  package var hash: UInt64

  @inline(__always)
  init(_ query: Query, server: Int, hash: UInt64) {
    self.server = server
    self.hash = hash
    type = query.type
    klass = query.klass
    labelCount = query.labelCount
    isHostname = query.isHostname
  }

  /// Of a question of class IN for a canonical wire name.
  package init(_ name: Span<UInt8>, _ type: RRType, server: Int, hash: NameHash) {
    self.server = server
    self.hash = hash(name)
    self.type = type
    klass = .IN
    labelCount = 0
    isHostname = true
    var at = 0
    while at < name.count, name[at] != 0 {
      let end = min(at + Int(name[at]) + 1, name.count)
      for index in (at + 1)..<end where !Name.isHostnameOctet(name[index]) { isHostname = false }
      labelCount += 1
      at = end
    }
  }
}
