import EgressPolicy
import Settings

/// `allowed-endpoints` of StepSecurity's Harden-Runner, in a workflow, a step or a policy of its store.
///
/// After inputs as workflows have them (step-security/harden-runner v2, read 2026-09) and step-security/agent, dnsproxy.go
/// (its newest version that can be read): an endpoint is a name and a port; `*` is compared as a prefix and a suffix.
enum HardenRunnerFormat {
  private static let meaning = NameMeaning(star: .oneOrMore, inner: .octets(dots: true), tool: "Harden-Runner")

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    let documents = try source.documents()
    var places = TokenPlaces(try source.lines())
    var found = false
    for document in documents {
      let jobs = document["jobs"].map { $0.isMapping ? $0.pairs : [] } ?? []
      let parts = jobs.isEmpty ? [(nil, document)] : jobs.map { ($0.key.text, $0.value) }
      for (job, part) in parts {
        try NamedMappings().visit([part]) { visit throws(Diagnostic) in
          guard let list = visit.node["allowed-endpoints"] else { return }
          found = true
          let server = draft.server(job, at: list.location, scope: source.name)
          if let policy = visit.node["egress-policy"], policy.word == "audit" {
            draft.remark(.lost, "egress-policy: audit there, which blocks nothing", of: server)
          }
          try endpoints(list, source, &places, to: server, into: &draft)
        }
      }
    }
    guard found else {
      throw .error("holds no allowed-endpoints, expected a workflow or step with them", at: source.place(0))
    }
  }

  private static func endpoints(
    _ list: YAMLNode, _ source: ImportSource, _ places: inout TokenPlaces, to server: Int, into draft: inout ImportDraft
  ) throws(Diagnostic) {
    for node in try list.words(of: "endpoints such as api.example.com:443") {
      for endpoint in (node.word ?? "").split(whereSeparator: { $0.isWhitespace || $0 == "," }) {
        let line = places.line(of: endpoint, from: node.location.line)
        var listed = ListedHost(endpoint, at: source.place(line))
        // What names no port is open on 443 there.
        if WrittenHost(endpoint).meantPort == nil { listed.ports = .https }
        try draft.add(listed, meaning, to: server)
      }
    }
  }
}

/// Where words of a folded text stand, of which YAML knows the beginning alone.
struct TokenPlaces {
  /// Lines that are looked through for one word: a text of more words than that has them on its first line.
  private static let maximumLines = 4_096

  private let lines: [(number: Int, text: Substring)]
  /// The line of the last word found.
  private var last = 0
  /// What follows it there.
  private var rest: Substring = ""

  init(_ lines: [(number: Int, text: Substring)]) {
    self.lines = lines
  }

  /// The line of a word at or behind one, and behind the last one that was asked for; the line itself where there is none.
  mutating func line(of token: Substring, from start: Int) -> Int {
    let first = max(start, last)
    guard first >= 1, first <= lines.count else { return start }
    for line in lines[(first - 1)...].prefix(Self.maximumLines) {
      let text = line.number == last ? rest : line.text
      guard let found = text.firstRange(of: token) else { continue }
      last = line.number
      rest = text[found.upperBound...]
      return line.number
    }
    return start
  }
}
