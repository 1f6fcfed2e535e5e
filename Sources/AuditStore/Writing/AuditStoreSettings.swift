import AuditLog

/// Where the audit log is and how large it gets.
package struct AuditStoreSettings: Sendable {
  package var path: String
  /// Octets before the file is rotated.
  package var maxSize: Int
  /// Rotated files that stay: `path.1` … `path.keep`.
  package var keep: Int
  /// Whether these are compressed, to `path.1.zst` and so on.
  package var compress: Bool
  /// One for each thread that records.
  package var rings: Int
  /// Octets of each ring, rounded up to a power of two: what can wait while the log cannot be written.
  package var ringOctets: Int
  /// Octets for open windows of 10 s, rounded up to a power of two: about 140 for each name seen in the last 10 s. As
  /// many again are taken for longer ones.
  package var windowOctets: Int
  /// To whom log and ring file belong, where root opens them for another user.
  package var owner: UInt32?
  /// Servers that policies name, which share the log's history; nil where no server's octets are bounded.
  package var servers: Int?

  package init(
    path: String, maxSize: Int = 64 << 20, keep: Int = 10, compress: Bool = false, rings: Int,
    ringOctets: Int = 1 << 20, windowOctets: Int = 4 << 20, owner: UInt32? = nil, servers: Int? = nil
  ) {
    self.owner = owner
    self.servers = servers
    self.path = path
    self.maxSize = maxSize
    self.keep = keep
    self.compress = compress
    self.rings = rings
    self.ringOctets = ringOctets
    self.windowOctets = windowOctets
  }

  /// A log that keeps no rotated file has the history of one.
  var bounds: LogBounds? { servers.map { LogBounds(history: maxSize * max(keep, 1), servers: $0) } }

  var geometry: RingFile.Geometry {
    RingFile.Geometry(
      rings: rings, ringOctets: Self.powerOfTwo(max(ringOctets, 4096)),
      windowOctets: Self.powerOfTwo(max(windowOctets, 65_536)))
  }

  private static func powerOfTwo(_ value: Int) -> Int {
    var power = 1
    while power < value, power < 1 << 28 { power <<= 1 }
    return power
  }
}
