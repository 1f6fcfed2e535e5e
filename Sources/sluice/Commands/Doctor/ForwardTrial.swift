import Foundation
import IPNetwork

/// A packet that begins something, sent in thought through every chain of a hook: whether rules that are not Sluice's look
/// into the sets that it feeds and refuse what is not in them, or refuse what Sluice lets through.
struct ForwardTrial {
  /// What a packet carries.
  enum Content: Hashable {
    case https
    /// TCP to a port that rules have no reason to name.
    case otherTCP
    case quic
    /// An echo request of ICMP or ICMPv6, by the packet's family.
    case echo
    /// UDP to the port of a resolver.
    case query(Int)

    /// What is tried of what the host forwards.
    static let forwarded: [Content] = [.https, .otherTCP, .quic, .echo]

    /// Nil for what has no ports.
    var port: Int? {
      switch self {
      case .query(let port): port
      case .https, .quic: 443
      case .otherTCP: 4444
      case .echo: nil
      }
    }
  }

  /// As it arrives from a server.
  struct Packet {
    var source: IPAddress
    var content = Content.https
    /// The server's interface; nil where it is not known.
    var interface: String?
    /// The interface by which the host reaches the Internet; nil where it is not known.
    var outgoing: String?
    /// Family, table and name of the sets that Sluice feeds for the server, as `inet filter-mcp github-mcp-4`.
    var sets: Set<String>
    /// Whether these hold where it goes.
    var isOpen: Bool
    var hook = ForwardRuleset.Hook.forward
    /// Where it goes; nil for an address that nothing else can mean.
    var target: IPAddress?
    /// Whether it belongs to a connection that the kernel tracks: queries to Sluice do not.
    var isTracked = true
    /// Whether what asks for nothing but a connection's state, in a way of which nft does not tell which, is taken to mean the
    /// answers to what was let through before.
    var takesStatesForAnswers = false

    /// As nft calls it where it names what a rule is for.
    var layer: String {
      switch content {
      case .https, .otherTCP: "tcp"
      case .quic, .query: "udp"
      case .echo: source.family == .v4 ? "icmp" : "icmpv6"
      }
    }

    /// Its number in the IP header.
    var number: Int {
      switch content {
      case .https, .otherTCP: 6
      case .quic, .query: 17
      case .echo: source.family == .v4 ? 1 : 58
      }
    }

    /// Without a target an address for documentation (RFC 5737, RFC 3849).
    var destination: IPAddress {
      if let target { return target }
      return source.family == .v4
        ? IPAddress(v4: 198 << 24 | 51 << 16 | 100 << 8 | 1) : IPAddress(high: 0x2001_0DB8_FFFF_0000, low: 1)
    }
  }

  /// What may become of it: both where that hangs on what cannot be told here.
  struct Outcome: Equatable {
    var passes = false
    /// Whether something that cannot be followed was taken to let it through.
    var isGuessed = false
    /// The chains with a rule that may refuse it.
    var refusingRules: Set<String> = []
    /// The chains that may refuse it by their policy.
    var refusingPolicies: Set<String> = []
    /// The chains of the hook on whose way it may be refused.
    var refusingBases: Set<String> = []
    /// Sets of Sluice's that were looked into.
    var sets: Set<String> = []

    var refusals: Set<String> { refusingRules.union(refusingPolicies) }
    /// Whether nothing that cannot be told here could refuse it.
    var certainlyPasses: Bool { passes && refusals.isEmpty && !isGuessed }
  }

  /// Rules looked at for one packet; a ruleset with more ways than that is not told.
  private static let bound = 50_000

  private let ruleset: ForwardRuleset
  private let packet: Packet
  private var outcome = Outcome()
  private var steps = 0

  static func outcome(of packet: Packet, in ruleset: ForwardRuleset) -> Outcome {
    var trial = ForwardTrial(ruleset: ruleset, packet: packet)
    return trial.run()
  }

  private init(ruleset: ForwardRuleset, packet: Packet) {
    self.ruleset = ruleset
    self.packet = packet
  }

  /// How a chain is left, with the packet's mark then; nil where that is not known.
  private enum Exit: Hashable {
    case accepted(Int?)
    case returned(Int?)
  }

