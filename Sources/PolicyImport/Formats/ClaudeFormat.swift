import EgressPolicy
import Settings

/// Settings of Claude Code, whose sandbox holds commands to domains; and the domains of its devcontainer's firewall script.
///
/// After settings.json as documented for 2.1 (read 2026-09-14), anthropic-experimental/sandbox-runtime, README.md and
/// src/sandbox/sandbox-manager.ts (2025-12-12), and anthropics/claude-code, .devcontainer/init-firewall.sh (2026-08-22).
enum ClaudeFormat {
  private static let meaning = NameMeaning(star: .oneOrMore, tool: "Claude Code")
  private static let script = NameMeaning(tool: "the firewall script")

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    let first = source.octets.first { ![0x20, 0x09, 0x0A, 0x0D, 0xEF, 0xBB, 0xBF].contains($0) }
    guard first == UInt8(ascii: "{") else { return try domains(source, into: &draft) }
    var found = false
    for document in try source.documents() {
      let server = draft.server(nil, at: document.location)
      for network in [document["sandbox"]?["network"], document["network"]].compactMap({ $0 }) {
        found = try sandbox(network, to: server, into: &draft) || found
      }
      if let permissions = document["permissions"] {
        found = try rules(permissions, to: server, into: &draft) || found
      }
    }
    guard found else {
      throw .error(
        "names no domains, expected sandbox.network.allowedDomains, or WebFetch(domain:…) in permissions",
        at: source.place(0))
    }
  }

  private static func sandbox(
    _ network: YAMLNode, to server: Int, into draft: inout ImportDraft
  ) throws(Diagnostic) -> Bool {
    var found = false
    for (key, isDenied) in [("allowedDomains", false), ("deniedDomains", true)] {
      guard let list = network[key] else { continue }
      found = true
      for domain in try list.words(of: "domains") {
        try draft.add(ListedHost(domain.word ?? "", at: domain.location, isDenied: isDenied), meaning, to: server)
      }
    }
    return found
  }

  /// Rules for the tool that fetches pages hold for the sandbox as well.
  private static func rules(
    _ permissions: YAMLNode, to server: Int, into draft: inout ImportDraft
  ) throws(Diagnostic) -> Bool {
    var found = false
    for (key, isDenied) in [("allow", false), ("deny", true)] {
      guard let list = permissions[key], list.isSequence else { continue }
      for rule in list.elements {
        guard let text = rule.word, text.hasPrefix("WebFetch") else { continue }
        found = true
        if text.hasPrefix("WebFetch(domain:"), text.hasSuffix(")") {
          let domain = text.dropFirst("WebFetch(domain:".count).dropLast()
          try draft.add(ListedHost(domain, at: rule.location, isDenied: isDenied), meaning, to: server)
        } else {
          try draft.refuse(
            text, at: rule.location, isDenied: isDenied,
            "\(isDenied ? "denies" : "opens") every domain, expected WebFetch(domain:…) for each", of: server)
        }
      }
    }
    return found
  }

  /// Of a script the words of its `for domain in` alone; of another text each line.
  private static func domains(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    let lines = try source.lines()
    let server = draft.server(nil, at: source.place(1))
    let loop = lines.firstIndex { $0.text.contains("for domain in") }
    let end = loop.flatMap { start in lines[start...].firstIndex { Self.ends($0.text) } }
    if loop != nil {
      draft.remark(
        .lost, "what the script opens beside its domains: DNS, SSH, the host's network, the ranges of GitHub's API",
        of: server)
    }
    for line in lines[(loop ?? 0)..<(end.map { $0 + 1 } ?? lines.count)] {
      var text = line.text
      if let start = text.firstRange(of: "for domain in") { text = text[start.upperBound...] }
      for word in Self.words(text) {
        try draft.add(ListedHost(word, at: source.place(line.number)), script, to: server)
      }
    }
  }

  private static func ends(_ line: Substring) -> Bool {
    line.contains("; do") || WrittenHost.trimmed(line) == "do"
  }

  /// Words of a shell's line without quotes, up to a comment or the loop's body.
  private static func words(_ line: Substring) -> [String] {
    var words: [String] = []
    for word in line.split(whereSeparator: { $0.isWhitespace || $0 == "," }) {
      if word.hasPrefix("#") || word == "do" { break }
      let bare = word.filter { $0 != "\"" && $0 != "'" && $0 != ";" && $0 != "\\" }
      if !bare.isEmpty { words.append(bare) }
    }
    return words
  }
}
