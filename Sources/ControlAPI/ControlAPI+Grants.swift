extension ControlAPI {
  /// An address that is open for a name.
  package struct Grant: Codable, Sendable {
    package var server: String
    package var address: String
    /// As `TransportName.text`.
    package var `protocol`: String
    /// None where every port is open.
    package var port: UInt16?
    package var name: String
    /// When, as `ControlAPI.time`.
    package var opened: String
    /// Milliseconds.
    package var remainingMs: UInt64

    package init(
      server: String, address: String, `protocol`: String, port: UInt16? = nil, name: String, opened: String,
      remainingMs: UInt64
    ) {
      self.server = server
      self.address = address
      self.protocol = `protocol`
      self.port = port
      self.name = name
      self.opened = opened
      self.remainingMs = remainingMs
    }
  }

  /// The answer to `GET /v1/grants`.
  package struct GrantList: Codable, Sendable {
    package var grants: [Grant]

    package init(grants: [Grant]) {
      self.grants = grants
    }
  }
}
