import EgressPolicy
import IPNetwork
import Settings

/// Why nothing can be imported, whatever the files say.
package struct ImportError: Error {
  /// A sentence.
  package let reason: String

  init(_ reason: String) {
    self.reason = reason
  }
}

/// How many lines of the sources came to what.
package struct ImportCounts: Equatable, Sendable {
  /// Entries of lists; switches such as `insecure_allow_all` are not among them, but among what is refused.
  package var entries = 0
  package var kept = 0
  package var lost = 0
  package var widened = 0
  package var refused = 0
  /// Of `refused` those that are entries of lists.
  package var refusedEntries = 0
}

/// A policy that was made of other tools' lists.
package struct ImportedPolicy: Sendable {
  /// YAML that `sluice check` takes.
  package let text: String
  package let counts: ImportCounts
  /// What needs a hand: `file:line: 'text': why`.
  package let refusals: [String]
}

/// Turns lists and policies of other tools into policy documents.
package enum PolicyImport {
  /// Rounds in which entries are taken out that the policy's own reader refuses; each takes out at least one, and what is left
  /// after so many is no matter of entries.
  private static let maximumRounds = 8

  /// Reads `sources` and writes one policy of them all.
  ///
  /// - Throws: the first fault of a file, a `Diagnostic`, or an `ImportError`.
  package static func run(
    _ format: ImportFormat, _ sources: [ImportSource], _ options: ImportOptions = ImportOptions()
  ) throws -> ImportedPolicy {
    var draft = ImportDraft(options: options)
    for source in sources {
      do throws(Diagnostic) {
        try format.read(source, into: &draft)
      } catch {
        // Messages quote the source, and go to a terminal.
        throw Diagnostic.error(CommentText.safe(error.message), at: error.location)
      }
    }
    var servers = try NamedServer.name(draft.servers, options)
    guard !servers.isEmpty else { throw ImportError("nothing of \(format.rawValue) was found in what was read") }
    for index in servers.indices {
      servers[index].draft.limitInnerWildcards()
      if format.addsUp { servers[index].draft.joinOverlaps() }
    }
    return try proven(&servers, draft.remarks, heading(format, sources))
  }

  /// What is printed passes `check`: it is read by what reads policies, and what that refuses is refused here.
  private static func proven(
    _ servers: inout [NamedServer], _ remarks: [ImportRemark], _ title: String
  ) throws(ImportError) -> ImportedPolicy {
    for _ in 0..<maximumRounds {
      let counts = count(servers, remarks)
      let printer = PolicyPrinter(servers, heading: heading(title, counts, remarks))
      let errors = PolicyText.read(Array(printer.text.utf8), name: "policy").findings.filter { $0.severity == .error }
      guard let first = errors.first else {
        return ImportedPolicy(text: printer.text, counts: counts, refusals: refusals(servers, remarks))
      }
      guard refuse(errors, of: printer, in: &servers) else {
        throw ImportError("what was made of it is no policy: \(first.description)")
      }
    }
    throw ImportError("what was made of it is no policy after \(maximumRounds) rounds")
  }

  /// Takes out the entries that errors stand at; false where they stand at none.
  private static func refuse(
    _ errors: [Diagnostic], of printer: PolicyPrinter, in servers: inout [NamedServer]
  ) -> Bool {
    var refused: [PolicyPrinter.Origin: ImportRemark] = [:]
    for error in errors {
      guard let origin = printer.origins[error.location.line] else { continue }
      refused[origin] = refusal(of: origin, error, servers[origin.server].draft)
    }
    // The same entry may come of many lines, of which the first is written.
    for server in servers.indices where refused.keys.contains(where: { $0.server == server }) {
      for index in servers[server].draft.items.indices {
        let item = servers[server].draft.items[index]
        let origins = item.entries.lazy.map { PolicyPrinter.Origin(server: server, entry: $0, isDenied: item.isDenied) }
        guard let remark = origins.compactMap({ refused[$0] }).first else { continue }
        servers[server].draft.items[index].entries = []
        servers[server].draft.items[index].remarks = [remark]
      }
    }
    return !refused.isEmpty
  }

  /// A network that policies cannot deny is closed all the same where no name may lead into it.
  private static func refusal(
    of origin: PolicyPrinter.Origin, _ error: Diagnostic, _ draft: ServerDraft
  ) -> ImportRemark {
    guard origin.isDenied, case .network(let network) = origin.entry.target,
      !network.address.isPublic, !network.last.isPublic, !draft.opens(network)
    else { return ImportRemark(kind: .refused, text: error.message) }
    return ImportRemark(
      kind: .lost, text: "a network that no name opens as long as private: does not list it, and no cidr: opens it")
  }

  private static func heading(_ format: ImportFormat, _ sources: [ImportSource]) -> String {
    let names = sources.prefix(8).map(\.name).joined(separator: " ") + (sources.count > 8 ? " …" : "")
    return "sluice import \(format.rawValue) \(names)"
  }

  private static func heading(_ title: String, _ counts: ImportCounts, _ remarks: [ImportRemark]) -> [String] {
    let lines = [
      title,
      "\(counts.entries) entries: \(counts.kept) as they were, \(counts.lost) with a loss, \(counts.widened) wider, "
        + "\(counts.refusedEntries) refused; \(counts.refused - counts.refusedEntries) more refusals.",
      "Each opens a way out of its container: keep only what you know it needs.",
    ]
    return lines + remarks.map { "\($0.kind.rawValue): \($0.text)" }
  }

  private static func count(_ servers: [NamedServer], _ remarks: [ImportRemark]) -> ImportCounts {
    var counts = ImportCounts()
    counts.refused = (remarks + servers.flatMap(\.draft.remarks)).count { $0.kind == .refused }
    for item in servers.lazy.flatMap(\.draft.items) {
      let kinds = Set(item.remarks.map(\.kind))
      if kinds.contains(.refused) { counts.refused += 1 }
      guard !item.isSwitch else { continue }
      counts.entries += 1
      if kinds.contains(.refused) {
        counts.refusedEntries += 1
      } else if kinds.contains(.widened) {
        counts.widened += 1
      } else if kinds.contains(.lost) {
        counts.lost += 1
      } else {
        counts.kept += 1
      }
    }
    return counts
  }

  private static func refusals(_ servers: [NamedServer], _ remarks: [ImportRemark]) -> [String] {
    let whole = (remarks + servers.flatMap(\.draft.remarks)).filter { $0.kind == .refused }.map(\.text)
    let items = servers.lazy.flatMap(\.draft.items).flatMap { item in
      item.remarks.filter { $0.kind == .refused }.map {
        "\(item.location): \(CommentText.quoted(item.written)): \($0.text)"
      }
    }
    return (whole + items).map(CommentText.safe)
  }
}

extension ServerDraft {
  /// Whether anything but a name's public address leads into a network.
  fileprivate func opens(_ network: IPPrefix) -> Bool {
    items.lazy.filter { !$0.isDenied }.flatMap(\.entries).contains { entry in
      if case .network(let open) = entry.target, open.overlaps(network) { return true }
      return entry.privatePrefixes.contains { $0.overlaps(network) }
    }
  }
}
