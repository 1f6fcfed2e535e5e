import EgressPolicy
import IPNetwork

/// A draft with the name that it has here.
struct NamedServer {
  var draft: ServerDraft
  let name: String
  /// Why it is not called as in the source.
  let renamed: String?
  let networks: [IPPrefix]

  /// What a server without a name in any source is called.
  private static let unnamed = "imported"

  /// The servers that are written, each with a name of its own.
  ///
  /// - Throws: why what the options ask for is not there.
  static func name(_ drafts: [ServerDraft], _ options: ImportOptions) throws(ImportError) -> [NamedServer] {
    let chosen = try choose(drafts, options.server)
    guard options.networks.isEmpty || chosen.count <= 1 else {
      throw ImportError(
        "--network is one server's, and there are \(chosen.count): --server says which. \(list(chosen))")
    }
    var taken: Set<String> = []
    let shared = Dictionary(chosen.flatMap { Set($0.networks).map { ($0, 1) } }, uniquingKeysWith: +).filter {
      $0.value > 1
    }
    return chosen.map { draft in
      let name = options.server?.text ?? unique(sanitized(draft.name ?? unnamed), &taken)
      let written = draft.name ?? name
      let why = options.server == nil && written != name ? "\(CommentText.quoted(written)) is called \(name) here" : nil
      var draft = draft
      draft.leaveNetworks(Set(shared.keys))
      return NamedServer(
        draft: draft, name: name,
        renamed: draft.name == nil && options.server == nil ? "fill in: the server's name" : why,
        networks: options.networks.isEmpty ? draft.networks : options.networks)
    }
  }

  /// What YAML would read as something else than a text.
  var written: String {
    ["null", "true", "false", "yes", "no", "on", "off", "y", "n"].contains(name) ? "\"\(name)\"" : name
  }

  private static func choose(_ drafts: [ServerDraft], _ server: ServerName?) throws(ImportError) -> [ServerDraft] {
    guard let server, drafts.count != 1 else { return drafts }
    let exact = drafts.filter { $0.name == server.text }
    let found = exact.isEmpty ? drafts.filter { $0.name.map(sanitized) == server.text } : exact
    guard let first = found.first else {
      throw ImportError("no server \(server) in what was read. \(list(drafts))")
    }
    guard found.count == 1 else {
      let places = found.prefix(20).map { CommentText.safe("\($0.location)") }.joined(separator: ", ")
      throw ImportError("\(found.count) servers are called \(server), expected one: \(places)")
    }
    return [first]
  }

  private static func list(_ drafts: [ServerDraft]) -> String {
    let names = drafts.map { CommentText.safe($0.name ?? "one without a name") }
    return "There: " + names.prefix(20).joined(separator: ", ")
      + (names.count > 20 ? " and \(names.count - 20) more" : "")
  }

  /// A name of a server's alphabet that is as near to `text` as can be.
  static func sanitized(_ text: String) -> String {
    var name = String(
      text.lowercased().unicodeScalars.prefix(ServerName.maximumLength - 4).map { scalar in
        "abcdefghijklmnopqrstuvwxyz0123456789-_".unicodeScalars.contains(scalar) ? Character(scalar) : "-"
      })
    while name.hasPrefix("-") || name.hasPrefix("_") { name.removeFirst() }
    while name.hasSuffix("-") || name.hasSuffix("_") { name.removeLast() }
    switch ServerName.fault(of: name) {
    case nil: return name
    case .empty: return unnamed
    case .firstCharacter: return "s-" + name
    default: return name + "-mcp"
    }
  }

  private static func unique(_ name: String, _ taken: inout Set<String>) -> String {
    var candidate = name
    var number = 2
    while !taken.insert(candidate).inserted {
      candidate = "\(name.prefix(ServerName.maximumLength - 8))-\(number)"
      number += 1
    }
    return candidate
  }
}

extension ServerDraft {
  /// A network is one server's, since nothing else tells queries of two apart: one of several is none's.
  fileprivate mutating func leaveNetworks(_ shared: Set<IPPrefix>) {
    for network in networks where shared.contains(network) {
      let text = "\(network) is the network of several servers: a server needs one of its own"
      remarks.append(ImportRemark(kind: .lost, text: text))
    }
    networks.removeAll { shared.contains($0) }
  }
}
