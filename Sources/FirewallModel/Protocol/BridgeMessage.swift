package import GrantLedger
package import IPNetwork

/// One grant on its way: `unit` groups the grants of one answer, which are committed or refused together.
package struct UnitGrant: Hashable, Sendable {
  package var unit: UInt32
  package var commit: GrantCommit

  package init(unit: UInt32, commit: GrantCommit) {
    self.unit = unit
    self.commit = commit
  }
}

/// Why the kernel, or the bridge before it, did not take a unit.
package struct BridgeRefusal: Hashable, Sendable, CustomStringConvertible {
  /// Why, as a number of the protocol.
  package enum Reason: UInt8, Sendable {
    case setFull = 1
    case missingSet = 2
    case notPermitted = 3
    /// The element's server or family does not exist in the plan.
    case noSuchServer = 4
    /// Made for another plan than the bridge holds.
    case otherPlan = 5
    case wrongShape = 6
    case failed = 7
    /// More waits already than may wait.
    case overloaded = 8
    /// The configuration's files do not allow it.
    case outside = 9
  }

  package var reason: Reason
  /// The kernel's error number, or 0.
  package var errno: Int32

  package init(_ reason: Reason, errno: Int32 = 0) {
    self.reason = reason
    self.errno = errno
  }

  package var description: String { errno == 0 ? "\(reason)" : "\(reason) (errno \(errno))" }
}

/// A unit that was not committed.
package struct RefusedUnit: Hashable, Sendable {
  package var unit: UInt32
  package var refusal: BridgeRefusal

  package init(unit: UInt32, refusal: BridgeRefusal) {
    self.unit = unit
    self.refusal = refusal
  }
}

/// An element as the kernel holds it.
package struct ListedElement: Hashable, Sendable {
  package var element: GrantElement
  /// Milliseconds until it expires; 0 when it never does.
  package var remainingMilliseconds: UInt32

  package init(element: GrantElement, remainingMilliseconds: UInt32) {
    self.element = element
    self.remainingMilliseconds = remainingMilliseconds
  }
}

/// What went to an open element since it was last said: octets of whole packets, IP headers included.
package struct ElementVolume: Hashable, Sendable {
  package var element: GrantElement
  package var octets: UInt64
  package var packets: UInt64

  package init(element: GrantElement, octets: UInt64, packets: UInt64) {
    self.element = element
    self.octets = octets
    self.packets = packets
  }
}

/// What went to a prefix that is open without a name since it was last said: octets of whole packets, IP headers included.
package struct PrefixVolume: Hashable, Sendable {
  /// The index in the plan's list of servers.
  package var server: UInt16
  package var prefix: IPPrefix
  package var octets: UInt64
  package var packets: UInt64

  package init(server: UInt16, prefix: IPPrefix, octets: UInt64, packets: UInt64) {
    self.server = server
    self.prefix = prefix
    self.octets = octets
    self.packets = packets
  }
}

/// A packet that the table refused, or told of, as the kernel's log told the bridge.
package struct RefusedConnection: Hashable, Sendable {
  /// Which rule refused it, as a number of the protocol.
  package enum Kind: UInt8, Sendable {
    /// Nothing admitted it.
    case closed = 1
    /// The connection had sent as much as its rule allows.
    case maxBytes = 2
    /// The destination had got as much in an hour as its rule allows.
    case maxBytesPerHour = 3
    /// It came by an interface, or from an address, that is not its server's.
    case spoofed = 4
    /// It was meant for the host itself.
    case host = 5
    /// Its network was governed once, and is not released.
    case held = 6
    /// It was meant for a server that admits no connection at this port.
    case inbound = 7
    /// The gate could not connect there a moment ago.
    case unreachable = 9
    /// It belongs to no connection: a reset after its end, a segment out of its window, flags that no connection begins with.
    case unconnected = 8
    /// It passed: the connection, or the destination in an hour, got more than an entry wants to be told of.
    case overMaxBytes = 10
    case overMaxBytesPerHour = 11
    /// Its network is denied, whatever opens it.
    case denied = 12

    /// Whether a bound on octets was met, with the octets of the connection in place of the packet's.
    package var isExcess: Bool {
      switch self {
      case .maxBytes, .maxBytesPerHour, .overMaxBytes, .overMaxBytesPerHour: true
      case .closed, .spoofed, .host, .held, .inbound, .unreachable, .unconnected, .denied: false
      }
    }

    /// Whether it was refused; else it is only told of.
    package var isRefusal: Bool { self != .overMaxBytes && self != .overMaxBytesPerHour }
  }

  /// The index in the plan's list of servers; nil where only the source says whose it was.
  package var server: UInt16?
  package var kind: Kind
  package var source: IPAddress
  package var sourcePort: UInt16
  package var destination: IPAddress
  /// The IP protocol number; ports are 0 where it has none.
  package var transport: UInt8
  package var port: UInt16
  /// Octets of the packet; of an excess those that its connection sent, as far as that is known.
  package var length: UInt32
  /// When the kernel refused it: nanoseconds since 1970.
  package var time: UInt64

  package init(
    server: UInt16?, kind: Kind, source: IPAddress, sourcePort: UInt16, destination: IPAddress, transport: UInt8,
    port: UInt16, length: UInt32, time: UInt64
  ) {
    self.server = server
    self.kind = kind
    self.source = source
    self.sourcePort = sourcePort
    self.destination = destination
    self.transport = transport
    self.port = port
    self.length = length
    self.time = time
  }
}

