import AuditLog
import DNSWire
import EgressPolicy
import IPNetwork

/// The policy as it decides: entries of the same pattern merged, defaults written out.
///
/// Entries whose time is over are shown too, with that time: `check` warns about each.
struct EffectivePolicy {
  private let snapshot: PolicySnapshot

  init(_ policies: [ServerPolicy]) {
    snapshot = PolicySnapshot(policies)
  }

  var text: String {
    var lines: [String] = []
    for (index, server) in snapshot.servers.enumerated() {
      let networks = server.networks.map(\.prefix.description).joined(separator: ", ")
      lines.append("\(server.name.text)  (\(networks)\(server.interface.map { ", on \($0)" } ?? ""))")
      let ends = ends(index)
      for rule in rules(index) {
        var line = "  \(rule.pattern)  \(rule.ports)  \(rule.types.map(\.description).joined(separator: ","))"
        if !rule.privatePrefixes.isEmpty {
          line += "  private \(rule.privatePrefixes.map(\.description).joined(separator: ","))"
        }
        lines.append(
          line + RuleLimits(rule, partUntil: ends[rule.pattern]).text + Self.origin(rule.location, rule.layer, server))
        lines += Self.examples(rule.pattern)
      }
      for prefix in server.prefixes {
        lines.append(
          "  \(prefix.prefix)  \(prefix.ports)" + RuleLimits(prefix).text
            + Self.origin(prefix.location, prefix.layer, server))
      }
      lines += denials(index).map { "  deny \($0.pattern)" + Self.origin($0.location, $0.layer, server) }
      lines += server.prefixDenials.map { "  deny \($0.prefix)" + Self.origin($0.location, $0.layer, server) }
      if server.rules.isEmpty && server.prefixes.isEmpty {
        lines.append("  nothing: an empty list denies everything")
      }
    }
    return lines.joined(separator: "\n")
  }

  var json: String {
    let servers = snapshot.servers.enumerated().map { index, server in
      let ends = ends(index)
      let rules = rules(index).map { rule in
        "{\"host\":\(JSONText.quoted(rule.pattern.description)),\"ports\":\(JSONText.list(rule.ports.texts)),"
          + "\"types\":\(JSONText.list(rule.types.map(\.description))),"
          + "\"private\":\(JSONText.list(rule.privatePrefixes.map(\.description)))," + Self.examplesJSON(rule.pattern)
          + RuleLimits(rule, partUntil: ends[rule.pattern]).json + Self.listJSON(rule.location, server)
          + Self.json(layer: rule.layer)
          + "\"rule\":\(JSONText.quoted(ConfigurationOption.absolute(rule.location.description)))}"
      }
      let prefixes = server.prefixes.map { prefix in
        "{\"cidr\":\(JSONText.quoted(prefix.prefix.description)),\"ports\":\(JSONText.list(prefix.ports.texts)),"
          + RuleLimits(prefix).json + Self.listJSON(prefix.location, server) + Self.json(layer: prefix.layer)
          + "\"rule\":\(JSONText.quoted(ConfigurationOption.absolute(prefix.location.description)))}"
      }
      return "{\"server\":\(JSONText.quoted(server.name.text)),"
        + "\"networks\":\(JSONText.list(server.networks.map(\.prefix.description))),"
        + "\"interface\":\(server.interface.map(JSONText.quoted) ?? "null"),"
        + "\"egress\":[\((rules + prefixes).joined(separator: ","))],"
        + "\"deny\":[\((denials(index).map(Self.json) + server.prefixDenials.map(Self.json)).joined(separator: ","))]}"
    }
    return "[" + servers.joined(separator: ",") + "]"
  }

  /// Where an entry stands, in which list, and in which layer above the server's document.
  private static func origin(_ location: SourceLocation, _ layer: String?, _ server: ServerPolicy) -> String {
    "  # \(server.list(of: location).map { "list \($0.text), " } ?? "")\(location)\(layer.map { ", layer \($0)" } ?? "")"
  }

  private static func listJSON(_ location: SourceLocation, _ server: ServerPolicy) -> String {
    server.list(of: location).map { "\"list\":\(JSONText.quoted($0.text))," } ?? ""
  }

  /// What a server is denied, whatever allows it.
  private func denials(_ server: Int) -> [EgressRule] {
    snapshot.effectiveDenials(server: server).map { snapshot.rule(server: server, index: $0) }
  }

  private static func json(_ denial: EgressRule) -> String {
    json("host", denial.pattern.description, denial.layer, denial.location)
  }

  private static func json(_ denial: PrefixDenial) -> String {
    json("cidr", denial.prefix.description, denial.layer, denial.location)
  }

  private static func json(_ key: String, _ value: String, _ layer: String?, _ location: SourceLocation) -> String {
    "{\"\(key)\":\(JSONText.quoted(value))," + json(layer: layer)
      + "\"rule\":\(JSONText.quoted(ConfigurationOption.absolute(location.description)))}"
  }

  private static func json(layer: String?) -> String { layer.map { "\"layer\":\(JSONText.quoted($0))," } ?? "" }

  /// What a pattern matches, and what it does not.
  private static func examples(_ pattern: NamePattern) -> [String] {
    let (matching, others) = pattern.examples
    guard !matching.isEmpty else { return [] }
    let not = others.isEmpty ? "" : "; not " + others.map(\.description).joined(separator: ", ")
    return ["    matches " + matching.map(\.description).joined(separator: ", ") + not]
  }

  private static func examplesJSON(_ pattern: NamePattern) -> String {
    let (matching, others) = pattern.examples
    guard !matching.isEmpty else { return "" }
    return "\"matches\":\(JSONText.list(matching.map(\.description))),"
      + "\"matches_not\":\(JSONText.list(others.map(\.description))),"
  }

  /// The first end among the entries of each pattern.
  private func ends(_ server: Int) -> [NamePattern: UInt64] {
    let policy = snapshot.servers[server]
    guard policy.nextEnd(after: 0) != nil else { return [:] }
    var ends: [NamePattern: UInt64] = [:]
    for rule in policy.rules {
      if let until = rule.until { ends[rule.pattern] = min(until, ends[rule.pattern] ?? until) }
    }
    return ends
  }

  private func rules(_ server: Int) -> [EgressRule] {
    snapshot.effectiveRules(server: server).map { snapshot.rule(server: server, index: $0) }
  }
}
