import EgressPolicy
import IPNetwork
import Settings

/// Labels of services in Compose files, of dockerwall and of whalewall, and the subnets of their networks.
///
/// After flaviostutz/dockerwall, README.md (2019-05) and capnspacehook/whalewall, README.md (2026), labels `dockerwall.outbound`
/// and `whalewall.rules`. dockerwall speaks of `*.example.com` and does not say how deep it goes: one label is taken.
enum ComposeFormat {
  private static let dockerwall = NameMeaning(star: .one, tool: "dockerwall")
  private static let whalewall = NameMeaning(tool: "whalewall")

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    var found = false
    for document in try source.documents() {
      guard let services = document["services"] else { continue }
      for (key, service) in try services.mapping("services: a mapping").pairs {
        found = try read(service, key.text, document, source, into: &draft) || found
      }
    }
    guard found else {
      throw .error(
        "has no service with a label dockerwall.outbound or whalewall.rules, expected one", at: source.place(0))
    }
  }

  private static func read(
    _ service: YAMLNode, _ name: String?, _ document: YAMLNode, _ source: ImportSource, into draft: inout ImportDraft
  ) throws(Diagnostic) -> Bool {
    let labels = labels(service)
    let known = labels.filter { ["dockerwall.outbound", "whalewall.enabled", "whalewall.rules"].contains($0.name) }
    guard !known.isEmpty else { return false }
    let server = draft.server(name, at: service.location, scope: source.name)
    draft.add(networks: subnets(service, document), to: server)
    for label in known {
      switch label.name {
      case "dockerwall.outbound":
        for host in label.value.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
          try draft.add(ListedHost(host, at: label.location), dockerwall, to: server)
        }
      case "whalewall.rules": try rules(label.value, at: label.location, to: server, into: &draft)
      default: break
      }
    }
    return true
  }

  /// Of a mapping, or a list of `NAME=VALUE`.
  private static func labels(_ service: YAMLNode) -> [(name: String, value: String, location: SourceLocation)] {
    guard let labels = service["labels"] else { return [] }
    if labels.isSequence {
      return labels.elements.compactMap { label in
        let parts = (label.text ?? "").split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        return parts.count == 2 ? (String(parts[0]), String(parts[1]), label.location) : nil
      }
    }
    return labels.pairs.compactMap { key, value in
      key.text.flatMap { name in value.text.map { (name, $0, value.location) } }
    }
  }

  /// Of the networks that the service is in, those that the file gives subnets.
  private static func subnets(_ service: YAMLNode, _ document: YAMLNode) -> [IPPrefix] {
    let joined: [String]
    switch service["networks"] {
    case let list? where list.isSequence: joined = list.elements.compactMap(\.text)
    case let map? where map.isMapping: joined = map.pairs.compactMap(\.key.text)
    default: joined = ["default"]
    }
    return joined.flatMap { name -> [IPPrefix] in
      guard let configuration = document["networks"]?[name]?["ipam"]?["config"], configuration.isSequence else {
        return []
      }
      return configuration.elements.compactMap {
        $0["subnet"]?.word.flatMap { IPPrefix($0) }.flatMap { $0.length > 0 ? $0 : nil }
      }
    }
  }

  /// Rules of whalewall are YAML within the label; their lines are counted from it.
  private static func rules(
    _ text: String, at location: SourceLocation, to server: Int, into draft: inout ImportDraft
  ) throws(Diagnostic) {
    let documents: [YAMLNode]
    do {
      documents = try YAMLReader.read(Array(text.utf8), name: location.file).documents
    } catch {
      throw .error("whalewall.rules \(error.message)", at: location)
    }
    guard let rules = documents.first else { return }
    if rules["mapped_ports"] != nil {
      draft.remark(
        .lost, "mapped_ports: what may connect to a server is inbound:, and needs its ports alone", of: server)
    }
    guard let output = rules["output"], output.isSequence else { return }
    for rule in output.elements { try self.rule(rule, at: location, to: server, into: &draft) }
  }

  private static func rule(
    _ rule: YAMLNode, at location: SourceLocation, to server: Int, into draft: inout ImportDraft
  ) throws(Diagnostic) {
    let ports = try rule.first("dst_ports", "port")?.words(of: "ports") ?? []
    let transport = rule["proto"]?.word ?? ""
    let rules = ports.compactMap { PortRule("\($0.word ?? "")/\(transport)") }
    let written = "output: \(transport) \(ports.compactMap(\.word).joined(separator: " "))"
    guard !rules.isEmpty, rules.count == ports.count else {
      return try draft.refuse(written, at: location, "expected proto tcp or udp, and ports one by one", of: server)
    }
    if let container = rule["container"]?.word {
      let text =
        "container \(container): those of its own network it reaches in any case, others need their network as cidr"
      return try draft.note(ImportRemark(kind: .lost, text: text), written, at: location, of: server)
    }
    if rules.allSatisfy({ $0.port == 53 }) {
      let remark = ImportRemark(kind: .lost, text: "the resolver: here Sluice is asked, and needs no entry")
      return try draft.note(remark, written, at: location, of: server)
    }
    let addresses = try rule.first("ips", "ip")?.words(of: "addresses") ?? []
    if addresses.isEmpty {
      try draft.refuse(
        written, at: location, "opens \(PortSet(rules)) of every host, expected each by itself", of: server)
    }
    for address in addresses {
      try draft.add(ListedHost(address.word ?? "", at: location, ports: PortSet(rules)), whalewall, to: server)
    }
  }
}
