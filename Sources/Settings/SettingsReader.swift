import EgressPolicy
import Foundation
import IPNetwork

/// Turns the main configuration document into `Settings`.
struct SettingsReader {
  static let keys = [
    "listen", "workers", "upstreams", "policies", "zones", "sinkhole", "unknown-clients", "firewall", "cache", "audit",
    "control", "metrics", "user", "watch", "release", "state", "permits", "forward", "private", "cname",
    "serve-stale", "verify", "ech", "inspect", "limits", "dnssec", "trust-anchors", "findings", "lists",
    "layers", "always-deny", "always-allow",
  ]
  /// The shipped zones: the SOA of denials, and names that never leave the host.
  private static let shippedZones = ["sinkhole.zone", "special-use.zone"]
  private static let defaultState = "/var/lib/sluice"
  private static let maximumListenAddresses = 64
  private static let maximumUpstreams = 16

  let path: String
  private let zoneDirectories: [String]
  let now: UInt64
  var findings = FieldReader()
  var readFiles: Set<String> = []
  /// Those of them that are layers.
  var layerFiles: Set<String> = []
  private var readIdentities: Set<String> = []
  /// What documents admit that say nothing of it.
  var privatePrefixes: [IPPrefix]?
  var cname: ChainPolicy?
  var nameChecks = NameCheckDefaults()
  var limits = ByteLimits()
  /// What documents ask of signatures that say nothing of it.
  var dnssec: ValidationMode?
  /// Folders that are named as a whole.
  var readFolders: Set<String> = []
  /// The lists that documents may include.
  var lists: ListLibrary
  /// Lists that were found in a folder of policies.
  var listsAmongPolicies: [String] = []

  /// `path` names the configuration; shipped zones and lists are looked for in the directories of each; `now` is in seconds
  /// since 1970.
  init(path: String, zoneDirectories: [String], listDirectories: [String] = [], now: UInt64) {
    self.path = path
    self.now = now
    self.zoneDirectories = zoneDirectories
    lists = ListLibrary(folders: listDirectories)
  }

