extension ControlAPI {
  /// What a query would get, or a connection, and why: the answer to `GET /v1/explanation`.
  package struct Explanation: Codable, Sendable {
    /// `allow`, `block`, or `local`: answered here, and never forwarded.
    package enum Decision: String, Codable, Sendable {
      case allow, block, local
    }

    /// Why.
    package enum Code: String, Codable, Sendable {
      case listed
      case notListed = "not-listed"
      /// An entry of `deny` matches it, whatever lists it.
      case denied
      /// It has other octets than a pattern can match.
      case notAHostName = "not-a-host-name"
      /// An entry lists it whose time is over.
      case ended
      case typeNotAllowed = "type-not-allowed"
      case unknownClient = "unknown-client"
      case special
      case root
      case singleLabel = "single-label"
      case reverseName = "reverse-name"
      /// Of an address: Sluice has no rule in this `firewall.mode`, or none for a client of no server.
      case notEnforced = "not-enforced"
      /// Of an address: an entry opens it without a name.
      case cidr
      /// It is open now for a name.
      case granted
      case ownNetwork = "own-network"
      case otherServer = "other-server"
      /// It is the host's own, which takes this port.
      case host
      /// It is the host's own, which servers reach nothing of but the resolver.
      case hostFence = "host-fence"
      /// An entry opens it, or a name does now, but not this port.
      case wrongPort = "wrong-port"
      /// Nothing opens it but a name that resolves to it.
      case rawAddress = "raw-address"
    }

    /// What a query gets.
    package enum Answer: String, Codable, Sendable {
      case upstream
      case localZone = "local-zone"
      /// The name that the address is open for.
      case openName = "open-name"
      case addresses
      case nodata
      case nxdomain
      case refused
      /// None.
      case drop
    }

    /// The server whose policy decides; none for an unknown client.
    package var server: String?
    package var client: String?
    package var name: String?
    package var type: String?
    /// Of a connection.
    package var address: String?
    /// `443/tcp`; none for any.
    package var port: String?
    package var decision: Decision
    package var code: Code
    /// Of the entry that decides: `FILE:LINE`, and as it is written.
    package var rule: String?
    package var pattern: String?
    /// The list that the entry comes from, with its day: `github@2026-11-20`; none for one of the document's own.
    package var list: String?
    /// Above the server's document, in which the entry stands; absent for one of its own.
    package var layer: String?
    /// Of a query.
    package var answer: Answer?
    /// Whom it is asked of, where the answer is `upstream`, and the forwarded zone whose they are.
    package var upstreams: [String]?
    package var forward: String?
    /// What it gets where the address is open for no name.
    package var answerElse: Answer?
    /// Those of the sinkhole.
    package var addresses: [String]?
    /// Whether addresses of the answer are opened before it leaves.
    package var opens: Bool?
    /// The server in whose network the address is.
    package var other: String?
    package var ports: [String]?
    package var types: [String]?
    package var `private`: [String]?
    /// Which chains an answer may have: `listed` or `strict`; absent where any.
    package var cname: String?
    package var maxBytes: UInt64?
    package var maxBytesPerHour: UInt64?
    /// What becomes of what goes beyond each: `audit` or `block`.
    package var maxBytesExcess: String?
    package var maxBytesPerHourExcess: String?
    /// Where a connection has to say the name: `443/tcp`.
    package var verifiedPorts: [String]?
    /// Whether one that may hide another name passes there: `allow` or `refuse`.
    package var ech: String?
    /// The proxy that such a connection goes through, as `inspect` has it.
    package var inspect: String?
    /// `verify` or `require`, where signatures are asked for.
    package var dnssec: String?
    /// When the entry ends, as `ControlAPI.time`.
    package var until: String?
    /// When the first of the entries ends that stand for the pattern, where that is another time.
    package var inPartUntil: String?
    /// Other entries that open the address without a name.
    package var prefixes: [OpenPrefix]?
    package var live: Live?

    package init(decision: Decision, code: Code) {
      self.decision = decision
      self.code = code
    }
  }

  /// What the running server knows besides.
  package struct Live: Codable, Sendable {
    /// The fingerprint in force, and whether it is that of the files.
    package var policy: String
    package var asInFiles: Bool
    /// What the running server decides, where its policy is another one than that of the files.
    package var running: Running?
    /// Those that allow the name.
    package var permits: [Permit]
    package var cache: [CacheEntry]
    /// What is open for the name, and for other names at the same addresses; or at the address.
    package var grants: [Grant]
    /// Caps that hold for the name because another name at one of its addresses has them.
    package var sharedCaps: [SharedCap]

    package init(
      policy: String, asInFiles: Bool, permits: [Permit], cache: [CacheEntry], grants: [Grant]
    ) {
      self.policy = policy
      self.asInFiles = asInFiles
      self.permits = permits
      self.cache = cache
      self.grants = grants
      sharedCaps = []
    }
  }

  /// A decision by the policy in force.
  package struct Running: Codable, Sendable {
    package var decision: Explanation.Decision
    package var code: Explanation.Code
    /// Of the entry that decides: `FILE:LINE`, and as it is written.
    package var rule: String?
    package var pattern: String?
    package var list: String?

    package init(_ told: Explanation) {
      (decision, code, rule, pattern, list) = (told.decision, told.code, told.rule, told.pattern, told.list)
    }
  }

  /// The caps of another name at the same address.
  package struct SharedCap: Codable, Sendable {
    package var address: String
    package var name: String
    package var maxBytes: UInt64?
    package var maxBytesPerHour: UInt64?
    package var maxBytesExcess: String?
    package var maxBytesPerHourExcess: String?

    package init(address: String, of other: Explanation, named name: String) {
      self.address = address
      self.name = name
      (maxBytes, maxBytesExcess) = (other.maxBytes, other.maxBytesExcess)
      (maxBytesPerHour, maxBytesPerHourExcess) = (other.maxBytesPerHour, other.maxBytesPerHourExcess)
    }
  }
}
