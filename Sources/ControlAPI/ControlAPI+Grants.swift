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
    /// `sni` where a connection has to say the name; else `address`, and nothing by a server of before the gate.
    package var verify: String? = "address"
    /// The proxy that connections for the name go through, as `inspect` has it; nil for none.
    package var inspect: String?
    /// Other names that have the address open, of any server; some of them, where there are many.
    package var shared: [String]?

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

  /// A prefix that the policy opens without any name.
  package struct OpenPrefix: Codable, Sendable {
    package var server: String
    package var prefix: String
    /// `443/tcp` each, or `any` alone.
    package var ports: [String]
    /// Of its entry, `FILE:LINE`.
    package var rule: String
    package var maxBytes: UInt64?
    /// What becomes of what goes beyond it: `audit` or `block`.
    package var maxBytesExcess: String?
    /// When its entry ends, as `ControlAPI.time`.
    package var until: String?
    /// What the server sent into it on any port, as the kernel counts it; nil where the kernel was not asked.
    package var bytes: UInt64?
    package var packets: UInt64?

    package init(
      server: String, prefix: String, ports: [String], rule: String, maxBytes: UInt64? = nil, until: String? = nil
    ) {
      self.server = server
      self.prefix = prefix
      self.ports = ports
      self.rule = rule
      self.maxBytes = maxBytes
      self.until = until
    }
  }

  /// The answer to `GET /v1/grants`.
  package struct GrantList: Codable, Sendable {
    package var grants: [Grant]
    package var prefixes: [OpenPrefix]

    package init(grants: [Grant], prefixes: [OpenPrefix]) {
      self.grants = grants
      self.prefixes = prefixes
    }
  }
}
