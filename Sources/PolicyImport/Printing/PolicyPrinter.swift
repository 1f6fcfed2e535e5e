import EgressPolicy
import IPNetwork

/// Writes drafts as policy documents, each entry on a line of its own with what is to be said of it.
struct PolicyPrinter {
  /// What a line of the text was made of.
  struct Origin: Hashable {
    let server: Int
    let entry: ImportEntry
    let isDenied: Bool
  }

  private static let denyKey = "deny"

  private(set) var lines: [String] = []
  /// By the number of the line, counted from 1.
  private(set) var origins: [Int: Origin] = [:]
  /// Documents whose networks are to be filled in.
  private var unplaced = 0

  var text: String { lines.joined(separator: "\n") + "\n" }

  /// - Parameter heading: comments that stand in front of all.
  init(_ servers: [NamedServer], heading: [String]) {
    lines = heading.map(Self.comment)
    for (index, server) in servers.enumerated() {
      if index > 0 { lines.append("---") }
      write(server, index)
    }
  }

  private mutating func write(_ server: NamedServer, _ index: Int) {
    if let renamed = server.renamed { lines.append(Self.comment(renamed)) }
    lines += server.draft.remarks.map { Self.comment("\($0.kind.rawValue): \($0.text)") }
    lines.append("server: \(server.written)")
    lines.append(networks(server.networks))
    let denied = server.draft.items.indices.filter { server.draft.items[$0].isDenied }
    let allowed = server.draft.items.indices.filter { !server.draft.items[$0].isDenied }
    section("egress", server.draft, allowed, index)
    if !denied.isEmpty { section(Self.denyKey, server.draft, denied, index) }
  }

  private mutating func networks(_ networks: [IPPrefix]) -> String {
    guard networks.isEmpty else { return "networks: [ \(networks.map(Self.yaml).joined(separator: ", ")) ]" }
    unplaced += 1
    // Of the prefix for documentation (RFC 3849), whose addresses nobody has.
    return "networks: [ \"2001:db8:0:\(String(unplaced, radix: 16))::/64\" ]  # fill in: the network of its container; "
      + "no query comes from this one"
  }

  private mutating func section(_ key: String, _ draft: ServerDraft, _ items: [Int], _ server: Int) {
    let isDenied = key == Self.denyKey
    let start = lines.count
    lines.append("\(key):")
    var written: Set<ImportEntry> = []
    for index in items {
      let item = draft.items[index]
      var remarks = item.remarks
      for entry in item.entries where written.insert(entry).inserted {
        lines.append("  - " + (isDenied ? Self.denied(entry) : Self.allowed(entry)) + Self.beside(remarks, item))
        origins[lines.count] = Origin(server: server, entry: entry, isDenied: isDenied)
        remarks = []
      }
      if !remarks.isEmpty { lines.append("  " + Self.alone(remarks, item)) }
    }
    if written.isEmpty { lines[start] = "\(key): []" }
  }

  // MARK: - Lines

  private static func allowed(_ entry: ImportEntry) -> String {
    var parts: [String]
    switch entry.target {
    case .host(let pattern):
      guard entry.ports != .https || !entry.privatePrefixes.isEmpty else { return yaml(pattern) }
      parts = ["host: \(yaml(pattern))"]
    case .network(let prefix): parts = ["cidr: \(yaml(prefix))"]
    }
    if entry.ports != .https { parts.append("ports: \(yaml(entry.ports))") }
    if !entry.privatePrefixes.isEmpty {
      parts.append("private: [ \(entry.privatePrefixes.map(yaml).joined(separator: ", ")) ]")
    }
    return "{ \(parts.joined(separator: ", ")) }"
  }

  private static func denied(_ entry: ImportEntry) -> String {
    switch entry.target {
    case .host(let pattern): yaml(pattern)
    case .network(let prefix): "{ cidr: \(yaml(prefix)) }"
    }
  }

  private static func yaml(_ pattern: NamePattern) -> String {
    let text = "\(pattern)"
    return text.hasPrefix("*") ? "\"\(text)\"" : text
  }

  private static func yaml(_ prefix: IPPrefix) -> String {
    prefix.address.family == .v4 ? "\(prefix)" : "\"\(prefix)\""
  }

  private static func yaml(_ ports: PortSet) -> String {
    ports == .any ? "any" : "[ \(ports.texts.joined(separator: ", ")) ]"
  }

  private static func beside(_ remarks: [ImportRemark], _ item: ImportItem) -> String {
    remarks.isEmpty ? "" : "  " + said(remarks, item)
  }

  private static func alone(_ remarks: [ImportRemark], _ item: ImportItem) -> String { said(remarks, item) }

  private static func said(_ remarks: [ImportRemark], _ item: ImportItem) -> String {
    let texts = remarks.map { "\($0.kind.rawValue): \($0.text)" }.joined(separator: "; ")
    return comment("\(item.location): \(CommentText.quoted(item.written)): \(texts)")
  }

  static func comment(_ text: String) -> String { "# " + CommentText.safe(text) }
}

/// Text of a source in a comment: on one line, printable, bounded.
enum CommentText {
  /// Characters of one comment; what is longer is cut.
  private static let limit = 400

  static func safe(_ text: String) -> String {
    var safe = ""
    for (index, scalar) in text.unicodeScalars.enumerated() {
      if index == limit { return safe + "…" }
      safe += isPrintable(scalar) ? String(scalar) : scalar.escaped(asASCII: true)
    }
    return safe
  }

  /// Printable in single quotes, cut at 80 characters.
  static func quoted(_ text: String) -> String {
    let short = text.unicodeScalars.prefix(80)
    return "'" + safe(String(String.UnicodeScalarView(short)))
      + (short.endIndex < text.unicodeScalars.endIndex ? "…'" : "'")
  }

  /// What YAML takes in a comment, and a terminal shows as it is (YAML 1.1 section 5.1).
  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate: false
    default: true
    }
  }
}
