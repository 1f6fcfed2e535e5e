extension ControlAPI {
  /// A name that is allowed for a time.
  package struct Permit: Codable, Sendable {
    package var id: UInt64
    package var server: String
    package var name: String
    package var ports: [String]
    package var types: [String]
    package var justification: String
    package var given: String
    package var until: String
    /// Milliseconds.
    package var remainingMs: UInt64
    /// Who gave it.
    package var uid: UInt32
    package var pid: Int32
    /// What a policy file that said the same would be warned of.
    package var warnings: [String]?

    package init(
      id: UInt64, server: String, name: String, ports: [String], types: [String], justification: String, given: String,
      until: String, remainingMs: UInt64, uid: UInt32, pid: Int32, warnings: [String]? = nil
    ) {
      self.id = id
      self.server = server
      self.name = name
      self.ports = ports
      self.types = types
      self.justification = justification
      self.given = given
      self.until = until
      self.remainingMs = remainingMs
      self.uid = uid
      self.pid = pid
      self.warnings = warnings
    }
  }

  /// The answer to `GET /v1/permits`.
  package struct PermitList: Codable, Sendable {
    package var permits: [Permit]

    package init(permits: [Permit]) {
      self.permits = permits
    }
  }

  /// The answer to `DELETE /v1/permits`.
  package struct Withdrawn: Codable, Sendable {
    package var permits: Int
    package var addressesClosed: Int
    package var flowsCut: Int

    package init(permits: Int, addressesClosed: Int, flowsCut: Int) {
      self.permits = permits
      self.addressesClosed = addressesClosed
      self.flowsCut = flowsCut
    }
  }
}
