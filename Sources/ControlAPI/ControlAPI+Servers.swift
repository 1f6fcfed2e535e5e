extension ControlAPI {
  /// A server with its counts.
  package struct Server: Codable, Sendable {
    package var server: String
    package var queries: Counts
    package var cacheEntries: Int
    /// Addresses that are open or asked for.
    package var grants: Int

    package init(server: String, queries: Counts, cacheEntries: Int, grants: Int) {
      self.server = server
      self.queries = queries
      self.cacheEntries = cacheEntries
      self.grants = grants
    }
  }

  /// The answer to `GET /v1/servers`.
  package struct ServerList: Codable, Sendable {
    package var servers: [Server]

    package init(servers: [Server]) {
      self.servers = servers
    }
  }
}
