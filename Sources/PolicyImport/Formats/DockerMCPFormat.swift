import EgressPolicy
import Settings

/// `allowHosts` and `disableNetwork` of servers for Docker's MCP gateway: a server's file, a list of them, a catalog.
///
/// After docker/mcp-registry, servers/*/server.yaml (2026-07-08), and docker/mcp-gateway, docs/server-entry-spec.md and
/// pkg/gateway/proxies/proxy_spec.go (2026-07-23): `HOST:PORT`, behind which /http, /https or /tcp may stand; no wildcards.
enum DockerMCPFormat {
  private static let meaning = NameMeaning(tool: "Docker's MCP gateway")

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    var found = false
    var silent = 0
    let documents = try source.documents()
    try NamedMappings(namesEndAt: ["run"]).visit(documents) { visit throws(Diagnostic) in
      let node = visit.node
      let run = node["run"].flatMap { $0.isMapping ? $0 : nil }
      let hosts = node["allowHosts"] ?? run?["allowHosts"]
      let isOff = (node["disableNetwork"] ?? run?["disableNetwork"])?.isTrue ?? false
      guard visit.key != "run" else { return }
      guard hosts != nil || isOff else {
        if node["image"] != nil { silent += 1 }
        return
      }
      found = true
      let server = draft.server(visit.name, at: node.location)
      guard !isOff, let hosts else { return }
      for host in try hosts.words(of: "hosts such as api.example.com:443") {
        try add(host, to: server, into: &draft)
      }
    }
    if silent > 0 {
      draft.remark(
        .lost,
        "\(silent) servers of \(source.name) say nothing of the network, which is open to them there: they are left out"
      )
    }
    guard found else {
      throw .error("names no allowHosts, expected servers with allowHosts: [ HOST:PORT ]", at: source.place(0))
    }
  }

  private static func add(_ node: YAMLNode, to server: Int, into draft: inout ImportDraft) throws(Diagnostic) {
    let written = node.word ?? ""
    var text = written[...]
    for ending in ["/http", "/https", "/tcp"] where text.hasSuffix(ending) { text = text.dropLast(ending.count) }
    var listed = ListedHost(text, at: node.location)
    listed.written = written
    let host = WrittenHost(text)
    switch host.port {
    case nil:
      return try draft.refuse(
        written, at: node.location, "the gateway takes a host with its port alone, expected HOST:PORT", of: server)
    case .one(let port): listed.ports = .ports([port])
    case .any, .wrong: break
    }
    try draft.add(listed, meaning, to: server)
  }
}
