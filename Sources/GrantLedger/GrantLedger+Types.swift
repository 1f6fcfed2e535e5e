package import DNSWire
package import IPNetwork

extension GrantLedger {
  /// The question whose answer promised addresses to a server.
  ///
  /// It is looked up in several tables on its way, so it is hashed once, with the seed of the process.
  package struct Key: Hashable, Sendable {
    package let server: UInt16
    package let type: RRType
    package let name: Name
    private let hash: UInt64

    package init(server: UInt16, name: Name, type: RRType) {
      self.server = server
      self.name = name
      self.type = type
      hash = NameHash.of(NameHash.ofProcess(name.wire.span), type) ^ UInt64(server)
    }

    package static func == (left: Key, right: Key) -> Bool {
      left.hash == right.hash && left.server == right.server && left.type == right.type && left.name == right.name
    }

    /// By what was made of it at the start.
    package func hash(into hasher: inout Hasher) { hasher.combine(hash) }
  }

  /// An answer whose addresses are to be opened.
  package struct Answer {
    package var key: Key
    package var addresses: [IPAddress]
    /// Transport and port pairs to open for each address; (0, 0) opens every port.
    package var targets: [(transport: UInt8, port: UInt16)]
    /// The byte caps of the rule; an element gets those of every rule that holds it.
    package var caps: UInt16
    /// The same for some TCP ports alone.
    package var portCaps: (caps: UInt16, ports: [UInt16])
    /// In nanoseconds.
    package var ttl: UInt64
    /// When the rule's time is over, on the ledger's clock: the grant ends by then.
    package var notAfter: UInt64
    package var terms: GrantTerms

    package init(
      key: Key, addresses: [IPAddress], targets: [(transport: UInt8, port: UInt16)], caps: UInt16 = 0,
      portCaps: (caps: UInt16, ports: [UInt16]) = (0, []), ttl: UInt64,
      notAfter: UInt64 = .max, terms: GrantTerms = GrantTerms()
    ) {
      self.key = key
      self.addresses = addresses
      self.targets = targets
      self.caps = caps
      self.portCaps = portCaps
      self.ttl = ttl
      self.notAfter = notAfter
      self.terms = terms
    }
  }

  /// An element that the kernel holds from an earlier run.
  package struct Inherited {
    package var key: Key
    package var element: GrantElement
    /// When the kernel ends it.
    package var until: UInt64
    /// What is to bound it; which of them the kernel knows is not known, so that the next answer asks again.
    package var caps: UInt16
    /// When it was opened first, if that is known.
    package var opened: UInt64?
    /// Until when it is exempt from eviction.
    package var answerUntil: UInt64
    package var terms: GrantTerms

    package init(
      key: Key, element: GrantElement, until: UInt64, caps: UInt16 = 0, opened: UInt64? = nil,
      answerUntil: UInt64 = .max, terms: GrantTerms = GrantTerms()
    ) {
      self.key = key
      self.element = element
      self.until = until
      self.caps = caps
      self.opened = opened
      self.answerUntil = answerUntil
      self.terms = terms
    }
  }

  /// What a question wants of an element that it holds, whatever the kernel has acknowledged.
  package struct Wish: Equatable, Sendable {
    /// Nanoseconds of the monotonic clock, as `opened`.
    package var until: UInt64
    package var opened: UInt64
    package var terms: GrantTerms

    package init(until: UInt64, opened: UInt64, terms: GrantTerms = GrantTerms()) {
      (self.until, self.opened, self.terms) = (until, opened, terms)
    }
  }

  /// What an answer needs before it may be handed out.
  package struct Plan: Sendable {
    package var elements: [GrantElement]
    /// The elements that the kernel does not hold yet, or not for long enough.
    package var commits: [GrantCommit]
    /// What must be closed in the kernel, before the commits are sent, to make room.
    package var evictions: [GrantElement]

    package init(elements: [GrantElement], commits: [GrantCommit], evictions: [GrantElement] = []) {
      self.elements = elements
      self.commits = commits
      self.evictions = evictions
    }
  }

  /// What ended before its time.
  package struct Ended {
    /// Elements that no other question of their server holds.
    package var closed: [GrantElement] = []
    /// What others hold, for a shorter time.
    package var shortened: [GrantCommit] = []
    /// Each element once for each question that held it.
    package var released: [(key: Key, element: GrantElement)] = []
  }

  /// Why nothing can be opened.
  package enum CapacityError: Error, Equatable, Sendable {
    /// The server or the name holds as many elements as it may and live answers promise too many of them, or as many
    /// names are open.
    case setFull
  }

  /// Why something was closed before its time.
  package enum Ending: String, Sendable {
    /// The policy lists it no more, or its time there is over.
    case policy
    /// By a command.
    case `operator`
    /// Another answer needed the room.
    case room
    /// It was open in an earlier run, and is not since this one began.
    case restart
  }

  /// What was open and is not any more. Times are nanoseconds of the monotonic clock.
  package struct Closed: Equatable, Sendable {
    /// The name that last stood for the address.
    package var name: Name
    package var opened: UInt64
    package var closed: UInt64
    /// nil where its time was over.
    package var ending: Ending?
  }

  /// What a packet met.
  package enum GrantStatus: Equatable, Sendable {
    /// It was open, for this name.
    case open(Name)
    /// The address was open for this name, but not this port.
    case wrongPort(Name)
    /// The address had been open.
    case closed(Closed)
    /// Only another server had resolved it.
    case resolvedByOther(Name)
    case neverResolved

    /// The name that the server had the address for.
    package var name: Name? {
      switch self {
      case .open(let name), .wrongPort(let name): name
      case .closed(let closed): closed.name
      case .resolvedByOther, .neverResolved: nil
      }
    }
  }

  /// How long an answer with a given TTL keeps its addresses open.
  package struct Lifetimes: Sendable {
    /// Nanoseconds, as the others.
    package var minimum: UInt64
    /// Added to the TTL.
    package var grace: UInt64
    package var maximum: UInt64

    /// Nanoseconds each; a grant lives clamp(TTL + grace, minimum, maximum).
    package init(minimum: UInt64, grace: UInt64, maximum: UInt64) {
      self.minimum = minimum
      self.grace = grace
      self.maximum = maximum
    }

    /// How long an answer's addresses are open, in nanoseconds like `ttl`.
    package func lifetime(ofTTL ttl: UInt64) -> UInt64 {
      min(max(ttl + grace, minimum), maximum)
    }

    /// What must remain of an existing grant so that a new answer need not extend it.
    func required(byTTL ttl: UInt64) -> UInt64 {
      min(ttl + grace, maximum)
    }
  }
}