  private mutating func run() -> Outcome {
    var marks: Set<Int?> = [0]
    for chain in ruleset.chains(packet.hook, of: packet.source.family) {
      var next: Set<Int?> = []
      let refusals = outcome.refusals
      for mark in marks {
        for exit in walk(chain.name, mark, depth: 0) {
          switch exit {
          case .accepted(let mark): next.insert(mark)
          case .returned(let mark):
            if chain.isClosed { outcome.refusingPolicies.insert(chain.name) } else { next.insert(mark) }
          }
        }
      }
      marks = next
      if outcome.refusals != refusals { outcome.refusingBases.insert(chain.name) }
    }
    outcome.passes = !marks.isEmpty
    return outcome
  }

  /// The ways in which a packet leaves a chain alive.
  private mutating func walk(_ chain: String, _ mark: Int?, depth: Int) -> Set<Exit> {
    var (exits, alive): (Set<Exit>, Set<Int?>) = ([], [mark])
    for rule in ruleset.rules[chain] ?? [] {
      var behind: Set<Int?> = []
      for mark in alive {
        steps += 1
        // Beyond the bounds anything may become of it. The kernel's own bound of jumps is 16.
        guard steps < Self.bound, depth < 17 else { return exits.union(guess()).union([.returned(nil)]) }
        let ways = apply(rule, in: chain, mark, depth)
        exits.formUnion(ways.exits)
        behind.formUnion(ways.behind)
      }
      alive = behind
      if alive.isEmpty { break }
    }
    return exits.union(alive.map { .returned($0) })
  }

  private mutating func apply(
    _ rule: [JSONValue], in chain: String, _ mark: Int?, _ depth: Int
  ) -> (exits: Set<Exit>, behind: Set<Int?>) {
    var (mark, behind): (Int?, Set<Int?>) = (mark, [])
    for statement in rule {
      guard case .object(let members) = statement, let (kind, value) = members.first else { continue }
      switch kind {
      case "match", "limit", "quota":
        switch kind == "match" ? holds(value, in: chain, mark) : nil {
        case false?: return ([], behind.union([mark]))
        case true?: break
        // Either way.
        case nil: behind.insert(mark)
        }
      case "mangle":
        if value["key"]?["meta"]?["key"]?.text == "mark" { mark = number(value["value"], mark) }
      case "xt":
        switch (value["type"]?.text, value["name"]?.text) {
        case ("target", "REJECT"), ("target", "DROP"), ("target", "TARPIT"):
          outcome.refusingRules.insert(chain)
          return ([], behind)
        case ("target", "MARK"), ("target", "CONNMARK"): mark = nil
        case ("target", "LOG"), ("target", "NFLOG"), ("target", "CT"), ("target", "TCPMSS"): break
        case ("target", _): return (guess(), behind.union([mark]))
        case ("match", "conntrack"), ("match", "state"):
          guard packet.isTracked, !packet.takesStatesForAnswers || rule.contains(where: Self.namesPort) else {
            return ([], behind.union([mark]))
          }
          behind.insert(mark)
        default: behind.insert(mark)
        }
      case "vmap":
        // Which of its verdicts is not told: any of them, or none.
        let verdicts = verdicts(of: value["data"], in: chain)
        guard let verdicts else { return (guess(), behind.union([mark])) }
        var exits: Set<Exit> = []
        for verdict in verdicts {
          let ways = end(verdict, in: chain, mark, depth)
          exits.formUnion(ways?.exits ?? [])
          behind.formUnion(ways?.behind ?? [])
        }
        return (exits, behind.union([mark]))
      default:
        if let ways = end(statement, in: chain, mark, depth) { return (ways.exits, behind.union(ways.behind)) }
      }
    }
    return ([], behind.union([mark]))
  }

  /// Whether a statement is a match of ports, as nft tells it or as iptables has it.
  private static func namesPort(_ statement: JSONValue) -> Bool {
    statement["match"]?["left"]?["payload"]?["field"]?.text == "dport"
      || ["tcp", "udp", "multiport", "set"].contains(statement["xt"]?["name"]?.text)
  }

