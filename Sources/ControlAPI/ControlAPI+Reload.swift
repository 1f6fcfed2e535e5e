extension ControlAPI {
  /// The answer to `POST /v1/reload`.
  package struct Reload: Codable, Sendable {
    /// The fingerprint in force now, and the one before.
    package var policy: String
    package var former: String
    package var servers: Int
    package var changes: [ServerDifference]
    package var addressesClosed: Int
    package var flowsCut: Int
    /// Networks that no policy governs any more, since this reload.
    package var letGo: [Status.Held]
    /// Whether they stay closed until they are released.
    package var held: Bool

    package init(
      policy: String, former: String, servers: Int, changes: [ServerDifference], addressesClosed: Int, flowsCut: Int,
      letGo: [Status.Held], held: Bool
    ) {
      self.policy = policy
      self.former = former
      self.servers = servers
      self.changes = changes
      self.addressesClosed = addressesClosed
      self.flowsCut = flowsCut
      self.letGo = letGo
      self.held = held
    }
  }

  /// What differs in a server's policy; names and patterns as they stand in it.
  package struct ServerDifference: Codable, Sendable {
    package var server: String
    /// `added`, `removed` or `changed`.
    package var kind: String
    package var added: [String]
    package var removed: [String]
    /// Patterns that stay with other ports, types, prefixes, limits or times.
    package var altered: [String]
    /// Networks, interface or static prefixes differ.
    package var elsewhere: Bool

    package init(server: String, kind: String, added: [String], removed: [String], altered: [String], elsewhere: Bool) {
      self.server = server
      self.kind = kind
      self.added = added
      self.removed = removed
      self.altered = altered
      self.elsewhere = elsewhere
    }
  }
}
