extension ControlAPI {
  /// An answer in a server's cache.
  package struct CacheEntry: Codable, Sendable {
    package var server: String
    package var name: String
    package var type: String
    package var rcode: String
    /// Milliseconds that the answer may be handed out.
    package var remainingMs: UInt64
    package var hits: UInt32
    package var addresses: [String]
    /// The names from the one asked for to the one that has the addresses.
    package var chain: [String]
    /// Whether it may not be handed out now, although it is there: its addresses must be committed again first.
    package var held: Bool

    package init(
      server: String, name: String, type: String, rcode: String, remainingMs: UInt64, hits: UInt32, addresses: [String],
      chain: [String], held: Bool
    ) {
      self.server = server
      self.name = name
      self.type = type
      self.rcode = rcode
      self.remainingMs = remainingMs
      self.hits = hits
      self.addresses = addresses
      self.chain = chain
      self.held = held
    }
  }

  /// The answer to `GET /v1/cache`.
  package struct CacheList: Codable, Sendable {
    package var entries: [CacheEntry]

    package init(entries: [CacheEntry]) {
      self.entries = entries
    }
  }

  /// The answer to `DELETE /v1/cache` and `DELETE /v1/grants`.
  package struct Flushed: Codable, Sendable {
    package var entries: Int
    package var addressesClosed: Int
    package var flowsCut: Int

    package init(entries: Int, addressesClosed: Int, flowsCut: Int) {
      self.entries = entries
      self.addressesClosed = addressesClosed
      self.flowsCut = flowsCut
    }
  }
}
