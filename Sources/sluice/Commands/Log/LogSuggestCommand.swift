import ArgumentParser
import AuditLog
import AuditStore
import EgressPolicy
import LinuxIO
import Settings

struct LogSuggestCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "suggest",
    abstract: "Print policy lines that would admit what a server was denied, with the evidence.",
    discussion: """
      Read every line before you take it over: what a compromised server asked for is among them. Names are suggested one \
      by one; a wildcard only where ten or more names lie side by side, and never over a suffix under which others can \
      have names (the Public Suffix List). Remarks tell of what is not suggested: names of services, names with a search \
      suffix behind them, single-use names of shared hosting, refused connections, and what was only counted in an \
      aggregate. What an operator asked is no evidence.

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
    var suggestion = PolicySuggestion(server: server, policy: policy(of: server))
    // What was allowed tells what a search suffix stands behind.
    try source.read(selection.filter) { suggestion.add($0) }
    for line in suggestion.lines() { StandardOutput.write(line) }
    if suggestion.isEmpty {
      StandardError.write("sluice: nothing that \(server) was denied is in the log")
    }
  }

  /// Nil where no configuration is named or installed, or it cannot be read: the log alone tells then.
  private func policy(of server: String) -> ServerPolicy? {
    guard source.path == nil || source.config != nil, let config = source.configuration else { return nil }
    return SettingsLoader.load(path: config).settings?.policies.first { $0.name.text == server }
  }
}
