package import IPNetwork

/// A network whose queries belong to one server.
package struct ServerNetwork: Hashable, Sendable {
  package let prefix: IPPrefix
  package let location: SourceLocation

  package init(prefix: IPPrefix, location: SourceLocation) {
    self.prefix = prefix
    self.location = location
  }
}

/// One policy document: a server, where its queries come from, and what it may reach.
package struct ServerPolicy: Sendable {
  package let name: ServerName
  package let networks: [ServerNetwork]
  /// When present, a query from `networks` on another interface belongs to no server.
  package let interface: String?
  /// Its ports that others than its own network and the host may connect to; nil for none.
  package let inbound: PortSet?
  /// Whether it may ask the host for an address (DHCP).
  package let asksDHCP: Bool
  package let rules: RuleList
  package let prefixes: [StaticPrefixRule]
  /// What entries without a `private` of their own admit, permits as well.
  package let privatePrefixes: [IPPrefix]
  /// Which chains entries without a `cname` of their own allow, permits as well.
  package let cname: ChainPolicy
  /// What entries that say nothing of it hold connections to, permits as well.
  package let nameChecks: NameCheckDefaults
  /// What entries that say nothing of it are bounded by, permits as well.
  package let limits: ByteLimits
  /// What is asked of signatures where no entry says it: of permits.
  package let dnssec: ValidationMode
  package let location: SourceLocation
  /// What it includes; the entries are among `rules` and `prefixes`.
  package var lists: [IncludedList] = []
  /// Names that its document denies, whatever allows them; of the entries their patterns alone count.
  package var denials: RuleList = []
  /// Networks that its document denies.
  package var deniedPrefixes: [PrefixDenial] = []
  /// What stands above its document: what that allows is in `rules` and `prefixes` too, what it denies not in `denials` and
  /// `deniedPrefixes`.
  package var layers: PolicyLayers?

  package init(
    name: ServerName, networks: [ServerNetwork], interface: String? = nil, inbound: PortSet? = nil,
    asksDHCP: Bool = false, rules: RuleList, prefixes: [StaticPrefixRule] = [],
    privatePrefixes: [IPPrefix] = [], cname: ChainPolicy = .follow, nameChecks: NameCheckDefaults = NameCheckDefaults(),
    limits: ByteLimits = ByteLimits(), dnssec: ValidationMode = .off, location: SourceLocation
  ) {
    self.cname = cname
    self.name = name
    self.networks = networks
    self.interface = interface
    self.inbound = inbound
    self.asksDHCP = asksDHCP
    self.rules = rules
    self.prefixes = prefixes
    self.privatePrefixes = privatePrefixes
    self.nameChecks = nameChecks
    self.limits = limits
    self.dnssec = dnssec
    self.location = location
  }

  /// The same server, with other names and prefixes to reach.
  package func reaching(_ rules: RuleList, _ prefixes: [StaticPrefixRule]) -> ServerPolicy {
    var policy = ServerPolicy(
      name: name, networks: networks, interface: interface, inbound: inbound, asksDHCP: asksDHCP, rules: rules,
      prefixes: prefixes, privatePrefixes: privatePrefixes, cname: cname, nameChecks: nameChecks, limits: limits,
      dnssec: dnssec, location: location)
    policy.lists = lists
    (policy.denials, policy.deniedPrefixes, policy.layers) = (denials, deniedPrefixes, layers)
    return policy
  }

  /// Whether an entry, or a permit, takes chains of listed names alone.
  var limitsChains: Bool { cname == .listed || rules.limitsChains }

  /// Every prefix that an entry, or a permit, may list as `private`.
  package var privateReach: Set<IPPrefix> { rules.privatePrefixes.union(privatePrefixes) }
}
