import DNSWire
package import IPNetwork

/// The rules of one server in about 40 octets each, so that a million names are no burden; reads as a collection.
package struct RuleList: RandomAccessCollection, ExpressibleByArrayLiteral, Sendable {
  /// A rule without what most rules share.
  struct Entry: BitwiseCopyable, Sendable {
    var nameStart: UInt32
    var line: UInt32
    var profile: UInt32
    var column: UInt16
    var file: UInt16
    var nameLength: UInt8
    var kind: NamePattern.Kind
    /// A label of the name holds `*`.
    var hasInnerWildcard: Bool
    /// It denies, whatever allows: only in what is compiled.
    var isDenial = false
  }

  /// Where rules stand that have it in common.
  private struct Origin: Equatable, Sendable {
    var file: String
    var layer: String?
  }

  /// What rules share: all but name and location.
  struct Profile: Hashable, Sendable {
    var ports: PortSet
    var types: [RRType]
    var privatePrefixes: [IPPrefix]
    var cname: ChainPolicy
    var maxBytes: ByteBound?
    var maxBytesPerHour: ByteBound?
    var dnssec: ValidationMode
    var until: UInt64?
    var firstEnd: UInt64?
    var check: NameCheck?

    /// What a denial says: nothing is open, and no type may be asked.
    static let denial = Profile(
      EgressRule(
        pattern: NamePattern(kind: .exact, suffix: .root), ports: .ports([]), types: [],
        location: SourceLocation(file: "", line: 0, column: 0)))

    init(_ rule: EgressRule) {
      ports = rule.ports
      types = rule.types
      privatePrefixes = rule.privatePrefixes
      cname = rule.cname
      maxBytes = rule.maxBytes
      maxBytesPerHour = rule.maxBytesPerHour
      dnssec = rule.dnssec
      until = rule.until
      firstEnd = rule.firstEnd
      check = rule.check
    }

    /// What both open and admit; of what bounds it, the narrower.
    func merging(_ other: Profile) -> Profile {
      var merged = self
      merged.ports = ports.union(other.ports)
      merged.types = types.merging(other.types)
      merged.privatePrefixes = privatePrefixes.merging(other.privatePrefixes)
      merged.cname = Swift.max(cname, other.cname)
      merged.maxBytes = ByteBound.stricter(maxBytes, other.maxBytes)
      merged.maxBytesPerHour = ByteBound.stricter(maxBytesPerHour, other.maxBytesPerHour)
      merged.dnssec = Swift.max(dnssec, other.dnssec)
      merged.until = Self.later(until, other.until)
      merged.firstEnd = Self.smaller(firstEnd, other.firstEnd)
      merged.check = NameCheck.merging(check, other.check)
      return merged
    }

    /// An end is not undone by an entry that has none.
    private static func smaller(_ left: UInt64?, _ right: UInt64?) -> UInt64? {
      guard let left, let right else { return left ?? right }
      return Swift.min(left, right)
    }

    /// The name is allowed as long as one of its entries is; entries leave one by one (`ServerPolicy.inForce`).
    private static func later(_ left: UInt64?, _ right: UInt64?) -> UInt64? {
      guard let left, let right else { return nil }
      return Swift.max(left, right)
    }
  }

  private(set) var names: [UInt8] = []
  private(set) var entries: [Entry] = []
  private(set) var profiles: [Profile] = []
  private var origins: [Origin] = []
  private var profileIndex: [Profile: UInt32] = [:]

  package init() {}

  package init(_ rules: some Sequence<EgressRule>) {
    for rule in rules { append(rule) }
  }

  package init(arrayLiteral rules: EgressRule...) {
    self.init(rules)
  }

  /// Every port that some entry opens.
  package var openPorts: PortSet { profiles.reduce(PortSet([])) { $0.union($1.ports) } }

  /// TCP ports at which every connection has to say its name: those that some entry checks, and that none opens unchecked.
  package var checkedPorts: Set<UInt16> {
    var (checked, others) = (Set<UInt16>(), Set<UInt16>())
    for profile in profiles {
      guard case .ports(let rules) = profile.ports else { return [] }
      for rule in rules where rule.transport == .tcp {
        let isChecked = profile.check?.covers(transport: rule.transport.rawValue, port: rule.port) ?? false
        if isChecked { checked.insert(rule.port) } else { others.insert(rule.port) }
      }
    }
    return checked.subtracting(others)
  }

  /// Whether some entry asks for signatures.
  package var wantsValidation: Bool { profiles.contains { $0.dnssec != .off } }

  /// Whether some entry takes chains of listed names alone.
  var limitsChains: Bool { profiles.contains { $0.cname == .listed } }

  /// Every prefix that some entry lists as `private`.
  package var privatePrefixes: Set<IPPrefix> { Set(profiles.flatMap(\.privatePrefixes)) }

  package var startIndex: Int { 0 }
  package var endIndex: Int { entries.count }

  /// The rule as it was appended; its profile is put together again.
  package subscript(index: Int) -> EgressRule {
    let entry = entries[index]
    let profile = profiles[Int(entry.profile)]
    var rule = EgressRule(
      pattern: pattern(at: index), ports: profile.ports, types: profile.types,
      privatePrefixes: profile.privatePrefixes, cname: profile.cname, maxBytes: profile.maxBytes,
      maxBytesPerHour: profile.maxBytesPerHour, dnssec: profile.dnssec, until: profile.until,
      firstEnd: profile.firstEnd, check: profile.check, location: location(at: index))
    rule.layer = layer(at: index)
    return rule
  }

  /// The pattern alone, cheaper than the whole rule.
  package func pattern(at index: Int) -> NamePattern {
    let entry = entries[index]
    let start = Int(entry.nameStart)
    let octets = names.span.extracting(start..<(start + Int(entry.nameLength)))
    return NamePattern(kind: entry.kind, suffix: Name(canonical: octets))
  }

  /// The indices of the rules whose patterns hold `*` behind their first label, or in a part of a label.
  package var innerWildcards: [Int] { indices.filter { entries[$0].hasInnerWildcard } }

  /// The kind of a rule's pattern, without making the rule.
  func kind(at index: Int) -> NamePattern.Kind { entries[index].kind }

  /// Where a rule stands, without making the rule; line and column are cut to what 32 and 16 bits hold.
  package func location(at index: Int) -> SourceLocation {
    let entry = entries[index]
    return SourceLocation(file: origins[Int(entry.file)].file, line: Int(entry.line), column: Int(entry.column))
  }

  /// The layer above the documents of servers in which a rule stands; nil for one of a document.
  package func layer(at index: Int) -> String? { origins[Int(entries[index].file)].layer }

  /// Adds a rule behind the others.
  package mutating func append(_ rule: EgressRule) {
    let profile = Profile(rule)
    let wire = rule.pattern.suffix.wire
    entries.append(
      Entry(
        nameStart: UInt32(names.count), line: UInt32(clamping: rule.location.line),
        profile: intern(profile), column: UInt16(clamping: rule.location.column),
        file: intern(Origin(file: rule.location.file, layer: rule.layer)), nameLength: UInt8(wire.count),
        kind: rule.pattern.kind,
        hasInnerWildcard: rule.pattern.hasInnerWildcard))
    names.append(contentsOf: wire)
  }

  /// Makes room for so many rules; that of their names grows as they come.
  package mutating func reserveCapacity(_ count: Int) {
    entries.reserveCapacity(count)
  }

  /// Makes the rule at `index` also open and admit what the rule at `other` does.
  mutating func merge(into index: Int, from other: Int) {
    let left = profiles[Int(entries[index].profile)]
    let right = profiles[Int(entries[other].profile)]
    if left == right { return }
    entries[index].profile = intern(left.merging(right))
  }

  /// Without the entries whose profile is not `kept`; the octets of their names stay, unused.
  func filtered(_ kept: [Bool]) -> RuleList {
    var list = self
    list.profiles = []
    list.profileIndex = [:]
    var profileIndexes = Array(repeating: 0 as UInt32, count: profiles.count)
    for (index, profile) in profiles.enumerated() where kept[index] {
      profileIndexes[index] = UInt32(list.profiles.count)
      list.profileIndex[profile] = profileIndexes[index]
      list.profiles.append(profile)
    }
    list.entries.removeAll { !kept[Int($0.profile)] }
    for index in list.entries.indices { list.entries[index].profile = profileIndexes[Int(list.entries[index].profile)] }
    return list
  }

  /// Puts every rule into a layer above the documents of servers.
  package mutating func stand(in layer: String) {
    for index in origins.indices { origins[index].layer = layer }
  }

  /// Adds the patterns of another list behind the others, as denials: whatever it says of ports and types, nothing is open.
  mutating func deny(_ other: RuleList) {
    let profile = intern(Profile.denial)
    let start = UInt32(names.count)
    names.append(contentsOf: other.names)
    let places = other.origins.map { intern($0) }
    reserveCapacity(count + other.count)
    for entry in other.entries {
      var denial = entry
      denial.nameStart += start
      denial.profile = profile
      denial.file = places[Int(entry.file)]
      denial.isDenial = true
      entries.append(denial)
    }
  }

  private mutating func intern(_ profile: Profile) -> UInt32 {
    if let last = entries.last, profiles[Int(last.profile)] == profile { return last.profile }
    if let known = profileIndex[profile] { return known }
    let index = UInt32(profiles.count)
    profiles.append(profile)
    profileIndex[profile] = index
    return index
  }

  /// Beyond 65,536 files a location names the last of them: never reached by a loader that bounds its files.
  private mutating func intern(_ origin: Origin) -> UInt16 {
    if let last = entries.last, origins[Int(last.file)] == origin { return last.file }
    if let known = origins.firstIndex(of: origin) { return UInt16(clamping: known) }
    if origins.count <= Int(UInt16.max) { origins.append(origin) }
    return UInt16(origins.count - 1)
  }
}

extension [RRType] {
  /// Both lists, in order of first mention.
  fileprivate func merging(_ other: [RRType]) -> [RRType] { self + other.filter { !contains($0) } }
}

extension [IPPrefix] {
  fileprivate func merging(_ other: [IPPrefix]) -> [IPPrefix] { self + other.filter { !contains($0) } }
}
