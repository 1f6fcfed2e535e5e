import EgressPolicy

/// Domains of Codex's permission profiles, of its network proxy and of an administrator's requirements.
///
/// After developers.openai.com/codex/permissions (read 2026-08), openai/codex, codex-rs/network-proxy/README.md and
/// src/policy.rs (2026-08): `*.` is any labels, `**.` the name itself as well, and other `*` any octets, dots too, or none.
enum CodexFormat {
  private static let meaning = NameMeaning(
    star: .oneOrMore, stars: .zeroOrMore, inner: .octets(dots: true), tool: "Codex")

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    let root = try TOMLReader.read(source)
    var found = false
    for (name, table) in networks(root) {
      let server = draft.server(name, at: source.place(table.line))
      if let mode = table["mode"], mode.text == "limited" {
        draft.remark(.widened, "mode: limited there, which takes GET, HEAD and OPTIONS alone", of: server)
      }
      if let enabled = table["enabled"], enabled.text == "false" {
        draft.remark(.widened, "enabled: false there, where nothing of this list is open", of: server)
      }
      found = try add(table, source, to: server, into: &draft) || found
    }
    guard found else {
      throw .error(
        "names no domains, expected a table such as [permissions.NAME.network.domains]", at: source.place(0))
    }
  }

  /// The tables with domains, by the profile that they are of.
  private static func networks(_ root: TOMLTable) -> [(name: String?, table: TOMLTable)] {
    var tables: [(String?, TOMLTable)] = []
    if let permissions = root["permissions"]?.table {
      for (name, value) in permissions.entries {
        // Once it was [permissions.network], of no profile.
        if name == "network", let table = value.table { tables.append((nil, table)) }
        if let table = value.table?["network"]?.table { tables.append((name, table)) }
      }
    }
    for key in ["experimental_network", "network"] {
      if let table = root[key]?.table { tables.append((nil, table)) }
    }
    if let table = root["network_proxy"]?.table { tables.append((nil, table["policy"]?.table ?? table)) }
    if let table = root["features"]?.table?["network_proxy"]?.table { tables.append((nil, table)) }
    return tables
  }

  private static func add(
    _ table: TOMLTable, _ source: ImportSource, to server: Int, into draft: inout ImportDraft
  ) throws(Diagnostic) -> Bool {
    var found = false
    if let domains = table["domains"]?.table {
      found = true
      for (name, value) in domains.entries {
        let isDenied: Bool
        switch value.text {
        case "allow": isDenied = false
        case "deny": isDenied = true
        default:
          throw .error(
            "the domain \(CommentText.quoted(name)) has no word, expected allow or deny", at: source.place(value.line))
        }
        try draft.add(ListedHost(name, at: source.place(value.line), isDenied: isDenied), meaning, to: server)
      }
    }
    for (key, isDenied) in [("allowed_domains", false), ("denied_domains", true)] {
      guard let value = table[key] else { continue }
      guard let list = value.list else {
        throw .error("\(key) is no list, expected [ \"example.com\" ]", at: source.place(value.line))
      }
      found = true
      for entry in list {
        guard let text = entry.text else {
          throw .error("\(key) holds what is no text, expected names", at: source.place(entry.line))
        }
        try draft.add(ListedHost(text, at: source.place(entry.line), isDenied: isDenied), meaning, to: server)
      }
    }
    return found
  }
}
