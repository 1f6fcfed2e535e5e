import EgressPolicy
import IPNetwork

extension SettingsReader {
  /// The keys of each section of the configuration; what reads a section has them from here.
  static let sections = [
    "sinkhole": ["answer", "ttl"],
    "firewall": [
      "mode", "table", "min-lifetime", "grace", "max-lifetime", "deadline", "input-fence", "max-elements-per-server",
      "max-elements-per-name", "keep-in-use", "cut-flows", "harvest", "exclusive", "gate-port",
    ],
    "cache": ["max-entries-per-server", "max-ttl", "max-negative-ttl", "prefetch"],
    "serve-stale": ["max-stale"],
    "audit": ["path", "max-size", "keep", "compress", "allowed", "volume", "drops"],
    "permits": ["max", "ports"],
  ]
}

extension FieldReader {
  /// `verify`, `ech` and `inspect`, as they stand at an entry, in a document or in the configuration; what is not said is as it is.
  mutating func nameChecks(_ fields: [String: YAMLNode], _ inherited: NameCheckDefaults) -> NameCheckDefaults {
    var checks = inherited
    if let node = fields["verify"] { checks.verification = word(node, [.sni, .address]) ?? checks.verification }
    if let node = fields["ech"] { checks.hiding = word(node, [.refuse, .allow]) ?? checks.hiding }
    if let node = fields["inspect"] { checks.inspector = inspector(node) ?? checks.inspector }
    return checks
  }

  /// A proxy, or `off`, which reads as an inner nil; an outer nil is an error.
  private mutating func inspector(_ node: YAMLNode) -> Inspector?? {
    if isOff(node) { return .some(nil) }
    let expected = "off, or a proxy of this host by its address and port, such as http://127.0.0.1:8080"
    guard let text = text(node, expected: expected) else { return nil }
    guard let inspector = Inspector(text) else {
      reject(node, expected: expected)
      return nil
    }
    return inspector
  }

  /// That `inspect` stands where names are not checked: in a document, or in the configuration.
  mutating func requireChecks(_ checks: NameCheckDefaults, _ fields: [String: YAMLNode], of place: String) {
    guard let node = fields["inspect"], checks.inspector != nil, checks.verification != .sni else { return }
    error(
      "inspect of \(place) inspects nothing with verify: address, expected verify: sni: only the gate sends connections to a proxy",
      at: node.location)
  }
}

/// The sections of the main configuration. Every bound is far from legitimate use and keeps arithmetic and memory
/// small.
extension FieldReader {
  private static let day = 86_400

  private mutating func fields(_ node: YAMLNode, ofSection name: String) -> [String: YAMLNode] {
    fields(node, of: name, keys: SettingsReader.sections[name, default: []])
  }

  mutating func read(_ node: YAMLNode, into sinkhole: inout SinkholeSettings) {
    let fields = fields(node, ofSection: "sinkhole")
    if let node = fields["answer"], let answer = sinkholeAnswer(node) { sinkhole.answer = answer }
    if let node = fields["ttl"] { sinkhole.ttlSeconds = seconds(node, in: 0...3600) ?? sinkhole.ttlSeconds }
  }

  private mutating func sinkholeAnswer(_ node: YAMLNode) -> SinkholeSettings.Answer? {
    let expected = "nxdomain, nodata, refused or a list of addresses"
    if let text = node.text?.lowercased() {
      switch text {
      case "nxdomain": return .nxdomain
      case "nodata": return .nodata
      case "refused": return .refused
      default: break
      }
      if let address = IPAddress(text) { return .addresses([address]) }
    }
    guard node.isSequence else {
      reject(node, expected: expected)
      return nil
    }
    var addresses: [IPAddress] = []
    var count = 0
    for element in node.elements {
      count += 1
      guard let text = element.text, let address = IPAddress(text) else {
        reject(element, expected: "an address")
        continue
      }
      if !addresses.contains(address) { addresses.append(address) }
    }
    // More would not fit the smallest answer (512 octets) beside the question.
    if count == 0 || count > 8 {
      error("\(count) sinkhole addresses, expected 1 to 8", at: node.location)
    }
    return .addresses(addresses)
  }

