package import ControlAPI
package import DNSWire
package import EgressPolicy
package import IPNetwork
package import Resolver
package import Zones

/// Says what a query or a connection of a server would get, and why: by one policy, its zones and its rules.
package struct Explainer {
  /// Servers of which the firewall has no set for IPv6 addresses, by their place in the policy. The files alone do not say:
  /// there may be some in mode `sets`, where the sets are the user's.
  package var withoutIPv6: Set<Int> = []
  /// With the entries whose time is over.
  private let whole: PolicySnapshot
  private let inForce: PolicySnapshot
  private let zones: LocalZones
  private let rules: ResolverRules
  private let host: ExplainedHost
  /// Who is asked for names of no forwarded zone.
  package var upstreams: [String] = []
  package var forwards = ForwardZones()

  /// - Parameter now: seconds since 1970, at which the question is asked.
  package init(
    _ whole: PolicySnapshot, _ zones: LocalZones, _ rules: ResolverRules, _ host: ExplainedHost, now: UInt64
  ) {
    self.whole = whole
    self.zones = zones
    self.rules = rules
    self.host = host
    inForce = PolicySnapshot(whole.servers.map { $0.inForce(at: now) })
  }

  /// By what is in force, with the sets that the bridge found for each server.
  ///
  /// - Parameter now: seconds since 1970, at which the question is asked.
  package init(_ snapshot: ResolverSnapshot, _ host: ExplainedHost, now: UInt64) {
    self.init(snapshot.policy, snapshot.zones, snapshot.rules, host, now: now)
    withoutIPv6 = Set(snapshot.servers.indices.filter { !snapshot.servers[$0].opensIPv6 })
  }

  // MARK: - Queries

  /// What a query gets.
  ///
  /// - Parameters:
  ///   - server: its place in the policy; nil for a client of none.
  ///   - client: the address that it comes from, where one is known.
  package func explain(
    _ name: Name, _ type: RRType, of server: Int?, client: IPAddress? = nil
  ) -> ControlAPI.Explanation {
    guard let server else {
      var unknown = ControlAPI.Explanation(decision: .block, code: .unknownClient)
      (unknown.name, unknown.type) = (name.description, type.description)
      // From a network that is closed no query comes.
      unknown.answer = client.map(host.refuses) == true ? .drop : rules.unknownClients.answer
      return unknown
    }
    let question = question(name, type, of: server)
    var found = decided(question)
    (found.server, found.name, found.type) = (inForce.servers[server].name.text, name.description, type.description)
    guard let rule = question.rule else { return found }
    found.take(rule)
    found.list = inForce.servers[server].list(of: rule.location)?.text
    guard found.decision != .local else { return found }
    found.types = rule.types.map(\.description)
    guard found.decision == .allow else { return found }
    found.ports = rule.ports.texts
    let admitted = rule.privatePrefixes + forwards.privatePrefixes(of: [name.wire])
    found.private = admitted.isEmpty ? nil : admitted.map(\.description)
    if found.answer == .upstream {
      let zone = forwards.zone(of: name.wire)
      found.forward = zone?.zone.description
      found.upstreams = zone?.upstreams ?? upstreams
    }
    found.cname = rule.cname == .follow ? nil : rule.cname.rawValue
    found.dnssec = found.answer == .upstream && rule.dnssec != .off ? rule.dnssec.rawValue : nil
    (found.maxBytes, found.maxBytesExcess) = (rule.maxBytes?.bytes, rule.maxBytes?.excess.rawValue)
    (found.maxBytesPerHour, found.maxBytesPerHourExcess) =
      (rule.maxBytesPerHour?.bytes, rule.maxBytesPerHour?.excess.rawValue)
    (found.verifiedPorts, found.ech) = (rule.check?.texts, rule.check?.hiding.rawValue)
    found.inspect = rule.check?.inspector?.description
    found.until = rule.until.map { ControlAPI.time(seconds: $0) }
    if let end = firstEnd(of: rule.pattern, server), end != rule.until {
      found.inPartUntil = ControlAPI.time(seconds: end)
    }
    return found
  }

  private func question(_ name: Name, _ type: RRType, of server: Int) -> DecidedQuestion {
    let facts = QueryFacts(name.wire.span, type, server: server, hash: inForce.nameHash)
    let decision = Decision.of(
      facts, name: name.wire.span, policy: inForce, zones: zones,
      answersIPv6: rules.answersIPv6(serverOpensIPv6: !withoutIPv6.contains(server)))
    let rule: EgressRule? =
      switch decision.verdict {
      case .allowed(let index), .typeNotAllowed(let index): inForce.rule(server: server, index: index)
      case .notListed, .denied: nil
      }
    return DecidedQuestion(name: name, type: type, server: server, facts: facts, decision: decision, rule: rule)
  }

  private func decided(_ question: DecidedQuestion) -> ControlAPI.Explanation {
    let isListed = question.rule != nil
    switch question.decision.enforcement {
    case .deny(let denial):
      var found = isListed ? ControlAPI.Explanation(decision: .block, code: .typeNotAllowed) : unlisted(question)
      found.take(rules.answer(to: denial), question.type)
      return found
    case .answerLocally:
      return isListed ? allowed(.localZone, opens: false) : local(.special, .localZone)
    case .keepLabel:
      return question.facts.labelCount == 0 ? local(.root, .nodata) : local(.singleLabel, .nxdomain)
    case .reverse(let address):
      var found = local(.reverseName, .openName)
      found.address = address.description
      let isLocal = Decision.ofUnopened(question.name.wire.span, zones: zones) != nil
      found.answerElse = isLocal ? .localZone : .nxdomain
      return found
    case .withoutIPv6: return allowed(.nodata, opens: false)
    case .openLocally: return allowed(.localZone, opens: opens(question.type))
    case .resolve: return allowed(.upstream, opens: opens(question.type))
    }
  }

  /// Whether addresses are opened before an answer of the type.
  private func opens(_ type: RRType) -> Bool { rules.opensFirewall && [.A, .AAAA, .HTTPS, .SVCB].contains(type) }

  private func allowed(_ answer: ControlAPI.Explanation.Answer, opens: Bool) -> ControlAPI.Explanation {
    var found = ControlAPI.Explanation(decision: .allow, code: .listed)
    (found.answer, found.opens) = (answer, opens)
    return found
  }

  private func local(
    _ code: ControlAPI.Explanation.Code, _ answer: ControlAPI.Explanation.Answer
  ) -> ControlAPI.Explanation {
    var found = ControlAPI.Explanation(decision: .local, code: code)
    found.answer = answer
    return found
  }

  /// Why no entry in force matches: none does, or its time is over.
  private func unlisted(_ question: DecidedQuestion) -> ControlAPI.Explanation {
    guard question.facts.isHostname else { return ControlAPI.Explanation(decision: .block, code: .notAHostName) }
    if case .denied(let index) = question.decision.verdict {
      var denied = ControlAPI.Explanation(decision: .block, code: .denied)
      denied.take(inForce.rule(server: question.server, index: index))
      return denied
    }
    switch whole.decide(server: question.server, name: question.name.wire.span, type: question.type) {
    // A denial has no end: it would be in force.
    case .notListed, .denied: return ControlAPI.Explanation(decision: .block, code: .notListed)
    case .allowed(let index), .typeNotAllowed(let index):
      let rule = whole.rule(server: question.server, index: index)
      var ended = ControlAPI.Explanation(decision: .block, code: .ended)
      ended.take(rule)
      ended.list = whole.servers[question.server].list(of: rule.location)?.text
      ended.until = rule.until.map { ControlAPI.time(seconds: $0) }
      return ended
    }
  }

  /// The first end among the entries that stand for a pattern.
  private func firstEnd(of pattern: NamePattern, _ server: Int) -> UInt64? {
    let policy = inForce.servers[server]
    guard policy.nextEnd(after: 0) != nil else { return nil }
    return policy.rules.lazy.filter { $0.pattern == pattern }.compactMap(\.until).min()
  }

  // MARK: - Connections

  /// What a connection to an address gets that no name was resolved to.
  ///
  /// - Parameters:
  ///   - port: nil for any.
  ///   - server: its place in the policy; nil for a client of none.
  ///   - client: the address that it comes from, where one is known.
  package func explain(
    _ address: IPAddress, _ port: PortRule?, of server: Int?, client: IPAddress? = nil
  ) -> ControlAPI.Explanation {
    var found = connection(address, port, of: server, client)
    (found.address, found.port) = (address.description, port?.description)
    found.server = server.map { inForce.servers[$0].name.text }
    return found
  }

  private func connection(
    _ address: IPAddress, _ port: PortRule?, of server: Int?, _ client: IPAddress?
  ) -> ControlAPI.Explanation {
    if let decision = host.unenforced { return ControlAPI.Explanation(decision: decision, code: .notEnforced) }
    guard let server else { return unknown(address, port, client) }
    let policy = inForce.servers[server]
    if host.has(address) {
      return host.takes(port, at: address, of: policy)
        ? ControlAPI.Explanation(decision: .allow, code: .host)
        : ControlAPI.Explanation(decision: .block, code: .hostFence)
    }
    let owner = inForce.clients.server(of: address)
    if owner == server { return ControlAPI.Explanation(decision: .allow, code: .ownNetwork) }
    if let denial = inForce.denial(of: address, server: server) {
      var found = ControlAPI.Explanation(decision: .block, code: .denied)
      (found.rule, found.pattern, found.layer) = (denial.location.description, denial.text, denial.layer)
      return found
    }
    let around = policy.prefixes.filter { $0.prefix.contains(address) }
    let open = around.filter { rule in port.map { PortSet([$0]).isWithin(rule.ports) } ?? true }
    // What one server may reach is no way around what another one lets in.
    if let owner {
      var other = ControlAPI.Explanation(
        decision: !open.isEmpty && letsIn(owner, port) ? .allow : .block, code: .otherServer)
      other.other = inForce.servers[owner].name.text
      other.take(open.first ?? around.first, among: around, of: policy)
      return other
    }
    var found =
      around.isEmpty
      ? ControlAPI.Explanation(decision: .block, code: .rawAddress)
      : open.isEmpty
        ? ControlAPI.Explanation(decision: .block, code: .wrongPort)
        : ControlAPI.Explanation(decision: .allow, code: .cidr)
    found.take(open.first ?? around.first, among: around, of: policy)
    return found
  }

  /// A client of no server has no rule, but where its network is closed, or what it connects to is a server's.
  private func unknown(_ address: IPAddress, _ port: PortRule?, _ client: IPAddress?) -> ControlAPI.Explanation {
    if let client, host.refuses(client) { return ControlAPI.Explanation(decision: .block, code: .unknownClient) }
    guard !host.has(address), let owner = inForce.clients.server(of: address) else {
      return ControlAPI.Explanation(decision: .allow, code: .notEnforced)
    }
    var other = ControlAPI.Explanation(decision: letsIn(owner, port) ? .allow : .block, code: .otherServer)
    other.other = inForce.servers[owner].name.text
    return other
  }

  /// Whether a server's `inbound:` has the port; nil stands for any one of it.
  private func letsIn(_ server: Int, _ port: PortRule?) -> Bool {
    guard let inbound = inForce.servers[server].inbound else { return false }
    return port.map { PortSet([$0]).isWithin(inbound) } ?? true
  }
}