  mutating func settings(_ root: YAMLNode) -> Settings {
    let fields = findings.fields(root, of: "the configuration", keys: Self.keys)
    let listen = listen(fields["listen"], in: root)
    if let node = fields["private"] { privatePrefixes = commonPrefixes(node) }
    cname = fields["cname"].flatMap { findings.chains($0) }
    // What documents that say nothing of it mean by their entries hangs on the mode.
    var firewall = FirewallSettings()
    if let node = fields["firewall"] { findings.read(node, into: &firewall) }
    nameChecks = findings.nameChecks(fields, Self.nameChecks(in: firewall.mode))
    findings.requireChecks(nameChecks, fields, of: "the configuration")
    if let node = fields["limits"] { limits = findings.limits(node, limits) }
    if let node = fields["dnssec"] { dnssec = findings.word(node, ValidationMode.allCases) }
    let listFolders = fields["lists"].map { self.listFolders($0) }
    var settings = Settings(
      listen: listen.map(\.address), workers: ProcessInfo.processInfo.activeProcessorCount.clamped(to: 1...256),
      upstreams: upstreams(fields["upstreams"], in: root, listen: listen.map(\.address)),
      zones: zones(fields["zones"]), sinkhole: SinkholeSettings(), unknownClients: .nxdomain,
      firewall: firewall, cache: CacheSettings(), audit: AuditSettings(),
      control: .default, state: Self.defaultState, user: ServiceUser(location: root.location),
      policies: [])
    // First, so that a file of a layer that is one of the policies as well is told there.
    let layers = layers(fields)
    settings.policies = policies(fields["policies"], in: root, under: layers)
    (settings.privatePrefixes, settings.cname, settings.nameChecks) = (privatePrefixes, cname, nameChecks)
    (settings.limits, settings.dnssec) = (limits, dnssec)
    if let node = fields["trust-anchors"] { settings.trustAnchors = findings.trustAnchors(node, in: path) }
    requireAnchors(settings, at: fields["dnssec"] ?? root)
    settings.forwards = forwards(fields["forward"], listen: settings.listen)
    settings.listenLocations = listen.map(\.location)
    settings.upstreamsLocation = (fields["upstreams"] ?? root).location
    if let node = fields["workers"] { settings.workers = findings.integer(node, in: 1...256) ?? settings.workers }
    if let node = fields["sinkhole"] { findings.read(node, into: &settings.sinkhole) }
    if let node = fields["unknown-clients"] {
      settings.unknownClients = findings.word(node, [.nxdomain, .refused, .drop]) ?? .nxdomain
    }
    if settings.firewall.mode != .managed {
      refuseCaps(settings.policies, settings.firewall.mode, at: fields["limits"])
      refuseChecks(settings.policies, settings.firewall.mode)
      sayWhatNeedsManaged(
        settings.policies, settings.firewall.mode, at: fields["firewall"] ?? root, release: fields["release"])
    }
    if let node = fields["upstreams"] { refuse(settings.upstreams, in: settings.policies, at: node.location) }
    warnOfProxies(settings.upstreams, at: fields["upstreams"] ?? root)
    for forward in settings.forwards { refuse(forward.upstreams, in: settings.policies, at: forward.location) }
    if let node = fields["cache"] { findings.read(node, into: &settings.cache) }
    if let node = fields["serve-stale"] { findings.readStale(node, into: &settings.cache) }
    settings.auditLocation = audit(fields["audit"], in: root, &settings.audit)
    control(fields["control"], &settings.control)
    settings.stateLocation = (fields["state"] ?? root).location
    settings.controlLocation = (fields["control"] ?? root).location
    if let node = fields["metrics"] { settings.metrics = findings.metricsAddress(node) }
    if let node = fields["findings"] { settings.findingsUser = findings.findingsUser(node) }
    if let node = fields["user"] { findings.read(node, into: &settings.user) }
    if let other = settings.findingsUser, other.name == settings.user.name {
      findings.error(
        "user \(other.name) is serve's own and may change everything, expected a user of the inspector's own",
        at: other.location)
    }
    if let node = fields["release"] { settings.released = released(node, settings) }
    if let node = fields["state"], let text = findings.text(node, expected: "the path of a folder") {
      settings.state = ConfigFiles.resolve(text, from: path)
    }
    if let node = fields["permits"] { findings.read(node, into: &settings.permits) }
    if let node = fields["watch"] { settings.watches = findings.boolean(node) ?? false }
    (settings.listFolders, settings.listFiles) = (listFolders ?? [], lists.files)
    settings.layerFiles = layerFiles
    settings.wholeFolders = readFolders
    settings.folders = readFolders.union((readFiles.union(lists.files) + [path]).map(ConfigFiles.folder(of:)))
    return settings
  }

  /// Where the audit log and the control API are, whatever is wrong with the rest.
  mutating func paths(_ root: YAMLNode) -> (audit: AuditSettings, control: ControlSettings) {
    let fields = findings.fields(root, of: "the configuration", keys: Self.keys)
    findings = FieldReader()
    var paths = (audit: AuditSettings(), control: ControlSettings.default)
    _ = audit(fields["audit"], in: root, &paths.audit)
    control(fields["control"], &paths.control)
    return paths
  }

  /// What holds connections to names where nothing says so: the gate, where there are rules that send them to it.
  private static func nameChecks(in mode: FirewallSettings.Mode) -> NameCheckDefaults {
    NameCheckDefaults(verification: mode == .managed ? .sni : .address)
  }

  private mutating func control(_ node: YAMLNode?, _ control: inout ControlSettings) {
    if let node, let text = findings.text(node, expected: "the path of a socket") {
      control = ControlSettings(path: ConfigFiles.resolve(text, from: path), isDefault: false)
    }
  }

