import Foundation

/// What the control API says, as `serve` writes it and the commands read it. Keys are in snake case; times are RFC 3339,
/// durations seconds where the key does not say otherwise.
enum ControlAPI {
  struct Status: Codable {
    struct Policy: Codable {
      var fingerprint: String
      var servers: Int
      var names: Int
      /// Since when it is in force.
      var since: String
    }

    struct Upstream: Codable {
      var address: String
      var healthy: Bool
      /// Of a round trip, smoothed; none before the first answer.
      var latencyMs: Double?
      var failures: UInt64
      /// Asked by TCP alone for a while, because of answers that were not its own.
      var byTcp: Bool
    }

    struct Bridge: Codable {
      /// `managed`, `sets` or `off`.
      var mode: String
      var table: String?
      /// `up`, `down`, or `off`.
      var state: String
      var incarnation: UInt64
      /// Addresses that are open or asked for.
      var grants: Int
      /// The kernel's sets do not hold what was granted.
      var degraded: Bool
      /// Interfaces from which nothing passes but what their servers may.
      var enclosed: [String]
      /// What else lies behind them and loses its network, some of it.
      var others: [Others]
      /// Networks that are closed by their source alone, a sentence each.
      var exposed: [String]
      /// Networks of servers to which no interface leads now, some of them.
      var absent: [String]
      /// Networks that no policy governs any more, and that stay closed.
      var held: [Held]
    }

    struct Others: Codable {
      var interface: String
      var prefixes: [String]
    }

    struct Held: Codable {
      var network: String
      /// Whose document governed it last.
      var server: String
    }

    struct Audit: Codable {
      var path: String
      var blocked: Bool
      var records: UInt64
      var events: UInt64
      var suppressed: UInt64
      var recovered: UInt64
      var corrupt: UInt64
      /// Why the file cannot be rotated; nil while it can.
      var rotationFault: String?
      /// How often the log's file was gone from its path, or another one there.
      var replaced: UInt64
      /// Octets of records that wait to be written, in the fullest ring, and what a ring holds.
      var pending: Int
      var room: Int
    }

    var version: String
    var pid: Int
    var since: String
    var uptime: UInt64
    var listen: [String]
    /// Those of `listen` that no interface of the host has yet; nil where all are there.
    var listenAbsent: [String]?
    var policy: Policy
    var queries: Counts
    var upstreams: [Upstream]
    var upstreamExchanges: UInt64
    var upstreamWrongAnswers: UInt64
    var bridge: Bridge
    var audit: Audit
    /// How often a promise did not hold, since the start.
    var violations: PromiseViolations
    var lost: LostCounts
    /// What the kernel refuses can be told; false while another program reads its log.
    var refusalLogRead: Bool
    /// What is allowed for a time.
    var permits: Int
    var cacheEntries: Int
    var inFlight: Int
  }

  /// Queries by what became of them.
  struct Counts: Codable {
    var total: UInt64 = 0
    var cached: UInt64 = 0
    var resolved: UInt64 = 0
    var denied: UInt64 = 0
    var special: UInt64 = 0
    var failed: UInt64 = 0
    var malformed: UInt64 = 0
  }

  struct Server: Codable {
    var server: String
    var queries: Counts
    var cacheEntries: Int
    /// Addresses that are open or asked for.
    var grants: Int
  }

  struct ServerList: Codable {
    var servers: [Server]
  }

  struct CacheEntry: Codable {
    var server: String
    var name: String
    var type: String
    var rcode: String
    /// Seconds that the answer may be handed out.
    var remaining: UInt32
    var hits: UInt32
    var addresses: [String]
    /// The names from the one asked for to the one that has the addresses.
    var chain: [String]
    /// Why it may not be handed out now, although it is there.
    var held: String?
  }

  struct CacheList: Codable {
    var entries: [CacheEntry]
  }

  struct Flushed: Codable {
    var entries: Int
    var addressesClosed: Int
    var flowsCut: Int
  }

  struct Grant: Codable {
    var server: String
    var address: String
    var `protocol`: String
    var port: UInt16?
    var name: String
    var opened: String
    var remainingMs: UInt64
  }

  struct GrantList: Codable {
    var grants: [Grant]
  }

  /// What a query got that an operator asked in a server's name.
  struct Query: Codable {
    /// None for nobody's client.
    var server: String?
    var client: String
    var name: String
    var type: String
    /// `allowed`, `not-listed`, `type-not-allowed`, or `unknown-client`.
    var verdict: String
    /// The rule that decided.
    var rule: String?
    /// Whence the answer came: `cache`, `resolved` (asked upstream, or committed again), or `local` (denials as well).
    var from: String
    /// None where policy drops the query.
    var rcode: String?
    /// The reply as octets, in Base64 (RFC 4648).
    var message: String?
    var milliseconds: Double
    /// What the cache holds for the question now.
    var cache: CacheEntry?
    /// What is open for the question now.
    var grants: [Grant]
  }

  /// A name that is allowed for a time.
  struct Permit: Codable {
    var id: UInt64
    var server: String
    var name: String
    var ports: [String]
    var types: [String]
    var justification: String
    var given: String
    var until: String
    /// Seconds.
    var remaining: UInt64
    /// Who gave it.
    var uid: UInt32
    var pid: Int32
    /// What a policy file that said the same would be warned of.
    var warnings: [String]?
  }

  struct PermitList: Codable {
    var permits: [Permit]
  }

  struct Withdrawn: Codable {
    var permits: Int
    var addressesClosed: Int
    var flowsCut: Int
  }

  struct ServerDifference: Codable {
    var server: String
    /// `added`, `removed` or `changed`.
    var kind: String
    var added: [String]
    var removed: [String]
    /// Patterns that stay with other ports, types, prefixes, limits or times.
    var altered: [String]
    /// Networks, interface or static prefixes differ.
    var elsewhere: Bool
  }

  struct Reload: Codable {
    var policy: String
    var former: String
    var servers: Int
    var changes: [ServerDifference]
    var addressesClosed: Int
    var flowsCut: Int
    /// Networks that no policy governs any more, since this reload.
    var letGo: [Status.Held]
    /// Whether they stay closed until they are released.
    var held: Bool
  }

  struct Failure: Codable {
    var error: String
    /// What is wrong with which file, a line each.
    var findings: [String]?
  }

  static func encode(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return ((try? encoder.encode(value)).map { Array($0) } ?? Array("{}".utf8)) + [UInt8(ascii: "\n")]
  }

  /// What `encode` made, as a line of a command's output.
  static func line(_ octets: [UInt8]) -> String { String(decoding: octets.dropLast(), as: UTF8.self) }

  static func decode<Value: Decodable>(_ type: Value.Type, _ octets: [UInt8]) throws -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(type, from: Data(octets))
  }

  private static let timeStyle = Date.ISO8601FormatStyle(includingFractionalSeconds: true)

  /// Seconds since 1970 of what `time` wrote; nil for anything else.
  static func seconds(_ text: String) -> UInt64? {
    (try? timeStyle.parse(text)).map { UInt64(max($0.timeIntervalSince1970, 0)) }
  }

  /// RFC 3339 with milliseconds, UTC.
  static func time(nanoseconds: UInt64) -> String {
    timeStyle.format(Date(timeIntervalSince1970: Double(nanoseconds) / 1e9))
  }
}