  /// The way on behind what cannot be followed.
  private mutating func guess() -> Set<Exit> {
    outcome.isGuessed = true
    return [.accepted(nil)]
  }

  /// What a verdict does; nil for a statement that is none.
  private mutating func end(
    _ statement: JSONValue, in chain: String, _ mark: Int?, _ depth: Int
  ) -> (exits: Set<Exit>, behind: Set<Int?>)? {
    guard case .object(let members) = statement, let (kind, value) = members.first else { return nil }
    switch kind {
    case "accept": return ([.accepted(mark)], [])
    case "drop", "reject":
      outcome.refusingRules.insert(chain)
      return ([], [])
    case "return": return ([.returned(mark)], [])
    case "queue": return (guess(), [])
    case "jump", "goto":
      guard let target = value["target"]?.text else { return (guess(), []) }
      let exits = walk(ForwardRuleset.sibling(target, of: chain), mark, depth: depth + 1)
      guard kind == "jump" else { return (exits, []) }
      var (kept, behind): (Set<Exit>, Set<Int?>) = ([], [])
      for exit in exits {
        if case .returned(let mark) = exit { behind.insert(mark) } else { kept.insert(exit) }
      }
      return (kept, behind)
    default: return nil
    }
  }

  private func verdicts(of data: JSONValue?, in chain: String) -> [JSONValue]? {
    let elements: JSONValue?
    if let name = data?.text, name.hasPrefix("@") {
      elements = ruleset.maps[ForwardRuleset.sibling(String(name.dropFirst()), of: chain)]
    } else {
      elements = data?["set"]
    }
    guard case .array(let pairs)? = elements else { return nil }
    return pairs.compactMap { if case .array(let pair) = $0 { pair.last } else { nil } }
  }
}

// MARK: - Conditions

extension ForwardTrial {
  /// Whether a match holds; nil where that cannot be told.
  private mutating func holds(_ match: JSONValue, in chain: String, _ mark: Int?) -> Bool? {
    guard let left = match["left"], let right = match["right"] else { return nil }
    // nft puts a look at the protocol before what looks into its header: without it a rule ends there, negated or not.
    guard hasHeaders(of: left) else { return false }
    let isNegated = match["op"]?.text == "!="
    guard ["==", "!=", "in"].contains(match["op"]?.text) else { return nil }
    let holds: Bool?
    if let name = right.text, name.hasPrefix("@") {
      let set = ForwardRuleset.sibling(String(name.dropFirst()), of: chain)
      guard packet.sets.contains(set) else { return nil }
      outcome.sets.insert(set)
      holds = packet.isOpen
    } else {
      holds = equals(left, right, mark)
    }
    return holds.map { $0 != isNegated }
  }

  /// Whether the packet has the headers that an expression reads.
  private func hasHeaders(of left: JSONValue) -> Bool {
    for key in ["concat", "&", "|", "^"] {
      if case .array(let parts)? = left[key] { return parts.allSatisfy(hasHeaders) }
    }
    switch left["payload"]?["protocol"]?.text {
    case "ip": return packet.source.family == .v4
    case "ip6": return packet.source.family == .v6
    case let layer? where ["tcp", "udp", "icmp", "icmpv6", "sctp", "dccp", "udplite"].contains(layer):
      return layer == packet.layer
    default: return true
    }
  }

  private func equals(_ left: JSONValue, _ right: JSONValue, _ mark: Int?) -> Bool? {
    if case .array(let choices)? = right["set"] { return any(choices.map { equals(left, $0, mark) }) }
    if case .array(let choices) = right { return any(choices.map { equals(left, $0, mark) }) }
    if let key = left["meta"]?["key"]?.text { return meta(key, right, mark) }
    if let key = left["ct"]?["key"]?.text { return connection(key, right) }
    if let field = left["payload"]?["field"]?.text, let layer = left["payload"]?["protocol"]?.text {
      return payload(layer, field, right)
    }
    guard let value = number(left, mark), let wanted = right.number else { return nil }
    return value == wanted
  }

  private func any(_ results: [Bool?]) -> Bool? {
    if results.contains(true) { return true }
    return results.contains(nil) ? nil : false
  }