  private mutating func commonPrefixes(_ node: YAMLNode) -> [IPPrefix] {
    let prefixes = findings.prefixes(node)
    findings.add(PolicyLinter.check(private: prefixes, at: node.location))
    return prefixes
  }

  /// Takes note of a file that is read; false for one that was, by whatever name.
  mutating func note(file: String) -> Bool {
    readFiles.insert(file)
    return readIdentities.insert(ConfigFiles.identity(of: file)).inserted
  }

  mutating func required(_ node: YAMLNode?, _ key: String, _ expected: String, in root: YAMLNode) -> YAMLNode? {
    if node == nil, root.isMapping {
      findings.error("key '\(key)' is missing, expected \(expected)", at: root.location)
    }
    return node
  }

  private mutating func listen(
    _ node: YAMLNode?, in root: YAMLNode
  ) -> [(address: ListenAddress, location: SourceLocation)] {
    guard let node = required(node, "listen", "a list of addresses such as 10.77.1.1:53", in: root),
      let elements = findings.list(node, of: "addresses such as 10.77.1.1:53")
    else { return [] }
    var listen: [(address: ListenAddress, location: SourceLocation)] = []
    var isEmpty = true
    for element in elements {
      isEmpty = false
      guard let address = findings.listenAddress(element) else { continue }
      if let other = listen.first(where: { $0.address.conflicts(with: address) }) {
        findings.error(
          "\(address) conflicts with \(other.address) at \(other.location.full), expected each address once",
          at: element.location)
      } else {
        listen.append((address, element.location))
      }
    }
    if isEmpty { findings.error("no listen addresses, expected at least one", at: node.location) }
    if listen.count > Self.maximumListenAddresses {
      findings.error(
        "\(listen.count) listen addresses, expected at most \(Self.maximumListenAddresses)", at: node.location)
    }
    return listen
  }

  mutating func upstreams(
    _ node: YAMLNode?, in root: YAMLNode, listen: [ListenAddress]
  ) -> [UpstreamAddress] {
    guard let node = required(node, "upstreams", "a list such as [ udp://192.0.2.54 ]", in: root),
      let elements = findings.list(node, of: "upstreams such as udp://192.0.2.54")
    else { return [] }
    var upstreams: [UpstreamAddress] = []
    var isEmpty = true
    for element in elements {
      isEmpty = false
      guard let upstream = findings.upstream(element, in: path) else { continue }
      if upstreams.contains(where: { $0.description == upstream.description }) {
        findings.error("upstream \(upstream) stands already in this list, expected once", at: element.location)
      } else if let own = listen.first(where: { $0.receives(upstream) }) {
        findings.error(
          "upstream \(upstream) is our own listen address \(own): queries would loop", at: element.location)
      } else {
        upstreams.append(upstream)
      }
    }
    if isEmpty { findings.error("no upstreams, expected at least one", at: node.location) }
    warnOfPlain(upstreams, node)
    if upstreams.count > Self.maximumUpstreams {
      findings.error("\(upstreams.count) upstreams, expected at most \(Self.maximumUpstreams)", at: node.location)
    }
    return upstreams
  }

  /// Where some upstreams are asked by TLS, another one on the network is a way around it.
  private mutating func warnOfPlain(_ upstreams: [UpstreamAddress], _ node: YAMLNode) {
    guard let encrypted = upstreams.first(where: \.scheme.isEncrypted),
      let plain = upstreams.first(where: { !$0.scheme.isEncrypted && !Endpoint.isLoopback($0.address) })
    else { return }
    findings.warning(
      "\(plain) stands beside \(encrypted.scheme.rawValue):// upstreams: where those are cut off, questions go to it in the clear",
      at: node.location)
  }