/// What was refused of one server in a stretch of time, and how much of it was told.
package struct RefusalBook: Hashable, Sendable {
  /// The server's name; `host` for what is the host's.
  package var server: String
  /// Packets that the kernel counted, and those that a `RefusedConnection` was told of.
  package var refused: UInt64
  package var told: UInt64
  /// Nanoseconds since 1970; it ends with the message.
  package var since: UInt64
  /// When the counter had been read last before something took it away; 0 where nothing did. `refused` is what is known.
  package var cutSince: UInt64

  package init(server: String, refused: UInt64, told: UInt64, since: UInt64, cutSince: UInt64) {
    self.server = server
    self.refused = refused
    self.told = told
    self.since = since
    self.cutSince = cutSince
  }
}

/// What other processes did to the table.
package struct TableChange: OptionSet, Hashable, Sendable {
  package let rawValue: UInt16

  package init(rawValue: UInt16) {
    self.rawValue = rawValue
  }

  package static let elementsAdded = TableChange(rawValue: 1)
  package static let elementsRemoved = TableChange(rawValue: 2)
  package static let setRemoved = TableChange(rawValue: 4)
  package static let tableRemoved = TableChange(rawValue: 8)
  package static let rulesChanged = TableChange(rawValue: 16)
  /// Notifications were lost: anything may have happened.
  package static let unknown = TableChange(rawValue: 32)
  /// The bridge put table, sets and rules back (without their elements).
  package static let reinstalled = TableChange(rawValue: 64)
  package static let all = TableChange(rawValue: 127)
}

/// Which sets of one server exist and can be fed.
package struct ServerSets: OptionSet, Hashable, Sendable {
  package let rawValue: UInt8

  package init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  package static let v4 = ServerSets(rawValue: 1)
  package static let v6 = ServerSets(rawValue: 2)
  package static let anyPort4 = ServerSets(rawValue: 4)
  package static let anyPort6 = ServerSets(rawValue: 8)
  /// The set of that family holds plain addresses (mode `sets` only): ports are the user's matter.
  package static let plain4 = ServerSets(rawValue: 16)
  package static let plain6 = ServerSets(rawValue: 32)
  package static let all = ServerSets(rawValue: 63)
}

/// How an element that exists gets a new lifetime on this kernel.
package enum RefreshMethod: UInt8, Sendable {
  /// `timeout T expires T` moves a live element's end (Linux 6.12 and later).
  case inPlace = 1
  /// `add; delete; add` in one transaction: works everywhere, resets counters.
  case replace = 2
}

/// What a new worker says first.
package struct BridgeGreeting: Hashable, Sendable {
  package var incarnation: UInt64
  package var refresh: RefreshMethod
  /// The kernel's ruleset generation when the table was found in order.
  package var generation: UInt32
  /// Fingerprint of the plan the worker holds; 0 without one.
  package var plan: UInt64
  package var servers: [ServerSets]

  package init(incarnation: UInt64, refresh: RefreshMethod, generation: UInt32, plan: UInt64, servers: [ServerSets]) {
    self.incarnation = incarnation
    self.refresh = refresh
    self.generation = generation
    self.plan = plan
    self.servers = servers
  }
}

/// The closed set of what crosses the socketpair; nothing in it comes from the network but addresses.
package enum BridgeMessage: Hashable, Sendable {
  // To the bridge.
  /// A part of an encoded plan; the last one installs it.
  case planPart(request: UInt32, index: UInt16, count: UInt16, octets: [UInt8])
  case grants(batch: UInt32, plan: UInt64, grants: [UnitGrant])
  /// `cutsFlows`: connections that the elements admitted end too.
  case revoke(request: UInt32, plan: UInt64, cutsFlows: Bool, elements: [GrantElement])
  case listServer(request: UInt32, plan: UInt64, server: UInt16)
  /// The gate could not connect to these: new connections there are refused for a while.
  case unreachable(request: UInt32, plan: UInt64, elements: [GrantElement])
  case removeTable(request: UInt32, table: String)
  case ping(request: UInt32)
  /// Which of these still carry connections; answered with pages of those that do.
  case inUse(request: UInt32, plan: UInt64, elements: [GrantElement])
  /// Nothing is told after this: what was refused until now makes up the last books, which come before the answer.
  case closeBooks(request: UInt32)
  /// The configuration's files may say something else: the bridge reads them again.
  case readAgain(request: UInt32)

  // From the bridge.
  case hello(BridgeGreeting)
  /// Every unit of the batch that is not named here is committed.
  case outcome(batch: UInt32, refused: [RefusedUnit])
  /// `flows`: how many connections were cut.
  case done(request: UInt32, refusal: BridgeRefusal?, flows: UInt32, text: String)
  case page(request: UInt32, last: Bool, elements: [ListedElement])
  /// `servers`: in whose sets another process put or removed elements, where that is known.
  case foreignChange(TableChange, servers: [UInt16])
  case volumes([ElementVolume])
  case prefixVolumes([PrefixVolume])
  case refusals([RefusedConnection])
  case books([RefusalBook])
  /// Whether what the table refuses is read: false while another program has the group of the kernel's log.
  case refusalsRead(Bool)
  /// Which interfaces are enclosed, and which networks no interface encloses.
  case enclosure(EnclosureReport)
  /// Something that lessens what the bridge can tell, and nothing else.
  case notice(String)
  /// Another process took something out of the table just now: nothing may leave a cache before it is committed again.
  case alarm
  /// The bridge is at work on something that takes long.
  case alive
  /// The bridge cannot work; `text` says why.
  case broken(incarnation: UInt64, text: String)
}
