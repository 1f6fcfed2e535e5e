import AuditLog
import DNSWire
import EgressPolicy
import Foundation
import IPNetwork
import Settings
import Zones

/// What a query would get and why, in words and in JSON.
struct Explanation {
  private var fields: [(key: String, value: String)] = []

  /// - Parameter now: seconds since 1970, at which the question is asked; the clock's when nil.
  init(
    server: Int?, name: Name, type: RRType, policy whole: PolicySnapshot, zones: LocalZones, settings: Settings,
    now: UInt64? = nil
  ) {
    fields.append(("name", name.description))
    fields.append(("type", type.description))
    guard let server else {
      add("block", "unknown client", "the address is in no server's network", answer: "\(settings.unknownClients)")
      return
    }
    let now = now ?? UInt64(max(Date().timeIntervalSince1970, 0))
    let policy = PolicySnapshot(whole.servers.map { $0.inForce(at: now) })
    let document = policy.servers[server]
    fields.append(("server", document.name.description))
    let isHostname = name.isHostname
    let verdict = isHostname ? policy.decide(server: server, name: name.wire.span, type: type) : .notListed
    let local = zones.answer(name: name.wire.span, type: type)
    switch verdict {
    case .notListed where local.map { !$0.holdsRoutableAddress } ?? false:
      add("local", "special-use name", "answered from the local zones, never forwarded", answer: "local zone")
    case .notListed where name.labelCount <= 1:
      add("local", "single label", "never forwarded", answer: "NXDOMAIN")
    case .notListed:
      let why = isHostname ? Self.denial(server, name, type, whole) : "only letters, digits, '-' and '_' can match"
      add("block", "destination not in allowlist", why, answer: Self.word(settings.sinkhole.answer))
    case .typeNotAllowed(let index):
      let rule = policy.rule(server: server, index: index)
      add("block", "type not allowed", Self.place(rule), answer: "NODATA")
      fields.append(("types", rule.types.map(\.description).joined(separator: ", ")))
    case .allowed(let index):
      let rule = policy.rule(server: server, index: index)
      let isLocal = local.map { !$0.isEmptyZone } ?? false
      let source = !isLocal ? "asked upstream; addresses opened before the answer" : "answered from the local zones"
      add("allow", "listed", Self.place(rule), answer: source)
      fields.append(("ports", rule.ports.description))
      fields.append(("types", rule.types.map(\.description).joined(separator: ", ")))
      if !rule.privatePrefixes.isEmpty {
        fields.append(("private", rule.privatePrefixes.map(\.description).joined(separator: ", ")))
      }
      fields += RuleLimits(rule, partUntil: Self.firstEnd(of: rule.pattern, document)).fields
    }
  }

  /// The first end among the entries that stand for a pattern.
  private static func firstEnd(of pattern: NamePattern, _ policy: ServerPolicy) -> UInt64? {
    guard policy.nextEnd(after: 0) != nil else { return nil }
    return policy.rules.lazy.filter { $0.pattern == pattern }.compactMap(\.until).min()
  }

  /// Why no entry in force matches: none does, or its time is over.
  private static func denial(_ server: Int, _ name: Name, _ type: RRType, _ whole: PolicySnapshot) -> String {
    switch whole.decide(server: server, name: name.wire.span, type: type) {
    case .notListed: return "no entry of the egress list matches"
    case .allowed(let index), .typeNotAllowed(let index):
      let rule = whole.rule(server: server, index: index)
      return "\(place(rule)), which ended" + (rule.until.map { " at \(PolicyTime.text($0))" } ?? "")
    }
  }

  /// The server whose policy decided; nil for nobody's client.
  var server: String? { fields.first { $0.key == "server" }?.value }

  /// Adds what is known besides.
  mutating func add(_ key: String, _ value: String) { fields.append((key, value)) }

  private mutating func add(_ decision: String, _ reason: String, _ rule: String, answer: String) {
    fields.append(("decision", decision))
    fields.append(("reason", reason))
    fields.append(("rule", rule))
    fields.append(("answer", answer))
  }

  private static func place(_ rule: EgressRule) -> String {
    "\(rule.location): \(rule.pattern)"
  }

  private static func word(_ answer: SinkholeSettings.Answer) -> String {
    switch answer {
    case .nxdomain: "NXDOMAIN"
    case .nodata: "NODATA"
    case .refused: "REFUSED"
    case .addresses(let addresses): addresses.map(\.description).joined(separator: ", ")
    }
  }

  var text: String {
    let width = fields.map(\.key.count).max() ?? 0
    return fields.map { field in
      field.key + String(repeating: " ", count: width - field.key.count + 2) + field.value
    }.joined(separator: "\n")
  }

  var json: String {
    "{" + fields.map { JSONText.quoted($0.key) + ":" + JSONText.quoted($0.value) }.joined(separator: ",") + "}"
  }
}
