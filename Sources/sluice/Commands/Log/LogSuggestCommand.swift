import ArgumentParser
import AuditLog
import AuditStore
import LinuxIO

struct LogSuggestCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "suggest",
    abstract: "Print policy lines that would admit what a server was denied, with the evidence.",
    discussion: """
      Read every line before you take it over: what a compromised server asked for is among them. Names are suggested one \
      by one; a wildcard only where ten or more names lie side by side, and never over a suffix under which others can \
      have names (the Public Suffix List). What was only counted in an aggregate is not suggested.

      Example:
        sluice log suggest --server github-mcp --since 1d
      """)

  @ParentCommand var log: LogCommand
  @OptionGroup var source: LogSource
  @OptionGroup var selection: LogSelection

  func validate() throws {
    try log.refuseAll(but: Set(selection.given))
    if selection.server == nil { throw ValidationError("Missing expected argument '--server <server>'") }
  }

  func run() throws {
    guard let server = selection.server else { return }
    var suggestion = PolicySuggestion(server: server)
    var filter = selection.filter
    filter.decision = AuditDecision.block.rawValue
    try source.read(filter) { suggestion.add($0) }
    for line in suggestion.lines() { StandardOutput.write(line) }
    if suggestion.isEmpty {
      StandardError.write("sluice: nothing that \(server) was denied is in the log")
    }
  }
}
