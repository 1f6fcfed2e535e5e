import EgressPolicy
import Settings

/// Rules of CargoWall, JSON.
///
/// After code-cargo/cargowall, config.example.json, README.md and pkg/config/{config,pattern}.go (2026-08-21): a name without
/// wildcards is meant with all below it; `*` is one label, `**` one or more, each a whole label. The most specific rule decides.
enum CargoWallFormat {
  private static let meaning = NameMeaning(
    isPlainWide: true, star: .one, stars: .oneOrMore, inner: .label, tool: "CargoWall")

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    let documents = try source.documents()
    guard let root = documents.first, let rules = root["rules"], rules.isSequence else {
      throw .error("has no rules, expected { \"rules\": [ … ] }", at: source.place(0))
    }
    let server = draft.server(nil, at: root.location)
    if let action = root["defaultAction"], action.word?.lowercased() != "deny" {
      try draft.refuse(
        "defaultAction: \(action.word ?? "")", at: action.location, "opens what no rule names, expected deny",
        of: server)
    }
    for domain in try root["searchDomains"]?.words(of: "domains") ?? [] {
      try draft.refuse(
        "searchDomains: \(domain.word ?? "")", at: domain.location,
        "resolves every name of it there, expected an entry for each that is connected to", of: server)
    }
    for rule in rules.elements { try add(try rule.mapping("a rule: an object"), to: server, into: &draft) }
    draft.refuseExceptions(of: server)
  }

  private static func add(_ rule: YAMLNode, to server: Int, into draft: inout ImportDraft) throws(Diagnostic) {
    guard let value = rule["value"]?.word else {
      throw .error("a rule has no value, expected a name or a network", at: rule.location)
    }
    let isDenied: Bool
    switch rule["action"]?.word?.lowercased() {
    case "allow": isDenied = false
    case "deny": isDenied = true
    default: throw .error("a rule has no action, expected allow or deny", at: rule.location)
    }
    let (ports, remarks) = try ports(rule)
    if let ports, ports.isEmpty {
      return try draft.refuse(
        value, at: rule.location, isDenied: isDenied, remarks.map(\.text).joined(separator: "; "), of: server)
    }
    var listed = ListedHost(
      value, at: rule["value"]?.location ?? rule.location, ports: ports.map { PortSet($0) }, isDenied: isDenied,
      remarks: remarks)
    if isDenied, ports != nil {
      listed.remarks = [ImportRemark(kind: .lost, text: "its ports alone there; here it is denied as a whole")]
    }
    try draft.add(listed, meaning, to: server)
  }

  /// Nil where every port is open.
  private static func ports(_ rule: YAMLNode) throws(Diagnostic) -> ([PortRule]?, [ImportRemark]) {
    guard let list = rule["ports"], !list.isNull, list.isSequence, list.elements.contains(where: { _ in true }) else {
      return (nil, [])
    }
    var ports: [PortRule] = []
    var remarks: [ImportRemark] = []
    for port in list.elements {
      let number = port["port"]?.word ?? ""
      switch port["protocol"]?.word?.lowercased() ?? "all" {
      case "icmp": remarks.append(ImportRemark(kind: .lost, text: "ICMP, of which no port can be opened"))
      case let transport:
        let rules = (transport == "all" ? ["tcp", "udp"] : [transport]).compactMap { PortRule("\(number)/\($0)") }
        guard !rules.isEmpty else {
          throw .error("a port is no number with tcp, udp, icmp or all", at: port.location)
        }
        ports += rules
      }
    }
    return (ports, remarks)
  }
}
