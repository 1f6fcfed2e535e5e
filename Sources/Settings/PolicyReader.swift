import DNSWire
import EgressPolicy
import IPNetwork

/// Turns one policy document into a `ServerPolicy`.
struct PolicyReader {
  static let documentKeys = [
    "server", "networks", "interface", "inbound", "dhcp", "private", "cname", "verify", "ech", "inspect", "limits",
    "dnssec", "include", "egress", "deny",
  ]
  static let entryKeys = [
    "host", "cidr", "ports", "types", "private", "max-bytes", "max-bytes-per-hour", "on-excess", "until", "cname",
    "verify", "ech", "inspect", "dnssec",
  ]

  var findings = FieldReader()
  /// The lists that documents may include.
  var lists = ListLibrary(folders: [])
  /// What the configuration admits for documents that say nothing of it.
  private let inherited: (privatePrefixes: [IPPrefix], cname: ChainPolicy)
  /// What the document that is read admits for entries that say nothing of it.
  private var privatePrefixes: [IPPrefix] = []
  /// Which chains it allows to such entries.
  private var cname = ChainPolicy.follow
  private let inheritedChecks: NameCheckDefaults
  /// What the document that is read holds connections to, where an entry says nothing of it.
  private var nameChecks: NameCheckDefaults
  private let inheritedLimits: ByteLimits
  /// What the document that is read bounds, where an entry says nothing of it.
  private var limits: ByteLimits
  /// What the configuration asks of signatures for documents that say nothing of it.
  private let inheritedMode: ValidationMode
  /// What the document that is read asks for entries that say nothing of it.
  private var dnssec = ValidationMode.off

  init(
    privatePrefixes: [IPPrefix] = [], cname: ChainPolicy = .follow, nameChecks: NameCheckDefaults = NameCheckDefaults(),
    limits: ByteLimits = ByteLimits(), dnssec: ValidationMode = .off
  ) {
    inherited = (privatePrefixes, cname)
    inheritedChecks = nameChecks
    self.nameChecks = nameChecks
    inheritedLimits = limits
    self.limits = limits
    inheritedMode = dnssec
  }

  /// The policy of `node`; nil when anything essential is wrong, which `findings` then says.
  mutating func document(_ node: YAMLNode) -> ServerPolicy? {
    let fields = findings.fields(node, of: "a policy document", keys: Self.documentKeys)
    guard node.isMapping else { return nil }
    let name = serverName(fields["server"], in: node)
    let networks = serverNetworks(fields["networks"], in: node)
    let interface = fields["interface"].flatMap { interfaceName($0) }
    let inbound = fields["inbound"].flatMap { self.inbound($0) }
    let asksDHCP = fields["dhcp"].flatMap { findings.boolean($0) } ?? false
    privatePrefixes = fields["private"].map { documentPrefixes($0) } ?? inherited.privatePrefixes
    cname = fields["cname"].flatMap { findings.chains($0) } ?? inherited.cname
    nameChecks = findings.nameChecks(fields, inheritedChecks)
    findings.requireChecks(nameChecks, fields, of: "a document")
    limits = fields["limits"].map { findings.limits($0, inheritedLimits) } ?? inheritedLimits
    dnssec = fields["dnssec"].flatMap { findings.word($0, ValidationMode.allCases) } ?? inheritedMode
    var rules = RuleList()
    var prefixes: [StaticPrefixRule] = []
    if let egress = fields["egress"] {
      for entry in findings.list(egress, of: "names") ?? YAMLChildren.none(in: egress) {
        read(entry, into: &rules, &prefixes)
      }
    } else if fields["include"] == nil {
      findings.error("key 'egress' is missing, expected a list of names ([] denies everything)", at: node.location)
    }
    let included = fields["include"].map { include($0, into: &rules, &prefixes) } ?? []
    let denials = fields["deny"].map { self.denials($0) } ?? ([], [])
    guard let name else { return nil }
    var policy = ServerPolicy(
      name: name, networks: networks, interface: interface, inbound: inbound, asksDHCP: asksDHCP, rules: rules,
      prefixes: prefixes, privatePrefixes: privatePrefixes, cname: cname, nameChecks: nameChecks, limits: limits,
      dnssec: dnssec, location: fields["server"]?.location ?? node.location)
    policy.lists = included
    (policy.denials, policy.deniedPrefixes) = denials
    return policy
  }

