import EgressPolicy
import IPNetwork
import Settings

/// Egress rules of CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.
///
/// After cilium/cilium, Documentation/security/policy/language.rst and pkg/fqdn/matchpattern/matchpattern.go (1.19, 2026):
/// `*` is any letters, digits, `-` and `_` of a label, or none; `**.` in front is one label or more; `*` alone is every name.
enum CiliumFormat {
  private static let name = NameMeaning(tool: "matchName")
  private static let pattern = NameMeaning(
    star: .one, stars: .oneOrMore, inner: .octets(dots: false), tool: "matchPattern")

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    var found = false
    for document in try source.documents() {
      let items = document["items"].map { $0.isSequence ? Array($0.elements) : [] } ?? []
      for policy in items.isEmpty ? [document] : items {
        guard policy["kind"]?.word?.hasPrefix("Cilium") ?? false else { continue }
        found = true
        try read(policy, into: &draft)
      }
    }
    guard found else {
      throw .error("holds no CiliumNetworkPolicy, expected kind: CiliumNetworkPolicy", at: source.place(0))
    }
  }

  private static func read(_ policy: YAMLNode, into draft: inout ImportDraft) throws(Diagnostic) {
    let metadata = policy["metadata"]
    let scope = [policy.location.file, policy["kind"]?.word ?? "", metadata?["namespace"]?.word ?? ""]
    let specs =
      [policy["spec"]].compactMap { $0 } + (policy["specs"].map { $0.isSequence ? Array($0.elements) : [] } ?? [])
    for (index, spec) in specs.enumerated() {
      // Each chooses its endpoints by itself.
      let server = draft.server(
        metadata?["name"]?.word ?? (specs.count > 1 ? "policy" : nil), at: spec.location,
        scope: (scope + ["\(index)"]).joined(separator: "\u{0}"))
      if spec["ingress"] != nil || spec["ingressDeny"] != nil {
        draft.remark(.lost, "ingress: what may connect to a server is inbound:, and needs its ports alone", of: server)
      }
      guard spec["egress"] != nil || spec["egressDeny"] != nil else {
        draft.remark(.refused, "a spec without egress opens everything there, expected its hosts", of: server)
        continue
      }
      for rule in try list(spec["egress"]) { try CiliumRule(rule, isDenied: false).add(to: server, &draft) }
      for rule in try list(spec["egressDeny"]) { try CiliumRule(rule, isDenied: true).add(to: server, &draft) }
    }
  }

  fileprivate static func list(_ node: YAMLNode?) throws(Diagnostic) -> [YAMLNode] {
    guard let node, !node.isNull else { return [] }
    guard node.isSequence else { throw .error("\(node.summary) found, expected a list of rules", at: node.location) }
    return Array(node.elements)
  }

  fileprivate static func meaning(_ key: String) -> NameMeaning { key == "matchName" ? name : pattern }
}

/// One rule of `egress` or `egressDeny`.
private struct CiliumRule {
  private let node: YAMLNode
  private let isDenied: Bool
  private let ports: PortSet?
  private let remarks: [ImportRemark]
  private let isDNS: Bool

  /// Ports of a range that are written one by one.
  private static let maximumRange = 32
  private static let portKeys: Set<String> = [
    "ports", "rules", "serverNames", "terminatingTLS", "originatingTLS", "listener",
  ]
  private static let destinations = [
    "toFQDNs", "toCIDR", "toCIDRSet", "toEndpoints", "toEntities", "toServices", "toGroups", "toNodes",
  ]

  init(_ node: YAMLNode, isDenied: Bool) throws(Diagnostic) {
    self.node = try node.mapping("a rule: a mapping with toFQDNs, toCIDR or the like")
    self.isDenied = isDenied
    var ports: [PortRule] = []
    var remarks: [ImportRemark] = []
    var isLimited = false
    var isKnown = true
    for group in try CiliumFormat.list(node["toPorts"]) {
      for (key, _) in group.isMapping ? Array(group.pairs) : [] where !Self.portKeys.contains(key.text ?? "") {
        isKnown = false
        remarks.append(
          ImportRemark(kind: .refused, text: "'\(key.text ?? "")' of toPorts limits it in a way unknown here"))
      }
      if let names = group["serverNames"], !names.isNull {
        remarks.append(ImportRemark(kind: .widened, text: "serverNames: these names of TLS alone there; here any"))
      }
      for port in try CiliumFormat.list(group["ports"]) {
        isLimited = true
        let (rules, remark) = Self.rules(port)
        ports += rules
        remarks += remark
      }
      if group["rules"]?["http"] != nil || group["rules"]?["kafka"] != nil || group["rules"]?["l7"] != nil {
        remarks.append(
          ImportRemark(kind: .widened, text: "methods and paths of rules: there; here everything of the host"))
      }
    }
    self.ports = isKnown && isLimited && !ports.isEmpty ? PortSet(ports) : nil
    isDNS = isLimited && ports.allSatisfy { $0.port == 53 } && !ports.isEmpty
    self.remarks = isLimited && ports.isEmpty ? remarks.map { ImportRemark(kind: .refused, text: $0.text) } : remarks
  }

