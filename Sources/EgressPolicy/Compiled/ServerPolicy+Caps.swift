/// How many octets the names of a server may move.
extension ServerPolicy {
  /// The firewall has one bit for each cap of a server, and the last for `NameCheck`.
  package static let maximumCaps = 15

  /// The distinct `max-bytes` of its names, ascending; static prefixes have their own.
  package var connectionCaps: [UInt64] { Set(rules.profiles.compactMap(\.maxBytes)).sorted() }

  /// The distinct `max-bytes-per-hour` of its names, ascending.
  package var hourCaps: [UInt64] { Set(rules.profiles.compactMap(\.maxBytesPerHour)).sorted() }
}
