extension ControlAPI {
  /// The answer to `GET /v1/status`: how the running server is.
  package struct Status: Codable, Sendable {
    /// The policy in force.
    package struct Policy: Codable, Sendable {
      package var fingerprint: String
      package var servers: Int
      package var names: Int
      /// Since when it is in force.
      package var since: String

      package init(fingerprint: String, servers: Int, names: Int, since: String) {
        self.fingerprint = fingerprint
        self.servers = servers
        self.names = names
        self.since = since
      }
    }

    /// One upstream, and how it answers.
    package struct Upstream: Codable, Sendable {
      package var address: String
      /// The forwarded zone for which alone it is asked; none for one that is asked for every other name.
      package var zone: String?
      package var healthy: Bool
      /// Whether it answered anything since the start.
      package var answered: Bool
      /// Of a round trip, smoothed; none before the first answer.
      package var latencyMs: Double?
      package var failures: UInt64
      /// Asked by TCP alone for a while, because of answers that were not its own.
      package var byTcp: Bool
      /// It is there, and refuses whatever it is asked.
      package var refusing: Bool
      /// Refusals since its last answer.
      package var refusals: UInt64
      /// The response code of the last of them.
      package var refusedAs: String?
      /// Why TLS with it cannot be used, for machines and in words; none where it can, or was not tried.
      package var tlsFault: String?
      package var tlsFaultText: String?
      /// Why what it says by HTTP is no answer, for machines and in words; none where it gives answers, or was not asked.
      package var httpFault: String?
      package var httpFaultText: String?
      /// The network from which it answers every name, so that its answers are refused.
      package var intercepted: String?

      /// One that refused nothing.
      package init(
        address: String, zone: String? = nil, healthy: Bool, answered: Bool, latencyMs: Double? = nil, failures: UInt64,
        byTcp: Bool
      ) {
        self.address = address
        self.zone = zone
        self.healthy = healthy
        self.answered = answered
        self.latencyMs = latencyMs
        self.failures = failures
        self.byTcp = byTcp
        refusing = false
        refusals = 0
      }
    }

    /// The bridge, and what its firewall holds.
    package struct Bridge: Codable, Sendable {
      /// `managed`, `sets` or `off`.
      package var mode: String
      package var table: String?
      /// `up`, `down`, or `off`.
      package var state: String
      package var incarnation: UInt64
      /// Addresses that are open or asked for.
      package var grants: Int
      /// The kernel's sets do not hold what was granted.
      package var degraded: Bool
      /// Interfaces from which nothing passes but what their servers may.
      package var enclosed: [String]
      /// What else lies behind them and loses its network, some of it.
      package var others: [Others]
      /// Networks that are closed by their source alone.
      package var exposed: [Exposed]
      /// Networks that lie behind another interface than their policy pins.
      package var displaced: [Displaced]
      /// Networks of servers to which no interface leads now, some of them.
      package var absent: [String]
      /// Networks that no policy governs any more, and that stay closed.
      package var held: [Held]

      package init(
        mode: String, table: String? = nil, state: String, incarnation: UInt64, grants: Int, degraded: Bool,
        enclosed: [String], others: [Others], exposed: [Exposed], displaced: [Displaced], absent: [String],
        held: [Held]
      ) {
        self.mode = mode
        self.table = table
        self.state = state
        self.incarnation = incarnation
        self.grants = grants
        self.degraded = degraded
        self.enclosed = enclosed
        self.others = others
        self.exposed = exposed
        self.displaced = displaced
        self.absent = absent
        self.held = held
      }
    }

    /// Networks of no server behind an interface that is a server's.
    package struct Others: Codable, Sendable {
      package var interface: String
      package var prefixes: [String]

      package init(interface: String, prefixes: [String]) {
        self.interface = interface
        self.prefixes = prefixes
      }
    }

    /// A network that is closed by its source alone, although an interface leads to it.
    package struct Exposed: Codable, Sendable {
      package var network: String
      package var server: String
      package var interface: String
      /// `default-route`, `upstream` or `interface-name`, as in the event `network-exposed`.
      package var cause: String

      package init(network: String, server: String, interface: String, cause: String) {
        self.network = network
        self.server = server
        self.interface = interface
        self.cause = cause
      }
    }

    /// A network that lies behind another interface than its policy pins.
    package struct Displaced: Codable, Sendable {
      package var network: String
      package var server: String
      package var interface: String
      /// The interface that the policy names.
      package var pinned: String

      package init(network: String, server: String, interface: String, pinned: String) {
        self.network = network
        self.server = server
        self.interface = interface
        self.pinned = pinned
      }
    }

    /// A network that no policy governs any more, and that stays closed until it is released.
    package struct Held: Codable, Sendable {
      package var network: String
      /// Whose document governed it last.
      package var server: String

      package init(network: String, server: String) {
        self.network = network
        self.server = server
      }
    }

    /// The process that verifies signatures; counts are since the start.
    package struct Validator: Codable, Sendable {
      /// `up` or `down`.
      package var state: String
      package var judgements: UInt64
      package var bogus: UInt64
      /// Judgements that had no verdict, because it was away.
      package var failures: UInt64
      package var restarts: UInt64
      /// DS and DNSKEY of zones that were asked for.
      package var questions: UInt64

      package init(
        state: String, judgements: UInt64, bogus: UInt64, failures: UInt64, restarts: UInt64, questions: UInt64
      ) {
        self.state = state
        self.judgements = judgements
        self.bogus = bogus
        self.failures = failures
        self.restarts = restarts
        self.questions = questions
      }
    }

    /// The process through which connections go that have to say a name; counts are since the start.
    package struct Gate: Codable, Sendable {
      /// `up`, or `down` where it does not take what it is told.
      package var state: String
      package var restarts: UInt64
      /// Connections that said a right name, and those that were refused for what they said.
      package var verified: UInt64
      package var refused: UInt64
      /// Those that could not be made from the host.
      package var unreachable: UInt64
      /// Those that were cut at a cap, and those that were told of as beyond one.
      package var cut: UInt64
      package var told: UInt64
      /// None where no policy has `inspect`.
      package var inspection: Inspection?

      package init(
        state: String, restarts: UInt64, verified: UInt64, refused: UInt64, unreachable: UInt64, cut: UInt64 = 0,
        told: UInt64 = 0
      ) {
        self.state = state
        self.restarts = restarts
        self.verified = verified
        self.refused = refused
        self.unreachable = unreachable
        self.cut = cut
        self.told = told
      }
    }

    /// The audit log and its writer; counts are since the start.
    package struct Audit: Codable, Sendable {
      package var path: String
      package var blocked: Bool
      /// Why the log cannot be written; nil while it can.
      package var blockedFault: String?
      package var records: UInt64
      package var events: UInt64
      package var suppressed: UInt64
      package var recovered: UInt64
      package var corrupt: UInt64
      /// Why the file cannot be rotated; nil while it can.
      package var rotationFault: String?
      /// How often the log's file was gone from its path, or another one there.
      package var replaced: UInt64
      /// Octets of records that wait to be written, in the fullest ring, and what a ring holds.
      package var pending: Int
      package var room: Int

      package init(
        path: String, blocked: Bool, blockedFault: String? = nil, records: UInt64, events: UInt64, suppressed: UInt64,
        recovered: UInt64, corrupt: UInt64, rotationFault: String? = nil, replaced: UInt64, pending: Int, room: Int
      ) {
        self.path = path
        self.blocked = blocked
        self.blockedFault = blockedFault
        self.records = records
        self.events = events
        self.suppressed = suppressed
        self.recovered = recovered
        self.corrupt = corrupt
        self.rotationFault = rotationFault
        self.replaced = replaced
        self.pending = pending
        self.room = room
      }
    }

    /// Why allowed names may not be answered now, or not recorded.
    package enum Fault: String, Codable, Sendable {
      case auditBlocked = "audit-blocked"
      case bridgeDown = "bridge-down"
      case refusalLogTaken = "refusal-log-taken"
      case enforcementDegraded = "enforcement-degraded"
      /// None answers, or none did since the start.
      case noUpstream = "no-upstream"
      /// Each that answers refuses whatever it is asked.
      case upstreamsRefuse = "upstreams-refuse"
      case validatorDown = "validator-down"
      case gateDown = "gate-down"
      case inspectorDown = "inspector-down"

      /// Whether it makes the whole of Sluice not ready: an inspector may end because of what one container asks of it.
      package var isOfAll: Bool { self != .inspectorDown }

      /// A sentence.
      package var text: String {
        switch self {
        case .auditBlocked: "the audit log cannot be written"
        case .bridgeDown: "the firewall bridge is down"
        case .refusalLogTaken: "refused connections cannot be recorded: another program reads the kernel's log"
        case .enforcementDegraded: "the kernel may not hold what was granted"
        case .noUpstream: "no upstream answers"
        case .upstreamsRefuse: "every upstream refuses"
        case .validatorDown: "the validator is down: names with `dnssec` are refused"
        case .gateDown: "the gate does not answer: names with `verify: sni` are not answered either"
        case .inspectorDown: "an inspector does not take connections: they are refused"
        }
      }
    }

    /// Whether allowed names are answered; the same as `/readyz`.
    package var ready: Bool
    /// Why not; empty where it is.
    package var faults: [Fault]
    package var version: String
    package var pid: Int
    package var since: String
    /// Seconds.
    package var uptime: UInt64
    package var listen: [String]
    /// Those of `listen` that no interface of the host has yet; nil where all are there.
    package var listenAbsent: [String]?
    package var policy: Policy
    /// What the files had otherwise when they were read last, and a reload does not take.
    package var needsRestart: [Change]
    package var queries: Counts
    package var upstreams: [Upstream]
    package var upstreamExchanges: UInt64
    package var upstreamWrongAnswers: UInt64
    package var bridge: Bridge
    /// None where `trust-anchors` is not set.
    package var validator: Validator?
    /// None where no policy has `verify: sni`.
    package var gate: Gate?
    package var audit: Audit
    /// How often a promise did not hold, since the start.
    package var violations: PromiseViolations
    package var lost: LostCounts
    /// What the kernel refuses can be told; false while another program reads its log.
    package var refusalLogRead: Bool
    /// What is allowed for a time.
    package var permits: Int
    package var cacheEntries: Int
    package var inFlight: Int

    package init(
      faults: [Fault], version: String, pid: Int, since: String, uptime: UInt64, listen: [String],
      listenAbsent: [String]? = nil,
      policy: Policy, needsRestart: [Change], queries: Counts, upstreams: [Upstream], upstreamExchanges: UInt64,
      upstreamWrongAnswers: UInt64,
      bridge: Bridge, audit: Audit, violations: PromiseViolations, lost: LostCounts, refusalLogRead: Bool, permits: Int,
      cacheEntries: Int, inFlight: Int
    ) {
      ready = !faults.contains(where: \.isOfAll)
      self.faults = faults
      self.version = version
      self.pid = pid
      self.since = since
      self.uptime = uptime
      self.listen = listen
      self.listenAbsent = listenAbsent
      self.policy = policy
      self.needsRestart = needsRestart
      self.queries = queries
      self.upstreams = upstreams
      self.upstreamExchanges = upstreamExchanges
      self.upstreamWrongAnswers = upstreamWrongAnswers
      self.bridge = bridge
      self.audit = audit
      self.violations = violations
      self.lost = lost
      self.refusalLogRead = refusalLogRead
      self.permits = permits
      self.cacheEntries = cacheEntries
      self.inFlight = inFlight
    }
  }

  /// Queries by what became of them.
  package struct Counts: Codable, Sendable {
    package var total: UInt64 = 0
    package var cached: UInt64 = 0
    package var resolved: UInt64 = 0
    package var denied: UInt64 = 0
    package var special: UInt64 = 0
    package var failed: UInt64 = 0
    package var malformed: UInt64 = 0

    package init(
      total: UInt64 = 0, cached: UInt64 = 0, resolved: UInt64 = 0, denied: UInt64 = 0, special: UInt64 = 0,
      failed: UInt64 = 0, malformed: UInt64 = 0
    ) {
      self.total = total
      self.cached = cached
      self.resolved = resolved
      self.denied = denied
      self.special = special
      self.failed = failed
      self.malformed = malformed
    }
  }
}