  /// The entries of an egress list that stands in no document of a server: what they do not say, the configuration does.
  mutating func entries(_ list: YAMLNode) -> (rules: RuleList, prefixes: [StaticPrefixRule]) {
    (privatePrefixes, cname, dnssec) = (inherited.privatePrefixes, inherited.cname, inheritedMode)
    (nameChecks, limits) = (inheritedChecks, inheritedLimits)
    var rules = RuleList()
    var prefixes: [StaticPrefixRule] = []
    for entry in findings.list(list, of: "names") ?? YAMLChildren.none(in: list) {
      read(entry, into: &rules, &prefixes)
    }
    return (rules, prefixes)
  }

  /// The rule of one entry of an egress list; none when anything about it is wrong.
  mutating func entry(_ node: YAMLNode, into rules: inout RuleList) {
    var prefixes: [StaticPrefixRule] = []
    read(node, into: &rules, &prefixes)
  }

  private mutating func serverName(_ node: YAMLNode?, in document: YAMLNode) -> ServerName? {
    guard let node else {
      findings.error("key 'server' is missing, expected the server's name", at: document.location)
      return nil
    }
    let expected = "a name of a-z, 0-9, '-' and '_' that begins with a letter"
    guard let text = findings.text(node, expected: expected) else { return nil }
    do {
      return try ServerName(text)
    } catch {
      let instead = error.expected(insteadOf: text)
      findings.error("server name \(Quoted.text(text)) \(error.reason), expected \(instead)", at: node.location)
      return nil
    }
  }

  private mutating func serverNetworks(_ node: YAMLNode?, in document: YAMLNode) -> [ServerNetwork] {
    guard let node else {
      findings.error("key 'networks' is missing, expected where the server's queries come from", at: document.location)
      return []
    }
    guard let elements = findings.list(node, of: "networks") else { return [] }
    var networks: [ServerNetwork] = []
    var isEmpty = true
    for element in elements {
      isEmpty = false
      if let prefix = findings.prefix(element) {
        networks.append(ServerNetwork(prefix: prefix, location: element.location))
      }
    }
    if isEmpty {
      findings.error("no networks, expected at least one: no query could be this server's", at: node.location)
    }
    return networks
  }

  /// Of Linux interface names, at most 15 octets, those that nft text can hold as they are.
  private mutating func interfaceName(_ node: YAMLNode) -> String? {
    let expected = "a network interface such as br-mcp-github"
    guard let text = findings.text(node, expected: expected) else { return nil }
    let isName = text.utf8.allSatisfy {
      ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F
    }
    guard isName, text.utf8.count <= 15, text != ".", text != ".." else {
      findings.reject(node, expected: expected)
      return nil
    }
    return text
  }

  mutating func read(_ entry: YAMLNode, into rules: inout RuleList, _ prefixes: inout [StaticPrefixRule]) {
    if !entry.isMapping {
      if let pattern = pattern(entry) {
        let check = nameChecks.check(of: .https)
        sayWhatIsNotInspected(pattern, .https, check, nameChecks.inspector, at: (entry, nil))
        rules.append(
          EgressRule(
            pattern: pattern, privatePrefixes: privatePrefixes, cname: cname, maxBytes: limits.maxBytes,
            maxBytesPerHour: limits.maxBytesPerHour, dnssec: dnssec, check: check, location: entry.location))
      }
      return
    }
    if let form = pasted(entry) {
      findings.error("an entry \(form.what), expected \(form.instead)", at: entry.location)
      return
    }
    let fields = findings.fields(entry, of: "an egress entry", keys: Self.entryKeys)
    let ports = fields["ports"].map { self.ports($0) } ?? .https
    let types = fields["types"].map { self.types($0) } ?? EgressRule.defaultTypes
    let privatePrefixes = fields["private"].map { findings.prefixes($0) } ?? self.privatePrefixes
    let cname = fields["cname"].flatMap { findings.chains($0) } ?? self.cname
    let limits = findings.limits(fields, self.limits)
    let until = fields["until"].flatMap { findings.time($0) }
    let dnssec = fields["dnssec"].flatMap { findings.word($0, ValidationMode.allCases) } ?? self.dnssec
    switch (fields["host"], fields["cidr"]) {
    case (let host?, nil):
      guard let pattern = pattern(host), let ports, let types,
        let (open, check) = checked(ports, fields, pattern, at: entry)
      else { return }
      rules.append(
        EgressRule(
          pattern: pattern, ports: open, types: types,
          privatePrefixes: privatePrefixes, cname: cname, maxBytes: limits.maxBytes,
          maxBytesPerHour: limits.maxBytesPerHour, dnssec: dnssec, until: until, check: check,
          location: entry.location))
    case (nil, let cidr?):
      for key in ["types", "private", "cname", "max-bytes-per-hour", "verify", "ech", "inspect", "dnssec"] {
        guard let node = fields[key] else { continue }
        findings.error("key '\(key)' has no meaning beside 'cidr', expected it beside 'host'", at: node.location)
      }
      guard let prefix = prefix(cidr), let ports else { return }
      prefixes.append(
        StaticPrefixRule(
          prefix: prefix, ports: ports, maxBytes: limits.maxBytes, until: until, location: entry.location))
    case (.some, .some):
      findings.error("an entry has both 'host' and 'cidr', expected one of them", at: entry.location)
    case (nil, nil):
      findings.error("an entry has neither 'host' nor 'cidr', expected one of them", at: entry.location)
    }
  }

