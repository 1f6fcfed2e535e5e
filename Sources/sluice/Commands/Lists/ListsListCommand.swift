import ArgumentParser
import AuditLog
import EgressPolicy
import LinuxIO
import Settings

struct ListsListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Show all lists, each with its day, the number of its entries, and what it is for.")

  @OptionGroup var places: ListFolders
  @Flag(help: "Print one JSON object a line.") var json = false

  func run() throws {
    let folders = try places.folders()
    let catalogue = ListCatalogue(folders: folders)
    for finding in catalogue.diagnostics { StandardError.write(finding.description) }
    if json {
      for list in catalogue.lists { StandardOutput.write(Self.json(list)) }
    } else if catalogue.lists.isEmpty {
      StandardOutput.write("no lists\(folders.isEmpty ? "" : " in \(folders.joined(separator: ", "))")")
    } else {
      let rows = catalogue.lists.map { [$0.name, $0.date?.description ?? "", "\($0.entryCount)", $0.purpose ?? ""] }
      for line in AlignedColumns.lines(["LIST", "DATE", "ENTRIES", "FOR"], rows) { StandardOutput.write(line) }
    }
    if !catalogue.diagnostics.isEmpty { throw ExitCode.failure }
  }

  /// What a list says of itself.
  static func json(_ list: ListFile, more: String = "") -> String {
    let texts = [
      ("date", list.date?.description), ("for", list.purpose), ("source", list.source), ("file", list.file),
    ].compactMap { key, value in value.map { "\"\(key)\":\(JSONText.quoted($0))" } }
    return
      "{\"list\":\(JSONText.quoted(list.name)),\"entries\":\(list.entryCount),\(texts.joined(separator: ","))\(more)}"
  }
}