  private static func rules(_ node: YAMLNode) -> ([PortRule], [ImportRemark]) {
    let transports: [PortRule.Transport]
    switch node["protocol"]?.word?.uppercased() ?? "ANY" {
    case "TCP": transports = [.tcp]
    case "UDP": transports = [.udp]
    case "ANY": transports = [.tcp, .udp]
    case let other: return ([], [ImportRemark(kind: .lost, text: "protocol \(other), of which no port can be opened")])
    }
    let first = UInt16(node["port"]?.word ?? "") ?? 0
    let last = node["endPort"].flatMap { UInt16($0.word ?? "") } ?? first
    guard first > 0, first <= last, Int(last) - Int(first) < maximumRange else {
      let text = "port \(node["port"]?.summary ?? "none") up to \(last), expected one port, or \(maximumRange) at most"
      return ([], [ImportRemark(kind: .refused, text: text)])
    }
    return ((first...last).flatMap { port in transports.map { PortRule(port, $0) } }, [])
  }

  func add(to server: Int, _ draft: inout ImportDraft) throws(Diagnostic) {
    if !Self.destinations.contains(where: { node[$0] != nil }) {
      try draft.refuse(
        node["toPorts"] == nil ? "{}" : "toPorts", at: node.location, isDenied: isDenied,
        isDenied
          ? "denies every destination, and so needs no entry" : "opens every destination, expected each by itself",
        of: server)
    }
    for entry in try CiliumFormat.list(node["toFQDNs"]) {
      guard let (key, value) = entry.pairs.first(where: { ["matchName", "matchPattern"].contains($0.key.text) }) else {
        throw .error("\(entry.summary) found, expected matchName or matchPattern", at: entry.location)
      }
      try add(value, CiliumFormat.meaning(key.text ?? ""), to: server, &draft)
    }
    for entry in try CiliumFormat.list(node["toCIDR"]) {
      try add(entry, CiliumFormat.meaning("matchName"), to: server, &draft)
    }
    for entry in try CiliumFormat.list(node["toCIDRSet"]) { try addSet(entry, to: server, &draft) }
    try addOthers(to: server, &draft)
  }

  private func add(
    _ entry: YAMLNode, _ meaning: NameMeaning, to server: Int, _ draft: inout ImportDraft, exceptions: [IPPrefix] = []
  ) throws(Diagnostic) {
    guard let text = entry.word else {
      throw .error("\(entry.summary) found, expected a name or a network", at: entry.location)
    }
    var listed = ListedHost(text, at: entry.location, ports: ports, isDenied: isDenied, remarks: remarks)
    listed.exceptions = exceptions
    if remarks.contains(where: { $0.kind == .refused }), ports == nil {
      return try draft.refuse(
        text, at: entry.location, isDenied: listed.isDenied, remarks.map(\.text).joined(separator: "; "), of: server)
    }
    if listed.isDenied, ports != nil || !remarks.isEmpty {
      listed.remarks = [
        ImportRemark(kind: .lost, text: "a part of it, such as its ports, alone there; here it is denied as a whole")
      ]
    }
    try draft.add(listed, meaning, to: server)
  }

  private func addSet(_ entry: YAMLNode, to server: Int, _ draft: inout ImportDraft) throws(Diagnostic) {
    guard let network = entry["cidr"] else {
      return try draft.refuse(
        "toCIDRSet", at: entry.location, isDenied: isDenied, "a group of networks of the cluster, expected cidr",
        of: server)
    }
    var exceptions: [IPPrefix] = []
    for exception in try entry["except"]?.words(of: "networks") ?? [] {
      guard let prefix = WrittenHost.network(exception.word ?? "") else {
        throw .error("\(exception.summary) found, expected a network", at: exception.location)
      }
      exceptions.append(prefix)
    }
    try add(network, CiliumFormat.meaning("matchName"), to: server, &draft, exceptions: exceptions)
  }

  /// What is of a cluster, and has no name or network of its own.
  private func addOthers(to server: Int, _ draft: inout ImportDraft) throws(Diagnostic) {
    for key in Self.destinations.dropFirst(3) {
      guard let other = node[key] else { continue }
      let written = other.isSequence ? other.elements.map { $0.word ?? key }.joined(separator: ", ") : key
      if isDNS, key == "toEndpoints" || key == "toEntities" {
        let remark = ImportRemark(kind: .lost, text: "the cluster's resolver: here Sluice is asked, and needs no entry")
        try draft.note(remark, written, at: other.location, isDenied: isDenied, of: server)
      } else {
        let isAll = key == "toEntities" && (written.contains("world") || written.contains("all"))
        try draft.refuse(
          written, at: other.location, isDenied: isDenied,
          isAll && !isDenied
            ? "opens every destination, expected each by itself"
            : "\(key) is of the cluster, expected the name or network that it stands for", of: server)
      }
    }
  }
}
