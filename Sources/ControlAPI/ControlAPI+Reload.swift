extension ControlAPI {
  /// The answer to `POST /v1/reload`.
  package struct Reload: Codable, Sendable {
    /// The fingerprint in force now, and the one before.
    package var policy: String
    package var former: String
    package var servers: Int
    package var changes: [ServerDifference]
    /// Keys beside the policies that are in force with it, and those that stay as they were until serve is started anew.
    package var settings: [Change]
    package var needsRestart: [Change]
    package var addressesClosed: Int
    package var flowsCut: Int
    /// Networks that no policy governs any more, since this reload.
    package var letGo: [Status.Held]
    /// Whether they stay closed until they are released.
    package var held: Bool

    package init(
      policy: String, former: String, servers: Int, changes: [ServerDifference], settings: [Change],
      needsRestart: [Change],
      addressesClosed: Int, flowsCut: Int, letGo: [Status.Held], held: Bool
    ) {
      self.policy = policy
      self.former = former
      self.servers = servers
      self.changes = changes
      self.settings = settings
      self.needsRestart = needsRestart
      self.addressesClosed = addressesClosed
      self.flowsCut = flowsCut
      self.letGo = letGo
      self.held = held
    }
  }

  /// A value that is another one now, in the words of the files.
  package struct Change: Codable, Sendable {
    /// The entry of an egress list, a pattern or `cidr: PREFIX`; none where it is no entry's.
    package var entry: String?
    /// The key in the file, with that of its section: `ports`, `firewall.mode`.
    package var key: String
    package var was: [String]
    package var now: [String]

    package init(entry: String? = nil, key: String, was: [String], now: [String]) {
      self.entry = entry
      self.key = key
      self.was = was
      self.now = now
    }
  }

  /// What differs in a server's policy; entries as they stand in it.
  package struct ServerDifference: Codable, Sendable {
    package var server: String
    /// `added`, `removed` or `changed`.
    package var kind: String
    package var added: [String]
    package var removed: [String]
    /// What is another value: of entries that stay, and of the document itself.
    package var altered: [Change]

    package init(server: String, kind: String, added: [String], removed: [String], altered: [Change]) {
      self.server = server
      self.kind = kind
      self.added = added
      self.removed = removed
      self.altered = altered
    }
  }
}