  mutating func read(_ node: YAMLNode, into firewall: inout FirewallSettings) {
    let fields = fields(node, ofSection: "firewall")
    if let node = fields["mode"] { firewall.mode = word(node, [.managed, .sets, .off]) ?? firewall.mode }
    if let node = fields["table"], let (family, name) = table(node) {
      firewall.family = family
      firewall.table = name
    }
    if let node = fields["min-lifetime"] {
      firewall.minLifetime = seconds(node, in: 1...Self.day) ?? firewall.minLifetime
    }
    if let node = fields["grace"] { firewall.grace = seconds(node, in: 0...3600) ?? firewall.grace }
    if let node = fields["max-lifetime"] {
      firewall.maxLifetime = seconds(node, in: 1...(7 * Self.day)) ?? firewall.maxLifetime
    }
    if let node = fields["deadline"] {
      firewall.deadlineMilliseconds = milliseconds(node, in: 10...5000) ?? firewall.deadlineMilliseconds
    }
    readLimits(fields, into: &firewall)
    if firewall.maxLifetime < firewall.minLifetime {
      error(
        "max-lifetime \(Quantity.duration(firewall.maxLifetime * 1000)) is shorter than min-lifetime "
          + "\(Quantity.duration(firewall.minLifetime * 1000)), expected at least as long",
        at: (fields["max-lifetime"] ?? fields["min-lifetime"] ?? node).location)
    }
  }

  private mutating func readLimits(_ fields: [String: YAMLNode], into firewall: inout FirewallSettings) {
    if let node = fields["input-fence"] { firewall.inputFence = boolean(node) ?? firewall.inputFence }
    if let node = fields["gate-port"] {
      firewall.gatePort = integer(node, in: 1...65_535).map { UInt16($0) } ?? firewall.gatePort
    }
    if let node = fields["exclusive"] { firewall.exclusive = boolean(node) ?? firewall.exclusive }
    if let node = fields["max-elements-per-server"] {
      firewall.maxElementsPerServer = integer(node, in: 16...65_536) ?? firewall.maxElementsPerServer
    }
    if let node = fields["max-elements-per-name"] {
      firewall.maxElementsPerName = integer(node, in: 1...65_536) ?? firewall.maxElementsPerName
    }
    if let node = fields["keep-in-use"] {
      firewall.keepInUseSeconds = secondsOrOff(node, in: 1...(7 * Self.day)) ?? firewall.keepInUseSeconds
    }
    if let node = fields["cut-flows"] { firewall.cutFlows = boolean(node) ?? firewall.cutFlows }
    if let node = fields["harvest"] { firewall.harvestSeconds = seconds(node, in: 1...3600) ?? firewall.harvestSeconds }
  }

  private mutating func table(_ node: YAMLNode) -> (FirewallSettings.Family, String)? {
    let expected = "a family (inet, ip, ip6) and a table name such as inet sluice"
    guard let text = text(node, expected: expected) else { return nil }
    let words = text.split(separator: " ")
    guard words.count == 2, let family = FirewallSettings.Family(rawValue: String(words[0])),
      Self.isTableName(words[1])
    else {
      reject(node, expected: expected)
      return nil
    }
    return (family, String(words[1]))
  }

  /// An identifier of nft that is no word of its language; it stands in the text that installs the table.
  private static func isTableName(_ name: Substring) -> Bool {
    let letters = (0x61...0x7A as ClosedRange<UInt8>, 0x41...0x5A as ClosedRange<UInt8>)
    guard let first = name.utf8.first, name.utf8.count <= 63, !NftKeywords.language.contains(String(name)) else {
      return false
    }
    let isLetter: (UInt8) -> Bool = { letters.0.contains($0) || letters.1.contains($0) || $0 == 0x5F }
    return isLetter(first)
      && name.utf8.allSatisfy { isLetter($0) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2D || $0 == 0x2E }
  }

