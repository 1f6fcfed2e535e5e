package import EgressPolicy
package import GrantLedger
package import IPNetwork

/// What the configuration's files allow at the most: the bound within which the bridge does what serve asks for.
///
/// Serve parses what comes from outside, so that the bridge does not take its word for what policy is. The envelope is read
/// from the files, once before serve hears anything from outside and then by a process of its own that ends, whenever
/// serve announces a reload. It holds no names: that an address is one of an allowed name stays serve's word.
package struct Envelope: Hashable, Sendable {
  /// What one server may have opened for names.
  package struct Reach: Hashable, Sendable {
    /// Those that rules with names open; nil for every port and protocol.
    package var ports: [PortRule]?
    /// Special-use prefixes that some rule lists as `private`.
    package var privatePrefixes: [IPPrefix]
    /// TCP ports at which no rule and no permit opens an address to connections that need not say its name.
    package var checkedPorts: [UInt16]

    package init(ports: [PortRule]?, privatePrefixes: [IPPrefix] = [], checkedPorts: [UInt16] = []) {
      self.ports = ports
      self.privatePrefixes = privatePrefixes
      self.checkedPorts = checkedPorts
    }
  }

  /// What operators may allow for a time beside the files.
  package enum PermitPorts: UInt8, Sendable {
    case none = 0
    /// Ports that a rule of the server opens, and those of a rule that names none.
    case listed = 1
    case any = 2
  }

  /// What the files make of every rule, whatever its time: no plan may hold more. That a server `checksNames` is what no plan may
  /// leave out; so it stands here only where it holds whatever the time.
  package var plan: FirewallPlan
  /// By the name of the server.
  package var reaches: [String: Reach]
  package var permitPorts: PermitPorts
  /// Those of a rule that names none.
  package var permitDefaults: [PortRule]
  /// No element lives longer.
  package var maxLifetimeMilliseconds: UInt32
  /// What local zones answer: the operator's own word, whatever the address.
  package var zoneAddresses: Set<IPAddress>

  package init(
    plan: FirewallPlan, reaches: [String: Reach], permitPorts: PermitPorts, permitDefaults: [PortRule],
    maxLifetimeMilliseconds: UInt32, zoneAddresses: Set<IPAddress> = []
  ) {
    self.plan = plan
    self.reaches = reaches
    self.permitPorts = permitPorts
    self.permitDefaults = permitDefaults
    self.maxLifetimeMilliseconds = maxLifetimeMilliseconds
    self.zoneAddresses = zoneAddresses
  }

  /// The same after a reload: policies, forwards, what is released and permits are as the files say now, other keys as they
  /// were at the start, because serve takes no others before it starts anew.
  package func reloaded(_ read: Envelope) -> Envelope {
    var next = read
    next.plan = plan
    next.plan.servers = read.plan.servers
    next.plan.released = read.plan.released
    next.plan.forwardUpstreams = read.plan.forwardUpstreams
    next.maxLifetimeMilliseconds = maxLifetimeMilliseconds
    next.zoneAddresses.formUnion(zoneAddresses)
    return next
  }

  // MARK: - Plans

  /// What of a plan the files do not allow, as a sentence; nil where they allow all of it.
  ///
  /// A server that no plan had yet may be missing. One that `former` has may not while the files have it: a wider network
  /// of another server would take its clients in, and nothing would keep others from it.
  ///
  /// - Parameter former: the plan in force, if there is one.
  package func excess(of plan: FirewallPlan, instead former: FirewallPlan? = nil) -> String? {
    if let key = keyExcess(of: plan) { return "its \(key) is not that of the configuration" }
    if let prefix = plan.released.first(where: { !self.plan.released.contains($0) }) {
      return "it releases \(prefix), which the configuration does not"
    }
    let allowed = Dictionary(self.plan.servers.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let present = Set(plan.servers.lazy.filter { !$0.isRetired }.map(\.name))
    for server in former?.servers ?? [] where !server.isRetired && !present.contains(server.name) {
      if let bound = allowed[server.name], !bound.isRetired {
        return "server \(server.name) is left out, which the files have"
      }
    }
    for server in plan.servers where !server.isRetired {
      guard let bound = allowed[server.name] else { return "server \(server.name) is in no file" }
      if let prefix = bound.deniedPrefixes.first(where: { !server.deniedPrefixes.contains($0) }) {
        return "it does not deny \(prefix) to server \(server.name), which the files do"
      }
      if let excess = excess(of: server, beyond: bound) { return "\(excess) of server \(server.name) is in no file" }
    }
    return nil
  }

  private func keyExcess(of plan: FirewallPlan) -> String? {
    if plan.mode != self.plan.mode { return "mode" }
    if plan.family != self.plan.family || plan.table != self.plan.table { return "table" }
    if Set(plan.listeners) != Set(self.plan.listeners) { return "list of listen addresses" }
    if Set(plan.upstreams) != Set(self.plan.upstreams) { return "list of upstreams" }
    if Set(plan.forwardUpstreams) != Set(self.plan.forwardUpstreams) { return "list of upstreams of forwards" }
    if plan.fencesInput != self.plan.fencesInput { return "input fence" }
    if plan.cutsFlows != self.plan.cutsFlows { return "cut-flows" }
    if plan.isExclusive != self.plan.isExclusive { return "exclusive" }
    if plan.nflogGroup != self.plan.nflogGroup { return "group of the kernel's log" }
    if plan.gate != self.plan.gate { return "gate" }
    return nil
  }

  private func excess(of server: FirewallPlan.Server, beyond bound: FirewallPlan.Server) -> String? {
    if Set(server.prefixes) != Set(bound.prefixes) { return "a network" }
    if server.interface != bound.interface { return "the interface" }
    if server.asksDHCP && !bound.asksDHCP { return "dhcp" }
    if server.opensAnyPort && !bound.opensAnyPort && permitPorts != .any { return "a rule for any port" }
    if bound.checksNames && !server.checksNames { return "that no name has to be said" }
    if !Set(server.inspectors).isSubset(of: bound.inspectors) { return "an inspector" }
    if let inbound = server.inbound {
      guard let allowed = bound.inbound, inbound.isWithin(allowed) else { return "an inbound port" }
    }
    for rule in server.staticRules {
      let isAllowed = bound.staticRules.contains { other in
        rule.prefix == other.prefix && rule.ports.isWithin(other.ports)
          && rule.refusedBeyond <= other.refusedBeyond
      }
      guard isAllowed else { return "the open prefix \(rule.prefix)" }
    }
    return nil
  }

  // MARK: - Elements

  /// What `plan`, which lies within this, may open.
  package func limits(of plan: FirewallPlan, sets: [ServerSets]) -> ElementLimits {
    // As the files say it: a plan may deny more.
    let denied = Dictionary(
      self.plan.servers.map { ($0.name, $0.deniedPrefixes) }, uniquingKeysWith: { first, _ in first })
    let servers = plan.servers.enumerated().map { index, server in
      let reach = reaches[server.name] ?? Reach(ports: [])
      let has = index < sets.count ? sets[index] : []
      var plain: Set<IPAddress.Family> = []
      if has.contains(.plain4) { plain.insert(.v4) }
      if has.contains(.plain6) { plain.insert(.v6) }
      return ElementLimits.Server(
        ports: permitPorts == .any
          ? nil : reach.ports.map { Set($0 + (permitPorts == .listed ? permitDefaults : [])) },
        plainFamilies: plain, privatePrefixes: reach.privatePrefixes, checkedPorts: Set(reach.checkedPorts),
        deniedPrefixes: denied[server.name] ?? [],
        hasReach: reaches[server.name] != nil)
    }
    // Networks that the files have are other servers', whether the plan has those or not.
    let known = Set(plan.servers.lazy.filter { !$0.isRetired }.map(\.name))
    let owners =
      plan.servers.enumerated().map { (index: UInt16(clamping: $0), prefixes: $1.prefixes) }
      + self.plan.servers.filter { !known.contains($0.name) }.map { (index: .max, prefixes: $0.prefixes) }
    return ElementLimits(
      servers: servers,
      networks: owners.flatMap { owner in
        owner.prefixes.map { ForbiddenAddresses.Network(prefix: $0, server: owner.index) }
      }, listeners: Set(plan.listeners.map(\.address)), maxLifetimeMilliseconds: maxLifetimeMilliseconds,
      zoneAddresses: zoneAddresses)
  }
}

/// What the elements of one plan may be.
package struct ElementLimits {
  /// What the elements of one server may be.
  package struct Server {
    /// nil for every port and protocol.
    var ports: Set<PortRule>?
    /// The families whose set holds addresses without ports.
    var plainFamilies: Set<IPAddress.Family>
    var privatePrefixes: [IPPrefix]
    /// TCP ports of which no element may do without the check.
    var checkedPorts: Set<UInt16>
    /// Whatever admits what is in them.
    var deniedPrefixes: [IPPrefix]
    /// Whether the files have the server.
    var hasReach: Bool

    /// The network that denies an address, or what it carries.
    fileprivate func denial(of address: IPAddress) -> IPPrefix? {
      guard !deniedPrefixes.isEmpty else { return nil }
      let forms = [address] + address.embedded
      return deniedPrefixes.first { prefix in forms.contains { prefix.contains($0) } }
    }
  }

  private let servers: [Server]
  private let networks: [ForbiddenAddresses.Network]
  private let listeners: Set<IPAddress>
  private let maxLifetimeMilliseconds: UInt32
  private let zoneAddresses: Set<IPAddress>
  private var forbidden: ForbiddenAddresses

  package init(
    servers: [Server], networks: [ForbiddenAddresses.Network], listeners: Set<IPAddress>,
    maxLifetimeMilliseconds: UInt32, zoneAddresses: Set<IPAddress>
  ) {
    self.servers = servers
    self.networks = networks
    self.listeners = listeners
    self.maxLifetimeMilliseconds = maxLifetimeMilliseconds
    self.zoneAddresses = zoneAddresses
    forbidden = ForbiddenAddresses(serverNetworks: networks, hostAddresses: listeners)
  }

  /// From now on the host's own addresses and what is on its links are known.
  package mutating func learn(hostAddresses: Set<IPAddress>, onLink: [IPPrefix]) {
    forbidden = ForbiddenAddresses(
      serverNetworks: networks, hostAddresses: hostAddresses.union(listeners), onLink: onLink)
  }

  /// Why no rule of the files can justify an element, as a part of a sentence; nil where one can.
  package func excess(of commit: GrantCommit) -> String? {
    let element = commit.element
    guard Int(element.server) < servers.count, servers[Int(element.server)].hasReach else {
      return "its server is in no file"
    }
    let server = servers[Int(element.server)]
    guard commit.lifetimeMilliseconds <= maxLifetimeMilliseconds else {
      return "\(commit.lifetimeMilliseconds) ms is longer than max-lifetime"
    }
    let isPlain =
      element.transport == 0 && element.port == 0 && server.plainFamilies.contains(element.address.family)
      && server.ports?.isEmpty != true
    if let ports = server.ports, !isPlain,
      !ports.contains(where: { $0.transport.rawValue == element.transport && $0.port == element.port })
    {
      return "no rule opens port \(element.port) of protocol \(element.transport)"
    }
    if commit.caps & NameCheck.capBit == 0, element.transport == PortRule.Transport.tcp.rawValue,
      server.checkedPorts.contains(element.port)
    {
      return "every rule for port \(element.port)/tcp has the name said"
    }
    if let denied = server.denial(of: element.address) { return "\(denied) is denied" }
    guard !zoneAddresses.contains(element.address) else { return nil }
    return forbidden.refusal(of: element.address, private: server.privatePrefixes, server: element.server)
      .map { "no answer may hold such an address (\($0.rawValue))" }
  }
}

extension FirewallPlan.Server {
  /// Whether nothing leads to it any more: only its number and sets are kept, and if it is gone the number alone. An interface
  /// would be closed for it.
  var isRetired: Bool {
    var bare = Self(name: name, prefixes: [], opensAnyPort: false)
    bare.isGone = isGone
    return self == bare
  }
}

extension [PortRule] {
  /// An empty list is every port.
  fileprivate func isWithin(_ other: Self) -> Bool {
    other.isEmpty || (!isEmpty && allSatisfy(other.contains))
  }
}

/// Why a configuration makes no envelope, as a sentence.
package struct EnvelopeError: Error {
  package var text: String

  package init(text: String) {
    self.text = text
  }
}

extension FirewallPlan.StaticRule {
  /// Octets beyond which it lets nothing through; what only audits does.
  fileprivate var refusedBeyond: UInt64 { maxBytes.flatMap { $0.excess == .block ? $0.bytes : nil } ?? .max }
}
