import ArgumentParser
import AuditStore
import EgressPolicy
import Foundation
import Settings

struct LogCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log",
    abstract: "Read the audit log, rotated files too, newest last.",
    discussion: """
      Examples:
        sluice log --decision block --since 1h
        sluice log --server github-mcp --name '*.example.com' --limit 20
        sluice log --name '198.51.100.*' --since today
        sluice log --follow --json | jq .destination
      """)

  @Option(
    name: [.long, .short], help: "The configuration file, for the log's path; else the default path.")
  var config: String?
  @Option(help: "The log itself, instead of the one that the configuration names.", completion: .file())
  var path: String?
  @Option(help: "Only events of this server.") var server: String?
  @Option(help: "Only this decision: block, allow, observe or error.", completion: .list(LogCommand.decisions))
  var decision: String?
  @Option(help: "Only destinations that match, names or addresses; * stands for anything.") var name: String?
  @Option(help: "Not before: 10m, 2h, 3d, today, yesterday, or RFC 3339.") var since: String?
  @Option(help: "Not after; as --since.") var until: String?
  @Option(help: "The last so many events.") var limit: Int?
  @Flag(name: [.long, .short], help: "Go on with new events, across rotation.") var follow = false
  @Flag(help: "Print the events as they are: one JSON object a line.") var json = false

  private static let decisions = ["block", "allow", "observe", "error"]

  func validate() throws {
    if let decision, !Self.decisions.contains(decision) {
      throw ValidationError("--decision is '\(decision)'; expected block, allow, observe or error")
    }
    if let limit, limit < 0 {
      throw ValidationError("--limit is \(limit); expected 0 or more")
    }
    _ = try filter()
  }

  func run() throws {
    var reader = AuditReader(path: try logPath(), filter: try filter())
    var table = LogTable()
    if !json { StandardOutput.write(table.heading()) }
    let show: (LogLine) -> Void = { line in
      StandardOutput.write(json ? String(decoding: line.octets, as: UTF8.self) : table.line(line))
    }
    do throws(AuditStoreError) {
      let position = try reader.read(show)
      if follow {
        try reader.follow(from: position, show) { false }
      }
    } catch {
      StandardError.write("sluice: \(error)")
      throw ExitCode.failure
    }
    if reader.badLines > 0 {
      StandardError.write("sluice: \(reader.badLines) lines are no events and were left out")
    }
  }

  private func logPath() throws -> String {
    if let path { return path }
    guard let config else { return AuditSettings.default.path }
    do throws(Diagnostic) {
      return try SettingsLoader.places(path: config).audit.path
    } catch {
      StandardError.write(error.description)
      throw ExitCode.failure
    }
  }

  private func filter() throws -> LogFilter {
    LogFilter(
      server: server, decision: decision, name: name, since: try time(since, "--since"),
      until: try time(until, "--until"), limit: limit)
  }

  private func time(_ text: String?, _ option: String) throws -> Date? {
    guard let text else { return nil }
    guard let time = LogTime.parse(text) else {
      throw ValidationError("\(option) is '\(text)'; expected 10m, 2h, 3d, today, yesterday, or RFC 3339")
    }
    return time
  }
}
