/// How many octets the names of a server may move.
extension ServerPolicy {
  /// The firewall has one bit for each cap of a server, and the last for `NameCheck`.
  package static let maximumCaps = 15

  /// The distinct `max-bytes` of its names; static prefixes have their own.
  package var connectionCaps: Set<ByteBound> { Set(rules.profiles.compactMap(\.maxBytes)) }

  /// The distinct `max-bytes-per-hour` of its names.
  package var hourCaps: Set<ByteBound> { Set(rules.profiles.compactMap(\.maxBytesPerHour)) }
}