  /// What of an entry's ports is open, and which of its connections have to say the name; nil where nothing would be open.
  private mutating func checked(
    _ ports: PortSet, _ fields: [String: YAMLNode], _ pattern: NamePattern, at entry: YAMLNode
  ) -> (open: PortSet, check: NameCheck?)? {
    let checks = findings.nameChecks(fields, nameChecks)
    let written = fields["verify"]
    let check = checks.check(of: ports, isWritten: written != nil)
    sayWhatIsNotInspected(pattern, ports, check, checks.inspector, at: (entry, fields["inspect"]))
    guard checks.verification == .sni else { return (ports, nil) }
    if let written, check == nil {
      findings.error(
        "verify: sni of \(pattern) checks nothing on \(ports), expected TCP ports by which TLS is spoken, such as 443/tcp",
        at: written.location)
    } else {
      sayWhatIsNotChecked(ports, pattern, at: (written ?? fields["ports"] ?? entry).location)
    }
    let open = ports.withoutQUIC
    guard open != ports else { return (ports, check) }
    if case .ports(let left) = open, left.isEmpty {
      findings.error(
        "443/udp of \(pattern) is all that it opens, and stays closed where names are checked: QUIC hides its name from the "
          + "gate, expected verify: address, or 443/tcp", at: entry.location)
      return nil
    }
    findings.warning(
      "443/udp of \(pattern) stays closed: QUIC hides its name from the gate; with verify: address it is open",
      at: entry.location)
    return (open, check)
  }

  /// What is open by its address alone, although names are checked, and would say its name too.
  private mutating func sayWhatIsNotChecked(_ ports: PortSet, _ pattern: NamePattern, at location: SourceLocation) {
    switch ports {
    case .any:
      findings.warning(
        "ports any of \(pattern) are open to its addresses, whatever name is said, 443/tcp too: listed as 443/tcp it is "
          + "checked; with verify: address this is not said", at: location)
    case .ports(let list) where list.contains(PortRule(80, .tcp)):
      findings.warning(
        "80/tcp of \(pattern) is open to its addresses, whatever name is said: HTTP says none that is checked; with verify: "
          + "address this is not said", at: location)
    case .ports: break
    }
  }

  /// What of an entry's ports goes to no proxy although one is named, by the entry itself or for all.
  private mutating func sayWhatIsNotInspected(
    _ pattern: NamePattern, _ ports: PortSet, _ check: NameCheck?, _ inspector: Inspector?,
    at nodes: (entry: YAMLNode, written: YAMLNode?)
  ) {
    guard let inspector else { return }
    if let written = nodes.written, check == nil {
      return findings.error(
        "inspect of \(pattern) inspects nothing, expected verify: sni and TCP ports by which TLS is spoken, such as 443/tcp",
        at: written.location)
    }
    let others = ports.texts.filter { !(check?.texts.contains($0) ?? false) && $0 != "443/udp" }
    guard !others.isEmpty else { return }
    findings.warning(
      "\(others.joined(separator: ", ")) of \(pattern) goes past the inspector \(inspector): only connections go there that "
        + "have to say a name (verify: sni); with inspect: off this is not said", at: nodes.entry.location)
  }

