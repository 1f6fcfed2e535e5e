import AuditLog
import DNSWire
import EgressPolicy
import IPNetwork
import Resolver
import Zones

/// What a query would get and why, in words and in JSON.
struct Explanation {
  private var fields: [(key: String, value: String)] = []

  /// - Parameters:
  ///   - server: its index in the policy; nil for a client of none.
  ///   - asked: what is explained: by which policy, zones and rules, and when.
  init(_ name: Name, _ type: RRType, of server: Int?, in asked: Configuration) {
    fields.append(("name", name.description))
    fields.append(("type", type.description))
    guard let server else {
      add(
        "block", "unknown client", "the address is in no server's network", answer: "\(asked.rules.unknownClients)")
      return
    }
    fields.append(("server", asked.inForce.servers[server].name.description))
    let question = DecidedQuestion(name: name, type: type, server: server, asked: asked)
    let found = question.finding
    add(found.decision, found.reason, found.rule, answer: found.answer)
    guard let rule = question.rule else { return }
    switch found.decision {
    case "allow":
      fields.append(("ports", rule.ports.description))
      fields.append(("types", rule.types.map(\.description).joined(separator: ", ")))
      if !rule.privatePrefixes.isEmpty {
        fields.append(("private", rule.privatePrefixes.map(\.description).joined(separator: ", ")))
      }
      fields += RuleLimits(rule, partUntil: question.firstEnd(of: rule.pattern)).fields
    case "block": fields.append(("types", rule.types.map(\.description).joined(separator: ", ")))
    default: break
    }
  }

  /// The server whose policy decided; nil for an unknown client.
  var server: String? { fields.first { $0.key == "server" }?.value }

  /// The fields by their keys.
  var values: [String: String] { Dictionary(fields, uniquingKeysWith: { first, _ in first }) }

  /// Adds what is known besides.
  mutating func add(_ key: String, _ value: String) { fields.append((key, value)) }

  private mutating func add(_ decision: String, _ reason: String, _ rule: String, answer: String) {
    fields.append(("decision", decision))
    fields.append(("reason", reason))
    fields.append(("rule", rule))
    fields.append(("answer", answer))
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

extension Explanation {
  /// What a question is explained by.
  struct Configuration {
    /// With the entries whose time is over.
    let whole: PolicySnapshot
    let inForce: PolicySnapshot
    let zones: LocalZones
    let rules: ResolverRules

    /// - Parameter now: seconds since 1970, at which the question is asked.
    init(_ whole: PolicySnapshot, _ zones: LocalZones, _ rules: ResolverRules, now: UInt64) {
      self.whole = whole
      self.zones = zones
      self.rules = rules
      inForce = PolicySnapshot(whole.servers.map { $0.inForce(at: now) })
    }
  }
}

/// A question of a server's client, and what is decided about it.
private struct DecidedQuestion {
  let name: Name
  let type: RRType
  let server: Int
  let asked: Explanation.Configuration
  private let facts: QueryFacts
  private let decision: Decision

  init(name: Name, type: RRType, server: Int, asked: Explanation.Configuration) {
    (self.name, self.type, self.server, self.asked) = (name, type, server, asked)
    facts = QueryFacts(name.wire.span, type, server: server, hash: asked.inForce.nameHash)
    decision = Decision.of(
      facts, name: name.wire.span, policy: asked.inForce, zones: asked.zones,
      answersIPv6: asked.rules.answersIPv6(serverOpensIPv6: true))
  }

  /// The rule that lists the name, whether for this type or not.
  var rule: EgressRule? {
    switch decision.verdict {
    case .allowed(let index), .typeNotAllowed(let index): asked.inForce.rule(server: server, index: index)
    case .notListed: nil
    }
  }

  /// What is told of it.
  var finding: (decision: String, reason: String, rule: String, answer: String) {
    let location = rule.map(Self.location)
    switch decision.enforcement {
    case .deny(let denial):
      let answer = word(asked.rules.answer(to: denial))
      guard let location else { return ("block", "destination not in allowlist", unlisted, answer) }
      return ("block", "type not allowed", location, answer)
    case .answerLocally:
      guard let location else {
        return ("local", "special-use name", "answered from the local zones, never forwarded", "local zone")
      }
      return ("allow", "listed", location, "answered from the local zones")
    case .keepLabel:
      let why = location.map { "\($0), but a single label is never forwarded" } ?? "never forwarded"
      return facts.labelCount == 0 ? ("local", "the root", why, "NODATA") : ("local", "single label", why, "NXDOMAIN")
    case .reverse(let address):
      let isLocal = Decision.ofUnopened(name.wire.span, zones: asked.zones) != nil
      return (
        "local", "reverse name", "answered from what is open for the server, never forwarded",
        "the name that \(address) is open for, else \(isLocal ? "local zone" : "NXDOMAIN")"
      )
    case .withoutIPv6:
      return ("allow", "listed", location ?? "", "NODATA: the firewall has no set for IPv6 addresses")
    case .openLocally: return ("allow", "listed", location ?? "", "answered from the local zones" + opening)
    case .resolve: return ("allow", "listed", location ?? "", "asked upstream" + opening)
    }
  }

  /// What comes before an answer with addresses.
  private var opening: String {
    asked.rules.opensFirewall && (type == .A || type == .AAAA) ? "; addresses opened before the answer" : ""
  }

  /// Why no entry in force matches: none does, or its time is over.
  private var unlisted: String {
    guard facts.isHostname else { return "only letters, digits, '-' and '_' can match" }
    switch asked.whole.decide(server: server, name: name.wire.span, type: type) {
    case .notListed: return "no entry of the egress list matches"
    case .allowed(let index), .typeNotAllowed(let index):
      let rule = asked.whole.rule(server: server, index: index)
      return "\(Self.location(rule)), which ended" + (rule.until.map { " at \(PolicyTime.text($0))" } ?? "")
    }
  }

  /// The first end among the entries that stand for a pattern.
  func firstEnd(of pattern: NamePattern) -> UInt64? {
    let policy = asked.inForce.servers[server]
    guard policy.nextEnd(after: 0) != nil else { return nil }
    return policy.rules.lazy.filter { $0.pattern == pattern }.compactMap(\.until).min()
  }

  private static func location(_ rule: EgressRule) -> String {
    "\(rule.location): \(rule.pattern)"
  }

  private func word(_ answer: SinkholeAnswer) -> String {
    switch answer {
    case .nxdomain: return "NXDOMAIN"
    case .nodata: return "NODATA"
    case .empty(let code): return code.description
    case .addresses(let addresses):
      let found = addresses.filter { $0.type == type }
      return found.isEmpty ? "NODATA" : found.map(\.description).joined(separator: ", ")
    }
  }
}
