import EgressPolicy
import Settings

/// Permission profiles of ToolHive, alone, in lists, in registries and in MCPServer resources.
///
/// After stacklok/toolhive-registry, registry/*/spec.yaml (2025-08-30), and stacklok/toolhive, docs/arch/05 and
/// pkg/container/docker/{squid,envoy}.go (2026-08-21), from which the meaning of its names is: dstdomain of Squid.
enum ToolHiveFormat {
  private static let meaning = NameMeaning(star: .zeroOrMore, dot: .zeroOrMore, tool: "ToolHive")

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    var found = false
    let documents = try source.documents()
    try NamedMappings(namesEndAt: ["permissions", "permissionProfile", "network"]).visit(documents) {
      visit throws(Diagnostic) in
      guard let network = visit.node["network"], network.isMapping, network["outbound"] != nil else { return }
      found = true
      try profile(network, visit.name, into: &draft)
    }
    guard found else {
      throw .error("holds no permissions, expected network: { outbound: … } of a profile", at: source.place(0))
    }
  }

  private static func profile(
    _ network: YAMLNode, _ name: String?, into draft: inout ImportDraft
  ) throws(Diagnostic) {
    let server = draft.server(name, at: network.location, scope: network.location.file)
    if let mode = network["mode"], mode.word == "host" {
      try draft.refuse("mode: host", at: mode.location, "the host's own network has no policy", of: server)
    }
    if network["mode"]?.word == "none" {
      draft.remark(.lost, "mode: none there, where nothing of its list is open, and nothing here", of: server)
      return
    }
    guard let outbound = network["outbound"], !outbound.isNull else { return }
    let ports = try ports(try outbound.mapping("outbound: a mapping"))
    let hosts = try outbound.first("allow_host", "allowHost")?.words(of: "hosts") ?? []
    if let all = outbound.first("insecure_allow_all", "insecureAllowAll"), all.isTrue {
      try draft.refuse(
        "insecure_allow_all: true", at: all.location, "opens every host, expected an entry for each that it needs",
        of: server)
    } else if hosts.isEmpty, let ports {
      try draft.refuse(
        "allow_port", at: outbound.location, "opens \(ports) of every host, expected an entry for each that it needs",
        of: server)
    }
    for host in hosts {
      try draft.add(ListedHost(host.word ?? "", at: host.location, ports: ports), meaning, to: server)
    }
  }

  /// Nil where every port is open.
  private static func ports(_ outbound: YAMLNode) throws(Diagnostic) -> PortSet? {
    let listed = try outbound.first("allow_port", "allowPort")?.words(of: "ports") ?? []
    var rules: [PortRule] = []
    for port in listed {
      guard let rule = PortRule("\(port.word ?? "")/tcp") else {
        throw .error("\(port.summary) found, expected a port from 1 to 65535", at: port.location)
      }
      rules.append(rule)
    }
    return rules.isEmpty ? nil : PortSet(rules)
  }
}
