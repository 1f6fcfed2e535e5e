package import DNSWire

extension GrantLedger {
  /// The question whose answer promised addresses to a server.
  package struct Key: Hashable, Sendable {
    package var server: UInt16
    package var name: Name
    package var type: RRType

    package init(server: UInt16, name: Name, type: RRType) {
      self.server = server
      self.name = name
      self.type = type
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
    package var minimum: UInt64
    package var grace: UInt64
    package var maximum: UInt64

    /// Nanoseconds each; a grant lives clamp(TTL + grace, minimum, maximum).
    package init(minimum: UInt64, grace: UInt64, maximum: UInt64) {
      self.minimum = minimum
      self.grace = grace
      self.maximum = maximum
    }

    package func lifetime(ofTTL ttl: UInt64) -> UInt64 {
      min(max(ttl + grace, minimum), maximum)
    }

    /// What must remain of an existing grant so that a new answer need not extend it.
    func required(byTTL ttl: UInt64) -> UInt64 {
      min(ttl + grace, maximum)
    }
  }
}