/// A question of a server's client, and what is decided about it.
private struct DecidedQuestion {
  let name: Name
  let type: RRType
  let server: Int
  let facts: QueryFacts
  let decision: Decision
  /// The entry that lists the name, whether for this type or not.
  let rule: EgressRule?
}

extension ControlAPI.Explanation {
  /// The entry that decides, by its place.
  fileprivate mutating func take(_ rule: EgressRule) {
    (self.rule, pattern, layer) = (rule.location.description, rule.pattern.description, rule.layer)
  }

  fileprivate mutating func take(_ sinkhole: SinkholeAnswer, _ type: RRType) {
    switch sinkhole {
    case .nxdomain: answer = .nxdomain
    case .nodata: answer = .nodata
    case .empty: answer = .refused
    case .addresses(let all):
      let found = all.filter { $0.type == type }
      answer = found.isEmpty ? .nodata : .addresses
      addresses = found.isEmpty ? nil : found.map(\.description)
    }
  }

  /// The entry that decides, and all that open the address.
  fileprivate mutating func take(_ rule: StaticPrefixRule?, among all: [StaticPrefixRule], of policy: ServerPolicy) {
    guard let rule else { return }
    (self.rule, pattern, layer) = (rule.location.description, rule.text, rule.layer)
    list = policy.list(of: rule.location)?.text
    ports = rule.ports.texts
    (maxBytes, maxBytesExcess) = (rule.maxBytes?.bytes, rule.maxBytes?.excess.rawValue)
    until = rule.until.map { ControlAPI.time(seconds: $0) }
    if all.count > 1 { prefixes = all.map { ControlAPI.OpenPrefix($0, of: policy) } }
  }
}

extension ControlAPI.OpenPrefix {
  package init(_ rule: StaticPrefixRule, of policy: ServerPolicy) {
    self.init(
      server: policy.name.text, prefix: rule.prefix.description, ports: rule.ports.texts,
      rule: rule.location.description, maxBytes: rule.maxBytes?.bytes,
      until: rule.until.map { ControlAPI.time(seconds: $0) })
    maxBytesExcess = rule.maxBytes?.excess.rawValue
  }
}

extension ServerPolicy {
  /// What is open without any name, as the control API tells it.
  package var openPrefixes: [ControlAPI.OpenPrefix] { prefixes.map { ControlAPI.OpenPrefix($0, of: self) } }
}

extension ResolverRules.UnknownClients {
  fileprivate var answer: ControlAPI.Explanation.Answer {
    switch self {
    case .nxdomain: .nxdomain
    case .refused: .refused
    case .drop: .drop
    }
  }
}
