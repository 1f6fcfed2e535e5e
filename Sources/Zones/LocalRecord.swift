package import DNSWire

/// A record of a local zone.
package struct LocalRecord: Equatable, Sendable {
  /// Canonical, uncompressed wire name.
  package var owner: [UInt8]
  package var type: RRType
  /// Seconds.
  package var ttl: UInt32
  /// Wire form, names in it uncompressed.
  package var rdata: [UInt8]

  package init(owner: [UInt8], type: RRType, ttl: UInt32, rdata: [UInt8]) {
    self.owner = owner
    self.type = type
    self.ttl = ttl
    self.rdata = rdata
  }

  /// An address outside the loopback networks: handing it out would tell a server where something is.
  var isRoutableAddress: Bool {
    switch type {
    case .A: rdata.first != 127
    case .AAAA: rdata.last != 1 || rdata.dropLast().contains { $0 != 0 }
    default: false
    }
  }
}