  /// Where lists are looked for by name, instead of the shipped ones.
  mutating func listFolders(_ node: YAMLNode) -> [String] {
    let elements = node.isSequence ? Array(node.elements) : [node]
    let folders = elements.compactMap { element -> String? in
      guard let text = findings.text(element, expected: "the path of a folder with lists") else { return nil }
      let folder = ConfigFiles.tidy(ConfigFiles.resolve(text, from: path))
      readFolders.insert(folder)
      guard ConfigFiles.isDirectory(folder) else {
        findings.error("\(Quoted.text(folder)) is no folder, expected one with lists", at: element.location)
        return nil
      }
      return folder
    }
    lists.folders = folders
    return folders
  }

  /// Networks that are free again once no policy governs them.
  private mutating func released(_ node: YAMLNode, _ settings: Settings) -> [IPPrefix] {
    var released: [IPPrefix] = []
    for element in findings.list(node, of: "networks such as 10.77.1.0/24") ?? YAMLChildren.none(in: node) {
      guard let prefix = findings.prefix(element) else { continue }
      if let owner = settings.policies.first(where: { $0.networks.contains { $0.prefix == prefix } }) {
        findings.warning(
          "\(prefix) is governed by server \(owner.name): it is released when no policy governs it",
          at: element.location)
      }
      released.append(prefix)
    }
    return released
  }

  private mutating func zones(_ node: YAMLNode?) -> [ZoneSource] {
    guard let node else { return Self.shippedZones.map { shipped($0) } }
    var zones: [ZoneSource] = []
    for element in findings.list(node, of: "master files") ?? YAMLChildren.none(in: node) {
      guard let text = findings.text(element, expected: "the path of a master file") else { continue }
      let file = ConfigFiles.resolve(text, from: path)
      do {
        try ConfigFiles.checkReadable(file)
        zones.append(.file(path: file, location: element.location))
      } catch {
        findings.error("zone file \(Quoted.text(file)) \(error.reason)", at: element.location)
      }
    }
    return zones
  }

  private func shipped(_ name: String) -> ZoneSource {
    for directory in zoneDirectories {
      let file = directory + "/" + name
      if ConfigFiles.fault(of: file) == nil {
        return .file(path: file, location: SourceLocation(file: path, line: 0, column: 0))
      }
    }
    return .builtIn(name: name)
  }

  private mutating func audit(
    _ node: YAMLNode?, in root: YAMLNode, _ audit: inout AuditSettings
  ) -> SourceLocation {
    let location = node.map { findings.read($0, into: &audit) ?? $0.location } ?? root.location
    audit.path = ConfigFiles.resolve(audit.path, from: path)
    let directory = (audit.path as NSString).deletingLastPathComponent
    let above = (directory as NSString).deletingLastPathComponent
    // serve makes it where only it is missing.
    if ![directory, above].contains(where: { ConfigFiles.isDirectory($0.isEmpty ? "." : $0) }) {
      findings.error(
        "directory \(Quoted.text(directory)) of the audit log and the one above it do not exist, expected one of them",
        at: location)
    } else if ConfigFiles.isDirectory(audit.path) {
      findings.error("audit path \(Quoted.text(audit.path)) is a directory, expected a file", at: location)
    }
    return location
  }
}

extension ListenAddress {
  /// The same address, or a wildcard that takes the other's queries.
  fileprivate func conflicts(with other: ListenAddress) -> Bool {
    guard port == other.port, address.family == other.address.family else { return false }
    return address == other.address || isWildcard || other.isWildcard
  }

  fileprivate func receives(_ upstream: UpstreamAddress) -> Bool {
    guard port == upstream.port else { return false }
    return address.unmapped == upstream.address.unmapped
      || (isWildcard && Endpoint.isLoopback(upstream.address) && address.family == upstream.address.family)
  }
}

extension Int {
  fileprivate func clamped(to range: ClosedRange<Int>) -> Int {
    Swift.min(Swift.max(self, range.lowerBound), range.upperBound)
  }
}
