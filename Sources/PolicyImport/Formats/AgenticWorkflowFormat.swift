import EgressPolicy
import Settings

/// `network:` of a workflow for GitHub Agentic Workflows: Markdown with YAML in front, or YAML alone.
///
/// After github/gh-aw, docs/src/content/docs/reference/network.md, and github/gh-aw-firewall, src/domain-patterns.ts (both read
/// 2026-09): a domain is meant with all below it, on 80 and 443; `*` is any octets of a name, dots too, or none.
enum AgenticWorkflowFormat {
  private static let meaning = NameMeaning(
    isPlainWide: true, star: .oneOrMore, inner: .octets(dots: true), tool: "gh-aw")
  private static let web = PortSet([PortRule(80, .tcp), PortRule(443, .tcp)])

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    let documents = try frontMatter(source).documents()
    guard let root = documents.first, let network = root["network"] else {
      throw .error("has no network:, expected it in the YAML in front of the workflow", at: source.place(0))
    }
    let server = draft.server(nil, at: network.location)
    if let word = network.word { return try add(word, at: network.location, isDenied: false, to: server, into: &draft) }
    for (key, isDenied) in [("allowed", false), ("blocked", true)] {
      for entry in try network[key]?.words(of: "domains and ecosystems") ?? [] {
        try add(entry.word ?? "", at: entry.location, isDenied: isDenied, to: server, into: &draft)
      }
    }
    if network["firewall"]?["allow-urls"] != nil {
      draft.remark(.widened, "allow-urls: paths there; here all of the hosts", of: server)
    }
  }

  private static func add(
    _ text: String, at location: SourceLocation, isDenied: Bool, to server: Int, into draft: inout ImportDraft
  ) throws(Diagnostic) {
    if text == "local" {
      let remark = ImportRemark(kind: .lost, text: "the container itself, which it reaches in any case")
      return try draft.note(remark, text, at: location, isDenied: isDenied, of: server)
    }
    guard text.contains(".") || text == "*" || text == "localhost" || text.contains(":") else {
      return try draft.refuse(
        text, at: location, isDenied: isDenied,
        "a list of gh-aw's own, expected its hosts, or include: of a list (sluice lists)",
        of: server)
    }
    let written = WrittenHost(text)
    let ports: PortSet? = written.meantPort == nil ? web : nil
    try draft.add(ListedHost(text, at: location, ports: ports, isDenied: isDenied), meaning, to: server)
  }

  /// The YAML between the first two lines `---`, with its lines where they were.
  private static func frontMatter(_ source: ImportSource) throws(Diagnostic) -> ImportSource {
    let lines = try source.lines()
    guard lines.first.map({ WrittenHost.trimmed($0.text) }) == "---",
      let end = lines.dropFirst().first(where: { WrittenHost.trimmed($0.text) == "---" })
    else { return source }
    let kept = lines.map { $0.number < end.number ? String($0.text) : "" }
    return ImportSource(name: source.name, octets: Array(kept.joined(separator: "\n").utf8))
  }
}