  private func meta(_ key: String, _ right: JSONValue, _ mark: Int?) -> Bool? {
    let isFour = packet.source.family == .v4
    switch key {
    case "iifname", "iif": return packet.interface.flatMap { Self.name($0, right) }
    case "oifname", "oif":
      if let outgoing = packet.outgoing { return Self.name(outgoing, right) }
      // It is not the one by which it came.
      return packet.interface.flatMap { Self.name($0, right) } == true ? false : nil
    case "l4proto": return isProtocol(right)
    case "nfproto": return right.text.map { $0 == (isFour ? "ipv4" : "ipv6") }
    case "protocol": return right.text.map { $0 == (isFour ? "ip" : "ip6") }
    case "mark":
      guard let mark, let wanted = right.number else { return nil }
      return mark == wanted
    default: return nil
    }
  }

  private func isProtocol(_ right: JSONValue) -> Bool? {
    right.text.map { $0 == packet.layer || packet.layer == "icmpv6" && $0 == "ipv6-icmp" }
      ?? right.number.map { $0 == packet.number }
  }

  private static func name(_ name: String, _ right: JSONValue) -> Bool? {
    right.text.map { $0.last == "*" ? name.hasPrefix($0.dropLast()) : name == $0 }
  }

  private func connection(_ key: String, _ right: JSONValue) -> Bool? {
    switch key {
    case "state": right.text.map { $0 == (packet.isTracked ? "new" : "untracked") }
    case _ where !packet.isTracked: false
    // Nothing translates its destination.
    case "status": right.text.flatMap { ["dnat", "assured", "seen-reply", "dying"].contains($0) ? false : nil }
    case "direction": right.text.map { $0 == "original" }
    default: nil
    }
  }

  private func payload(_ layer: String, _ field: String, _ right: JSONValue) -> Bool? {
    switch (layer, field) {
    // Of its own family: it has the header.
    case ("ip", "saddr"), ("ip6", "saddr"): return address(packet.source, right)
    case ("ip", "daddr"), ("ip6", "daddr"): return address(packet.destination, right)
    case ("ip", "protocol"), ("ip6", "nexthdr"): return isProtocol(right)
    case ("tcp", "dport"), ("udp", "dport"), ("th", "dport"): return packet.content.port.flatMap { port($0, right) }
    case ("icmp", "type"), ("icmpv6", "type"):
      return right.text.map { $0 == "echo-request" } ?? right.number.map { $0 == (layer == "icmp" ? 8 : 128) }
    default: return nil
    }
  }

  private func address(_ address: IPAddress, _ right: JSONValue) -> Bool? {
    if let text = right.text { return IPAddress(text).map { $0 == address } }
    if let start = right["prefix"]?["addr"]?.text.flatMap({ IPAddress($0) }),
      let length = right["prefix"]?["len"]?.number
    {
      return IPPrefix(start, length: length).map { $0.contains(address) }
    }
    guard case .array(let ends)? = right["range"], ends.count == 2, let first = ends[0].text.flatMap({ IPAddress($0) }),
      let last = ends[1].text.flatMap({ IPAddress($0) })
    else { return nil }
    return first <= address && address <= last
  }

  private func port(_ port: Int, _ right: JSONValue) -> Bool? {
    if let number = right.number { return number == port }
    if case .array(let ends)? = right["range"], ends.count == 2, let first = ends[0].number, let last = ends[1].number {
      return (first...max(first, last)).contains(port)
    }
    return right.text.map { $0 == "https" }
  }

  /// A number made of the packet's mark; nil where it is not known.
  private func number(_ value: JSONValue?, _ mark: Int?) -> Int? {
    guard let value else { return nil }
    if let number = value.number { return number }
    if value["meta"]?["key"]?.text == "mark" { return mark }
    for (sign, combine) in [("&", { $0 & $1 }), ("|", { $0 | $1 }), ("^", { $0 ^ $1 })] as [(String, (Int, Int) -> Int)]
    {
      guard case .array(let parts)? = value[sign], parts.count == 2 else { continue }
      guard let first = number(parts[0], mark), let second = number(parts[1], mark) else { return nil }
      return combine(first, second)
    }
    return nil
  }
}