  mutating func read(_ node: YAMLNode, into permits: inout PermitSettings) {
    let fields = fields(node, ofSection: "permits")
    if let node = fields["max"] { permits.maxSeconds = secondsOrOff(node, in: 1...(7 * Self.day)).map { $0 ?? 0 } ?? 0 }
    if let node = fields["ports"] { permits.ports = word(node, [.listed, .any]) ?? permits.ports }
  }

  /// The user that inspectors run as; nil for `off`, or for an error.
  mutating func findingsUser(_ node: YAMLNode) -> ServiceUser? {
    guard !isOff(node), let name = userName(node) else { return nil }
    if ["nobody", "root"].contains(name) {
      error(
        "user \(name) is not the inspector's alone, expected a user of its own: it may tell findings and nothing else",
        at: node.location)
    }
    return ServiceUser(name: name, location: node.location)
  }

  mutating func read(_ node: YAMLNode, into cache: inout CacheSettings) {
    let fields = fields(node, ofSection: "cache")
    if let node = fields["max-entries-per-server"] {
      cache.maxEntriesPerServer = integer(node, in: 1...10_000_000) ?? cache.maxEntriesPerServer
    }
    if let node = fields["max-ttl"] { cache.maxTTL = seconds(node, in: 1...(7 * Self.day)) ?? cache.maxTTL }
    if let node = fields["max-negative-ttl"] {
      cache.maxNegativeTTL = seconds(node, in: 1...Self.day) ?? cache.maxNegativeTTL
    }
    if let node = fields["prefetch"] { cache.prefetches = boolean(node) ?? cache.prefetches }
  }

  /// RFC 8767; `off`, or for how long.
  mutating func readStale(_ node: YAMLNode, into cache: inout CacheSettings) {
    guard !isOff(node) else { return }
    let fields = fields(node, ofSection: "serve-stale")
    cache.maxStale = fields["max-stale"].map { seconds($0, in: 1...3600) ?? 3600 } ?? 3600
  }

  /// Returns where the path is written, if it is.
  mutating func read(_ node: YAMLNode, into audit: inout AuditSettings) -> SourceLocation? {
    let fields = fields(node, ofSection: "audit")
    if let node = fields["path"] { audit.path = text(node, expected: "the path of a file") ?? audit.path }
    if let node = fields["max-size"] {
      audit.maxSizeOctets = octets(node, in: (64 << 10)...(64 << 30)) ?? audit.maxSizeOctets
    }
    if let node = fields["keep"] { audit.keep = integer(node, in: 0...1000) ?? audit.keep }
    if let node = fields["compress"] { audit.compress = boolean(node) ?? audit.compress }
    if let node = fields["allowed"] { audit.allowed = word(node, [.none, .grants, .all]) ?? audit.allowed }
    if let node = fields["volume"] {
      audit.volumeSeconds = secondsOrOff(node, in: 10...Self.day) ?? audit.volumeSeconds
    }
    if let node = fields["drops"] { audit.drops = boolean(node) ?? audit.drops }
    return fields["path"]?.location
  }

  /// The portable shape of a user name; whether there is such a user is known where it is needed.
  private mutating func userName(_ node: YAMLNode) -> String? {
    let expected = "the name of a system user"
    guard let text = text(node, expected: expected) else { return nil }
    let isName = text.utf8.allSatisfy {
      ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2D || $0 == 0x5F || $0 == 0x2E
        || ($0 >= 0x41 && $0 <= 0x5A)
    }
    guard isName, !text.hasPrefix("-"), text.utf8.count <= 32 else {
      reject(node, expected: expected)
      return nil
    }
    return text
  }

  mutating func read(_ node: YAMLNode, into user: inout ServiceUser) {
    guard let text = userName(node) else { return }
    user = ServiceUser(name: text, location: node.location)
    switch text {
    case "nobody":
      error(
        "user nobody owns processes of other services, which could give permits by the control socket; "
          + "expected a user of its own, such as the default \(ServiceUser.standardName)", at: node.location)
    case "root":
      warning(
        "user root: what reads every client's packets may write every file of root's; leave `user` out, "
          + "and serve becomes \(ServiceUser.standardName)", at: node.location)
    default: break
    }
  }
}
