import ArgumentParser
import AuditStore
import EgressPolicy
import Foundation
import Settings

struct LogCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log", abstract: "Read the audit log: events, counts, or what would admit what was denied.",
    subcommands: [LogReadCommand.self, LogTopCommand.self, LogSuggestCommand.self],
    defaultSubcommand: LogReadCommand.self)
}

/// Where the log is, and from when to when.
struct LogSource: ParsableArguments {
  @Option(
    name: [.long, .short], help: "The configuration file, for the log's path; else the default path.",
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String?
  @Option(help: "The log itself, instead of the one that the configuration names.", completion: .file())
  var path: String?
  @Option(help: "Not before: 10m, 2h, 3d, today, yesterday, or RFC 3339.") var since: String?
  @Option(help: "Not after; as --since.") var until: String?

  func validate() throws {
    _ = try Self.time(since, "--since")
    _ = try Self.time(until, "--until")
  }

  /// Gives every event that passes to `body`, newest last; prints why not, and exits with 1, where it cannot be read.
  func read(
    server: String?, decision: String? = nil, name: String? = nil, limit: Int? = nil, follow: Bool = false,
    _ body: (LogLine) -> Void
  ) throws {
    let filter = LogFilter(
      server: server, decision: decision, name: name, since: try Self.time(since, "--since"),
      until: try Self.time(until, "--until"), limit: limit)
    var reader = AuditReader(path: try logPath(), filter: filter)
    do throws(AuditStoreError) {
      let position = try reader.read(body)
      if follow {
        try reader.follow(from: position, body) { false }
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
    return try ConfigurationOption.places(config).audit.path
  }

  private static func time(_ text: String?, _ option: String) throws -> Date? {
    guard let text else { return nil }
    guard let time = LogTime.parse(text) else {
      throw ValidationError("\(option) is '\(text)'; expected 10m, 2h, 3d, today, yesterday, or RFC 3339")
    }
    return time
  }
}

struct LogReadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read",
    abstract: "Read the audit log, rotated files too, newest last.",
    discussion: """
      Examples:
        sluice log --decision block --since 1h
        sluice log --server github-mcp --name '*.example.com' --limit 20
        sluice log --name '198.51.100.*' --since today
        sluice log --follow --json | jq .destination
      """)

  @OptionGroup var source: LogSource
  @Option(help: "Only events of this server.") var server: String?
  @Option(help: "Only this decision: block, allow, observe or error.", completion: .list(LogReadCommand.decisions))
  var decision: String?
  @Option(help: "Only destinations that match, names or addresses; * stands for anything.") var name: String?
  @Option(help: "The last so many events.") var limit: Int?
  @Flag(name: [.long, .short], help: "Go on with new events, across rotation.") var follow = false
  @Flag(help: "Print the events as they are: one JSON object a line.") var json = false

  static func check(decision: String?) throws {
    if let decision, !decisions.contains(decision) {
      throw ValidationError("--decision is '\(decision)'; expected block, allow, observe or error")
    }
  }

  static let decisions = ["block", "allow", "observe", "error"]

  func validate() throws {
    try Self.check(decision: decision)
    if let limit, limit < 0 {
      throw ValidationError("--limit is \(limit); expected 0 or more")
    }
  }

  func run() throws {
    var table = LogTable()
    if !json { StandardOutput.write(table.heading()) }
    try source.read(server: server, decision: decision, name: name, limit: limit, follow: follow) { line in
      StandardOutput.write(json ? String(decoding: line.octets, as: UTF8.self) : table.line(line))
    }
  }
}
