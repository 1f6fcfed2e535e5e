/// A value of the configuration or of a policy that is another one now, in the words of the files.
package struct ChangedValue: Equatable, Sendable {
  /// The entry of an egress list that has it: a pattern, or `cidr: PREFIX`; nil where it is no entry's.
  package var entry: String?
  /// The key that the files have for it: `ports`, `upstreams`, `firewall.mode`.
  package var key: String
  /// What it was and what it is, a text each; none where it was, or is, not set.
  package var was: [String]
  package var now: [String]

  package init(entry: String? = nil, key: String, was: [String], now: [String]) {
    self.entry = entry
    self.key = key
    self.was = was
    self.now = now
  }

  /// Nil where both are the same.
  package init?(entry: String? = nil, key: String, from was: [String], to now: [String]) {
    guard was != now else { return nil }
    self.init(entry: entry, key: key, was: was, now: now)
  }
}

extension ChangedValue: CustomStringConvertible {
  /// `db.example.com: ports: 443/tcp -> 443/tcp, 5432/tcp`.
  package var description: String {
    "\(entry.map { "\($0): " } ?? "")\(key): \(Self.text(was)) -> \(Self.text(now))"
  }

  private static func text(_ values: [String]) -> String { values.isEmpty ? "none" : values.joined(separator: ", ") }
}
