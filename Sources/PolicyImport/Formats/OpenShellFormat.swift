import EgressPolicy
import IPNetwork
import Settings

/// `network_policies` of NVIDIA OpenShell's sandboxes, and the endpoints of its provider profiles.
///
/// After NVIDIA/OpenShell, docs/reference/policy-schema.mdx, providers/*.yaml and examples/ (2026-08-21): `*` in the first label
/// alone, where it is any octets without a dot, or none; `**.` is one label or more.
enum OpenShellFormat {
  private static let meaning = NameMeaning(
    star: .one, stars: .oneOrMore, inner: .octets(dots: false), tool: "OpenShell")

  /// What no name may lead to: this host, loopback, the link with its metadata services, groups (RFC 6890).
  private static let special = [
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8",
  ].compactMap { IPPrefix($0) }

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    var found = false
    for document in try source.documents() {
      let profile = document["endpoints"] == nil ? nil : document["id"]?.word
      let policies = document["network_policies"].map { $0.isMapping ? $0.pairs.map(\.value) : [] } ?? []
      let lists = document["network_policies"] == nil && document["endpoints"] != nil ? [document] : policies
      guard document["network_policies"] != nil || !lists.isEmpty else { continue }
      found = true
      let server = draft.server(profile, at: document.location)
      for list in lists {
        for endpoint in try entries(list["endpoints"]) { try add(endpoint, to: server, into: &draft) }
        if list["binaries"] != nil {
          draft.remark(.widened, "binaries: some programs alone there; here every program of the container", of: server)
        }
      }
    }
    guard found else {
      throw .error("holds no network_policies, expected them, or endpoints of a profile", at: source.place(0))
    }
  }

  private static func entries(_ node: YAMLNode?) throws(Diagnostic) -> [YAMLNode] {
    guard let node, !node.isNull else { return [] }
    guard node.isSequence else {
      throw .error("\(node.summary) found, expected a list of endpoints", at: node.location)
    }
    return Array(node.elements)
  }

  private static func add(_ endpoint: YAMLNode, to server: Int, into draft: inout ImportDraft) throws(Diagnostic) {
    // Of a profile it may be HOST:PORT.
    if endpoint.word != nil {
      return try draft.add(ListedHost(endpoint.word ?? "", at: endpoint.location), meaning, to: server)
    }
    let node = try endpoint.mapping("an endpoint: a mapping with host and port")
    let listed = try (node["port"]?.words(of: "ports") ?? []) + (node["ports"]?.words(of: "ports") ?? [])
    let ports = listed.compactMap { PortRule("\($0.word ?? "")/tcp") }
    let addresses = try node["allowed_ips"]?.words(of: "networks") ?? []
    let written = node["host"]?.word ?? "endpoint"
    guard !ports.isEmpty, ports.count == listed.count else {
      return try draft.refuse(written, at: node.location, "expected a port from 1 to 65535", of: server)
    }
    var host = ListedHost(written, at: node.location, ports: PortSet(ports), remarks: remarks(node))
    guard node["host"]?.word != nil else {
      for address in addresses {
        try draft.add(ListedHost(address.word ?? "", at: address.location, ports: PortSet(ports)), meaning, to: server)
      }
      return
    }
    for address in addresses {
      guard let prefix = WrittenHost.network(address.word ?? "") else {
        try draft.refuse(
          "allowed_ips: \(address.word ?? "")", at: address.location, "is no network, expected one such as 10.0.0.0/8",
          of: server)
        continue
      }
      guard prefix.length > 0, !Self.special.contains(where: prefix.overlaps) else {
        try draft.refuse(
          "allowed_ips: \(prefix)", at: address.location,
          "holds loopback, link-local or other special addresses, expected a network of hosts", of: server)
        continue
      }
      host.privatePrefixes.append(prefix)
    }
    if addresses.isEmpty, !written.contains("*") {
      draft.remark(
        .lost, "private addresses of a host without allowed_ips: here private: has to list them", of: server)
    }
    try draft.add(host, meaning, to: server)
  }

  private static func remarks(_ node: YAMLNode) -> [ImportRemark] {
    let isFull = node["access"]?.word == "full" && node["deny_rules"] == nil
    let limits = ["access", "rules", "deny_rules", "path"].filter { node[$0] != nil }
    guard !limits.isEmpty, !isFull || node["path"] != nil else { return [] }
    let text = "\(limits.joined(separator: ", ")): some requests alone there; here everything of the host"
    return [ImportRemark(kind: .widened, text: text)]
  }
}