  private mutating func documentPrefixes(_ node: YAMLNode) -> [IPPrefix] {
    let prefixes = findings.prefixes(node)
    findings.add(PolicyLinter.check(private: prefixes, at: node.location))
    return prefixes
  }

  mutating func prefix(_ cidr: YAMLNode) -> IPPrefix? {
    if let text = cidr.text, IPPrefix(text) == nil, let instead = PastedForm.ofCIDR(text) {
      findings.error("\(Quoted.text(text)) is no network, expected \(instead)", at: cidr.location)
      return nil
    }
    return findings.prefix(cidr)
  }

  /// The pattern of a host, whose every other form is told how to write here.
  mutating func pattern(_ node: YAMLNode) -> NamePattern? {
    let expected = "a host name such as api.example.com or \"*.example.com\""
    guard let text = findings.text(node, expected: expected) else { return nil }
    var reason = "is no host name"
    do {
      let pattern = try NamePattern(InternationalName.toASCII(text))
      if !PastedForm.isNoName(text) { return pattern }
    } catch let error as NamePatternError {
      reason = error.reason
    } catch let error as InternationalName.LabelError {
      guard PastedForm.of(text) != nil else {
        findings.error("\(Quoted.text(text)) \(error.reason)", at: node.location)
        return nil
      }
    } catch {
      // Nothing else is thrown; what could be is refused as it stands.
    }
    let form = PastedForm.of(text)
    findings.error(
      "\(Quoted.text(text)) \(form?.what ?? reason), expected \(form?.instead ?? expected)", at: node.location)
    return nil
  }

  /// `api.example.com: 443`, with a blank, is a mapping to YAML.
  func pasted(_ entry: YAMLNode) -> PastedForm? {
    var pairs = entry.pairs.makeIterator()
    guard let (key, value) = pairs.next(), pairs.next() == nil, let name = key.text, let text = value.text,
      !Self.entryKeys.contains(name)
    else { return nil }
    return PastedForm.of(key: name, value: text)
  }

  /// Ports of the container, after any address translation; `[]` is none.
  private mutating func inbound(_ node: YAMLNode) -> PortSet? {
    if node.isSequence, !node.elements.contains(where: { _ in true }) { return nil }
    return findings.isOff(node) ? nil : ports(node)
  }

  private mutating func ports(_ node: YAMLNode) -> PortSet? {
    let expected = "ports such as [ 443/tcp, 53/udp ], or any"
    if let text = node.text {
      if text.lowercased() == "any" { return .any }
      guard let port = PortRule(text) else {
        findings.reject(node, expected: PastedForm.ofPort(text) ?? expected)
        return nil
      }
      return .ports([port])
    }
    guard let elements = findings.list(node, of: "ports such as 443/tcp") else { return nil }
    var ports: [PortRule] = []
    var isAny = false
    var isEmpty = true
    for element in elements {
      isEmpty = false
      if element.text?.lowercased() == "any" {
        isAny = true
      } else if let text = element.text, let port = PortRule(text) {
        ports.append(port)
      } else {
        findings.reject(
          element, expected: element.text.flatMap(PastedForm.ofPort) ?? "a port such as 443/tcp or 53/udp")
      }
    }
    if isAny && !ports.isEmpty {
      findings.error("'any' stands beside ports, expected it alone", at: node.location)
      return nil
    }
    if isEmpty { findings.error("no ports, expected \(expected)", at: node.location) }
    return isAny ? .any : PortSet(ports)
  }

  private mutating func types(_ node: YAMLNode) -> [RRType]? {
    let expected = "record types such as A, AAAA, HTTPS"
    guard let elements = findings.list(node, of: "record types such as A") else { return nil }
    var types: [RRType] = []
    var isEmpty = true
    for element in elements {
      isEmpty = false
      guard let text = findings.text(element, expected: expected) else { continue }
      guard let type = RRType(mnemonic: text.uppercased()) else {
        findings.reject(element, expected: expected)
        continue
      }
      guard !type.isMeta else {
        findings.error("\(type) asks for no record and is never forwarded, expected \(expected)", at: element.location)
        continue
      }
      if !types.contains(type) { types.append(type) }
    }
    if isEmpty { findings.error("no types, expected \(expected)", at: node.location) }
    return types
  }
}
