package import EgressPolicy
import IPNetwork

/// How hosts, addresses and ports stand in other files, and not in an egress list: what such a text is, and how to write here
/// what it means. Asked only of what is refused.
package struct PastedForm: Equatable {
  /// What follows the offending text: `is a URL`.
  package let what: String
  /// What to write in its place, as the policy has it.
  package let instead: String

  /// The form of one text; nil for a form that is not known.
  package static func of(_ text: String) -> PastedForm? {
    let inner = trimmed(text)
    if inner.count != text.count, !inner.isEmpty {
      return PastedForm(what: "has a blank before or behind it", instead: entry(inner) ?? inner)
    }
    for form in forms {
      if let found = form(inner) { return found }
    }
    return nil
  }

  /// In the order in which they are told apart.
  private static let forms: [@Sendable (String) -> PastedForm?] = [
    list, filterRule, network, port, url, login, hostAndPort, everything, expression, wildcard,
  ]

  /// The form of a mapping `NAME: PORT`, which a blank behind the colon makes of `NAME:PORT`.
  static func of(key: String, value: String) -> PastedForm? {
    guard isPorts(value) || PortRule(value) != nil, let form = hostAndPort("\(key):\(value)") else { return nil }
    return PastedForm(what: "is a host with a port", instead: form.instead)
  }

  /// Whether a text that could be a name of one label is meant as something else: a port, a range of ports, every name.
  static func isNoName(_ text: String) -> Bool { isPorts(text) || everything(text) != nil }

  /// Whether it is a port, or a range of ports.
  private static func isPorts(_ text: String) -> Bool {
    guard text.utf8.first.map({ $0 >= 0x30 && $0 <= 0x39 }) == true else { return false }
    return text.utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2D }
  }

  /// What to write for an element of a list of ports: `443/tcp` for `443`, `tcp/443` or `https`.
  static func ofPort(_ text: String) -> String? {
    let text = text.lowercased()
    if text == "*" || text == "all" { return "any, which opens every port, alone" }
    if let service = services[text] { return "\(service)" }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    if parts.count == 2, let rule = PortRule("\(parts[1])/\(parts[0])") { return "\(rule)" }
    if let number = parts.first, parts.count == 1, PortRule("\(number)/tcp") != nil {
      return "\(number)/tcp or \(number)/udp"
    }
    guard let first = parts.first, first.utf8.contains(0x2D) || first.utf8.contains(0x3A), isRange(first) else {
      return nil
    }
    return "each port by itself such as [ 8000/tcp, 8001/tcp ], or any: there are no ranges of ports"
  }

  /// What to write for the value of `cidr:` that is no prefix: an address with a port, a range, a network mask, a name.
  static func ofCIDR(_ text: String) -> String? {
    let text = trimmed(text)
    if text.utf8.contains(0x2F) || text.utf8.contains(0x2D), let form = network(text) { return form.instead }
    return (hostAndPort(text) ?? url(text))?.instead ?? entry(text).map { $0.hasPrefix("{") ? $0 : "{ host: \($0) }" }
  }

  // MARK: - Forms

  /// `a.example.com, b.example.com`, or a line of a hosts file.
  private static func list(_ text: String) -> PastedForm? {
    let parts = text.split { $0 == "," || $0 == ";" || $0.isWhitespace }
    guard parts.count > 1 else { return nil }
    return PastedForm(what: "is several texts", instead: "an entry for each, such as [ a.example.com, b.example.com ]")
  }

  /// A rule of a filter list, `||example.com^`, or an entry that denies.
  private static func filterRule(_ text: String) -> PastedForm? {
    if text.hasPrefix("!") || text.hasPrefix("@@") {
      return PastedForm(what: "denies", instead: "names that are allowed: what no entry lists is denied")
    }
    guard text.hasPrefix("||") else { return nil }
    let name = text.dropFirst(2).prefix { $0 != "^" && $0 != "/" && $0 != "$" }
    return PastedForm(what: "is a rule of a filter list", instead: below(String(name)) ?? "the host name alone")
  }

  /// `192.0.2.0/24`, `10.0.0.0/255.255.255.0`, `10.0.0.1-10.0.0.9`.
  private static func network(_ text: String) -> PastedForm? {
    if let address = IPAddress(bare(text)) { return PastedForm(what: "is an address", instead: cidr(address, nil)) }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    if parts.count == 2, let address = IPAddress(bare(String(parts[0]))) {
      do throws(IPPrefixError) {
        return PastedForm(
          what: "is a network", instead: "{ cidr: \(yaml(try IPPrefix.parse("\(address)/\(parts[1])"))) }")
      } catch .hostBits(let meant) {
        return PastedForm(
          what: "is an address with its network", instead: "{ cidr: \(yaml(meant)) }, or \(cidr(address, nil))")
      } catch {
        let example = address.family == .v4 ? "{ cidr: 192.0.2.0/24 }" : "{ cidr: \"2001:db8::/64\" }"
        let meant = prefix(address, mask: parts[1]).map { "{ cidr: \($0) }" }
        return PastedForm(what: "is no network", instead: meant ?? "a length in bits such as \(example)")
      }
    }
    let ends = text.split(separator: "-", omittingEmptySubsequences: false)
    guard ends.count == 2, IPAddress(ends[0]) != nil else { return nil }
    return PastedForm(what: "is a range of addresses", instead: "its networks such as { cidr: 192.0.2.0/28 }")
  }

  /// `443`, `443/tcp`, `8000-8100`.
  private static func port(_ text: String) -> PastedForm? {
    let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == "-") }
    guard isPorts(String(digits)),
      digits.count == text.count || PortRule(text) != nil || text.dropFirst(digits.count) == "/tcp"
        || text.dropFirst(digits.count) == "/udp"
    else { return nil }
    if digits.utf8.contains(0x2D) {
      return PastedForm(
        what: "is a range of ports",
        instead: "a host with each of its ports such as { host: api.example.com, ports: [ 8000/tcp, 8001/tcp ] }")
    }
    let rule = PortRule(text) ?? PortRule("\(digits)/tcp")
    return PastedForm(
      what: "is a port",
      instead:
        "a host with its ports such as { host: api.example.com, ports: [ \(rule.map { "\($0)" } ?? "443/tcp") ] }")
  }

  /// `https://api.example.com/v1`, `//api.example.com`, `api.example.com/v1`.
  private static func url(_ text: String) -> PastedForm? {
    // `host:53/udp` has no path.
    if text.split(separator: ":").last.flatMap({ PortRule($0) }) != nil { return nil }
    var rest = Substring(text)
    var scheme: Substring?
    var isURL = true
    if let slashes = rest.firstRange(of: "://") {
      scheme = rest[..<slashes.lowerBound]
      rest = rest[slashes.upperBound...]
    } else if rest.hasPrefix("//") {
      rest = rest.dropFirst(2)
    } else if rest.dropFirst().contains("/") {
      isURL = false
    } else {
      return nil
    }
    let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    let path = rest.dropFirst(authority.count)
    let place = authority.split(separator: "@").last ?? authority
    let usual = scheme.flatMap { services[$0.lowercased()] }
    let form = isURL ? "is a URL" : "is a host with a path"
    if let all = everybodys(String(place)) { return all }
    let loss = path.count > 1 ? ": all of the host opens, whatever the path" : ""
    guard let written = hostAndPort(String(place))?.instead ?? entry(String(place), usual) else {
      return PastedForm(what: form, instead: "the host name alone, without scheme and path")
    }
    return PastedForm(what: form, instead: written + loss)
  }

  /// `git@github.com:owner/name.git`, `someone@example.com`.
  private static func login(_ text: String) -> PastedForm? {
    guard let at = text.lastIndex(of: "@") else { return nil }
    let rest = text[text.index(after: at)...]
    let host = rest.prefix { $0 != ":" && $0 != "/" }
    let isShell = host.count < rest.count
    return PastedForm(
      what: "has a user before the host",
      instead: entry(String(host), isShell ? PortRule(22, .tcp) : nil) ?? "the host name alone")
  }

  /// `api.example.com:443`, `192.0.2.1:443`, `[2001:db8::1]:443`, `*:8081`, `api.example.com:8000-8100`.
  private static func hostAndPort(_ text: String) -> PastedForm? {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let host = String(text[..<colon])
    let ports = String(text[text.index(after: colon)...])
    if let all = everything(host) ?? everybodys(host) { return all }
    if isRange(Substring(ports)), ports.utf8.contains(0x2D) {
      return PastedForm(
        what: "is a host with a range of ports",
        instead: "each port by itself, { host: \(quoted(host)), ports: [ 8000/tcp, 8001/tcp ] }, or ports: any")
    }
    let rule = PortRule(ports) ?? PortRule("\(ports)/tcp") ?? services[ports.lowercased()]
    guard let written = entry(host, rule) else {
      return PastedForm(
        what: "is no host name", instead: "the host name alone, and the port under 'ports:' such as [ 443/tcp ]")
    }
    return PastedForm(
      what: IPAddress(bare(host)) == nil ? "is a host with a port" : "is an address with a port", instead: written)
  }

  /// The network of an address with its mask in dotted form; nil where the mask has holes, or bits are set beyond it.
  private static func prefix(_ address: IPAddress, mask: Substring) -> IPPrefix? {
    guard let mask = IPAddress(mask), mask.family == .v4, address.family == .v4 else { return nil }
    let host = ~UInt32(truncatingIfNeeded: mask.low)
    guard host & (host &+ 1) == 0, UInt32(truncatingIfNeeded: address.low) & host == 0 else { return nil }
    return IPPrefix(address, length: host.leadingZeroBitCount)
  }

  private static func everything(_ text: String) -> PastedForm? {
    // Most texts are longer, and a million of them may be asked for.
    guard text.utf8.count <= 3, ["*", "**", "*.", "**.", "*.*", "any", "all"].contains(text.lowercased()) else {
      return nil
    }
    return PastedForm(
      what: "would allow every name", instead: "an entry for each host, or \"**.example.com\" for all below a name")
  }

  /// `*.co.uk`, behind which a port or a path stands.
  private static func everybodys(_ host: String) -> PastedForm? {
    guard let pattern = pattern(host), pattern.kind != .exact, PublicSuffix.coverage(of: pattern) == .publicSuffix
    else {
      return nil
    }
    return PastedForm(
      what: "covers a public suffix: anybody can register a name that it allows",
      instead: "a name below it, or \"**.example.com\" for all below that")
  }

  /// A regular expression.
  private static func expression(_ text: String) -> PastedForm? {
    guard text.contains(where: { "^$\\()|?+[]{}~".contains($0) }) else { return nil }
    return PastedForm(
      what: "is a regular expression",
      instead: "a name, \"*.example.com\" for one label before it, or \"**.example.com\" for any number of them")
  }

  /// A wildcard where none can stand.
  private static func wildcard(_ text: String) -> PastedForm? {
    let labels = text.split(separator: ".", omittingEmptySubsequences: false)
    guard let last = labels.lastIndex(where: { $0.utf8.contains(0x2A) }), let what = fault(of: text) else { return nil }
    let suffix = labels[(last + 1)...]
    guard suffix.count > 1, let written = entry((last == 0 ? "*." : "**.") + suffix.joined(separator: ".")) else {
      return nil
    }
    return PastedForm(what: what, instead: "\(written), which allows more, or each name")
  }

  /// Why a text is no pattern.
  private static func fault(of text: String) -> String? {
    do {
      _ = try NamePattern(InternationalName.toASCII(text))
    } catch let error as NamePatternError {
      return error.reason
    } catch {
      // What has no A-label is told as that.
    }
    return nil
  }

  // MARK: - Writing

  /// What opens `port` of `host`, 443/tcp where none is said; nil where it is neither a name nor an address.
  private static func entry(_ host: String, _ port: PortRule? = nil) -> String? {
    if let address = IPAddress(bare(host)) { return cidr(address, port) }
    guard let pattern = pattern(host), pattern.kind == .exact || PublicSuffix.coverage(of: pattern) != .publicSuffix
    else { return nil }
    let name = quoted("\(pattern)")
    guard let port, port != PortRule(443, .tcp) else { return name }
    return "{ host: \(name), ports: [ \(port) ] }"
  }

  private static func pattern(_ host: String) -> NamePattern? {
    do {
      return try NamePattern(InternationalName.toASCII(host))
    } catch {
      return nil
    }
  }

  /// A name and all names below it.
  private static func below(_ name: String) -> String? {
    guard let name = entry(name), !name.hasPrefix("\""), !name.hasPrefix("{"), !name.hasPrefix(".") else { return nil }
    return ".\(name)"
  }

  private static func cidr(_ address: IPAddress, _ port: PortRule?) -> String {
    if Endpoint.isLoopback(address) { return "no entry: that is the container itself, which it reaches in any case" }
    let prefix = IPPrefix(address, length: address.family == .v4 ? 32 : 128).map(yaml) ?? "\(address)"
    return "{ cidr: \(prefix)\(port.map { ", ports: [ \($0) ]" } ?? "") }"
  }

  /// Quoted where YAML asks for it.
  private static func yaml(_ prefix: IPPrefix) -> String {
    prefix.address.family == .v4 ? "\(prefix)" : "\"\(prefix)\""
  }

  private static func quoted(_ name: String) -> String { name.hasPrefix("*") ? "\"\(name)\"" : name }

  private static func bare(_ text: String) -> String {
    text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
  }

  private static func isRange(_ text: Substring) -> Bool {
    let ends = text.split(omittingEmptySubsequences: false) { $0 == "-" || $0 == ":" }
    return ends.count == 2 && ends.allSatisfy { end in !end.isEmpty && end.allSatisfy { $0.isASCII && $0.isNumber } }
  }

  private static func trimmed(_ text: String) -> String {
    String(text.drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
  }

  /// The port of a scheme or service, such as `https`; nil for one that is not known.
  package static func port(ofService name: some StringProtocol) -> PortRule? { services[name.lowercased()] }

  /// The ports of schemes and services that stand before or behind a host.
  private static let services: [String: PortRule] = [
    "https": PortRule(443, .tcp), "wss": PortRule(443, .tcp), "http": PortRule(80, .tcp), "ws": PortRule(80, .tcp),
    "ssh": PortRule(22, .tcp), "git": PortRule(9418, .tcp), "ftp": PortRule(21, .tcp), "ldap": PortRule(389, .tcp),
    "ldaps": PortRule(636, .tcp), "smtp": PortRule(25, .tcp), "smtps": PortRule(465, .tcp),
    "imaps": PortRule(993, .tcp),
    "postgres": PortRule(5432, .tcp), "postgresql": PortRule(5432, .tcp), "mysql": PortRule(3306, .tcp),
    "redis": PortRule(6379, .tcp), "rediss": PortRule(6379, .tcp), "amqp": PortRule(5672, .tcp),
    "amqps": PortRule(5671, .tcp), "mongodb": PortRule(27017, .tcp), "bolt": PortRule(7687, .tcp),
    "neo4j": PortRule(7687, .tcp), "mqtt": PortRule(1883, .tcp), "mqtts": PortRule(8883, .tcp),
    "nats": PortRule(4222, .tcp), "ntp": PortRule(123, .udp),
  ]
}
