extension ControlAPI.Status.Gate {
  /// Connections that go through inspectors, and what these told of them, since the start.
  package struct Inspection: Codable, Sendable {
    /// Connections that an inspector took, and those that none took or that one said no to.
    package var inspected: UInt64
    package var refused: UInt64
    /// Findings, by what they asked for.
    package var blocked: UInt64
    package var flagged: UInt64
    /// Those that the policy in force names.
    package var inspectors: [Inspector]

    package init(inspected: UInt64, refused: UInt64, blocked: UInt64, flagged: UInt64, inspectors: [Inspector]) {
      self.inspected = inspected
      self.refused = refused
      self.blocked = blocked
      self.flagged = flagged
      self.inspectors = inspectors
    }
  }

  /// A proxy that inspects.
  package struct Inspector: Codable, Sendable {
    /// As `inspect` has it.
    package var address: String
    /// `down` where the last connection was not taken, else `up`.
    package var state: String

    package init(address: String, state: String) {
      self.address = address
      self.state = state
    }
  }
}
