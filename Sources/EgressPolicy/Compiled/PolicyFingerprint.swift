import DNSWire
import IPNetwork

/// A stable hash of what a policy decides: the order of servers, networks and rules, and locations in files, do not count.
///
/// It tells operators and logs which policy was in force. It is not a defence against a forger of policies.
enum PolicyFingerprint {
  static func text(servers: [ServerPolicy], rules: [RuleList], repeats: [[NameTable.Repeat]]) -> String {
    var sum = Sum()
    for (index, server) in servers.enumerated() {
      sum.add(digest(server, rules[index], absorbed: Set(repeats[index].map(\.second))))
    }
    return hex(sum.high) + hex(sum.low)
  }

  /// 28 bits of a hash of the patterns alone, and of which of them deny, in any order.
  static func mark(of entries: ArraySlice<RuleList.Entry>, in rules: RuleList) -> UInt32 {
    var sum = Sum()
    for entry in entries {
      sum.add(digest(entry, of: rules, StableHash(entry.isDenial ? "denied" : "listed")))
    }
    return UInt32(truncatingIfNeeded: sum.high >> 36)
  }

  /// Of what answers of a server are judged by besides their rule: what is denied and, where chains are of listed names, what is
  /// listed. In any order.
  static func judgement(of server: ServerPolicy) -> String {
    var sum = Sum()
    for entry in server.denials.entries { sum.add(digest(entry, of: server.denials, StableHash("denied"))) }
    for prefix in server.deniedNetworks { sum.add(StableHash("denied", "\(prefix)")) }
    if server.limitsChains {
      for entry in server.rules.entries { sum.add(digest(entry, of: server.rules, StableHash("listed"))) }
    }
    return hex(sum.high) + hex(sum.low) + (server.layers?.fingerprint ?? "")
  }

  /// Of what is denied, in any order.
  static func text(denials: RuleList) -> String {
    var sum = Sum()
    for entry in denials.entries { sum.add(digest(entry, of: denials, StableHash("denied"))) }
    return hex(sum.high) + hex(sum.low)
  }

  private static func digest(_ server: ServerPolicy, _ rules: RuleList, absorbed: Set<Int>) -> StableHash {
    var sum = Sum()
    for network in server.networks { sum.add(StableHash("network", "\(network.prefix)")) }
    for rule in server.prefixes {
      sum.add(StableHash("cidr", "\(rule.prefix)", ports(rule.ports) + limits(rule.maxBytes, nil, rule.until)))
    }
    if let inbound = server.inbound { sum.add(StableHash("inbound", ports(inbound))) }
    if server.asksDHCP { sum.add(StableHash("dhcp")) }
    for prefix in Set(server.prefixDenials.map(\.prefix)) { sum.add(StableHash("denied", "\(prefix)")) }
    for hash in timed(server.rules) { sum.add(hash) }
    let profiles = rules.profiles.map { profile in
      ports(profile.ports) + "|" + profile.types.map { String($0.rawValue) }.sorted().joined(separator: ",") + "|"
        + profile.privatePrefixes.map(\.description).sorted().joined(separator: ",")
        + limits(profile.maxBytes, profile.maxBytesPerHour, profile.until)
        + (profile.cname == .follow ? "" : "|cname \(profile.cname.rawValue)")
        + (profile.check.map { "|sni \($0.texts.joined(separator: ",")) \($0.hiding.rawValue)" } ?? "")
        + (profile.check?.inspector.map { "|inspect \($0)" } ?? "")
        + (profile.dnssec == .off ? "" : "|dnssec \(profile.dnssec.rawValue)")
    }
    for (index, entry) in rules.entries.enumerated() where absorbed.isEmpty || !absorbed.contains(index) {
      let kind = entry.isDenial ? StableHash("denied") : StableHash("rule", profiles[Int(entry.profile)])
      sum.add(digest(entry, of: rules, kind))
    }
    return StableHash("server", server.name.text, server.interface ?? "", hex(sum.high), hex(sum.low))
  }

  private static func digest(_ entry: RuleList.Entry, of rules: RuleList, _ start: StableHash) -> StableHash {
    var hash = start
    hash.add(entry.kind.rawValue)
    let name = Int(entry.nameStart)
    for position in name..<(name + Int(entry.nameLength)) { hash.add(rules.names[position]) }
    return hash
  }

  /// Entries that end, before merging: what a merged rule will be is not to be seen in what it is.
  private static func timed(_ rules: RuleList) -> [StableHash] {
    guard rules.profiles.contains(where: { $0.until != nil }) else { return [] }
    return rules.entries.compactMap { entry in
      let profile = rules.profiles[Int(entry.profile)]
      guard let until = profile.until else { return nil }
      return digest(entry, of: rules, StableHash("until", String(until), ports(profile.ports)))
    }
  }

  /// Nothing where there are no limits: the fingerprint of a policy without any is what it was before there were some.
  private static func limits(_ maxBytes: ByteBound?, _ perHour: ByteBound?, _ until: UInt64?) -> String {
    (maxBytes.map { "|max \(text($0))" } ?? "") + (perHour.map { "|hour \(text($0))" } ?? "")
      + (until.map { "|until \($0)" } ?? "")
  }

  private static func text(_ bound: ByteBound) -> String { "\(bound.bytes)\(bound.excess == .block ? "" : " audit")" }

  private static func ports(_ ports: PortSet) -> String {
    guard case .ports(let list) = ports else { return "any" }
    return PortSet(list).description
  }

  private static func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// Adds hashes so that their order does not matter.
  private struct Sum {
    var high: UInt64 = 0
    var low: UInt64 = 0

    mutating func add(_ hash: StableHash) {
      high &+= hash.finished.high
      low &+= hash.finished.low
    }
  }
}

/// FNV-1a in two lanes with a finishing mix: the same on every machine and in every run.
private struct StableHash {
  private var first: UInt64 = 0xCBF2_9CE4_8422_2325
  private var second: UInt64 = 0x6C62_272E_07BB_0142

  init(_ parts: String...) {
    for part in parts {
      for octet in part.utf8 { add(octet) }
      add(0xFF)  // never an octet of UTF-8: parts cannot run into each other
    }
  }

  mutating func add(_ octet: UInt8) {
    first = (first ^ UInt64(octet)) &* 0x0000_0100_0000_01B3
    second = ((second ^ UInt64(octet)) &* 0x9E37_79B9_7F4A_7C15) ^ (second &>> 29)
  }

  var finished: (high: UInt64, low: UInt64) { (Self.mix(first), Self.mix(second ^ first)) }

  private static func mix(_ value: UInt64) -> UInt64 {
    var mixed = (value ^ (value &>> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed &>> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed &>> 31)
  }
}
