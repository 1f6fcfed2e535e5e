extension ControlAPI {
  /// What a query got that an operator asked in a server's name.
  package struct Query: Codable, Sendable {
    /// None for an unknown client.
    package var server: String?
    package var client: String
    package var name: String
    package var type: String
    /// `allowed`, `not-listed`, `denied`, `type-not-allowed`, or `unknown-client`.
    package var verdict: String
    /// The entry that decided: `FILE:LINE`, and its pattern.
    package var rule: String?
    package var pattern: String?
    /// The list that the entry comes from, with its day; none for one of the document's own.
    package var list: String?
    /// Above the server's document, in which the entry stands; absent for one of its own.
    package var layer: String?
    /// Whence the answer came: `cache`, `resolved` (asked upstream, or committed again), or `local` (denials as well).
    package var from: String
    /// None where policy drops the query.
    package var rcode: String?
    /// The extended error of the reply (RFC 8914): its code and text; none without one.
    package var extendedError: ExtendedError?
    /// The reply as octets, in Base64 (RFC 4648).
    package var message: String?
    package var milliseconds: Double
    /// What the cache holds for the question now.
    package var cache: CacheEntry?
    /// What is open for the question now.
    package var grants: [Grant]

    package init(
      server: String? = nil, client: String, name: String, type: String, verdict: String, from: String,
      rcode: String? = nil,
      message: String? = nil, milliseconds: Double
    ) {
      self.server = server
      self.client = client
      self.name = name
      self.type = type
      self.verdict = verdict
      self.from = from
      self.rcode = rcode
      self.message = message
      self.milliseconds = milliseconds
      grants = []
    }
  }

  /// What a reply says of its answer, for machines and for people.
  package struct ExtendedError: Codable, Sendable {
    /// Of the registry of RFC 8914 section 5.2.
    package var code: UInt16
    package var text: String

    package init(code: UInt16, text: String) {
      self.code = code
      self.text = text
    }
  }
}
