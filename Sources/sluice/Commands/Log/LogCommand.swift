import ArgumentParser
import AuditStore
import EgressPolicy
import Foundation
import LinuxIO
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
    name: [.long, .short],
    help: "The configuration file, for the log's path. (default: /etc/sluice/sluice.yaml, if there is one)",
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String?
  @Option(help: "The log itself, instead of the one that the configuration names.", completion: .file())
  var path: String?
  @Option(help: "Not before: \(LogTime.forms); local time where no offset is given.") var since: String?
  @Option(help: "Not after; as --since.") var until: String?

  func validate() throws {
    _ = try Self.time(since, "--since")
    _ = try Self.time(until, "--until")
  }

  /// Gives every event that passes to `body`, newest last; prints why not, and exits with 1, where it cannot be read.
  func read(server: String?, decision: String? = nil, _ body: (LogLine) -> Void) throws {
    let progress = Progress("reading the log")
    defer { progress.end() }
    try read(server: server, decision: decision) { reader throws(AuditStoreError) in try reader.read(body) }
  }

  /// Gives every event that passes to one of several sinks, in no order; as `read`.
  func fold<Sink: LogSink>(
    server: String?, decision: String? = nil, name: String? = nil, _ make: @escaping @Sendable () -> Sink
  ) throws -> [Sink] {
    var sinks: [Sink] = []
    try read(server: server, decision: decision, name: name) { reader throws(AuditStoreError) in
      let progress = Progress("reading the log")
      defer { progress.end() }
      sinks = try reader.fold(make)
    }
    return sinks
  }

  /// Has `body` read what passes; prints why not, and exits with 1, where it cannot be read.
  func read(
    server: String?, decision: String? = nil, name: String? = nil, limit: Int? = nil,
    _ body: (inout AuditReader) throws(AuditStoreError) -> Void
  ) throws {
    let filter = LogFilter(
      server: server, decision: decision, name: name, since: try Self.time(since, "--since"),
      until: try Self.time(until, "--until"), limit: limit)
    var reader = AuditReader(path: try logPath(), filter: filter)
    do throws(AuditStoreError) {
      try body(&reader)
    } catch {
      StandardOutput.flush()
      StandardError.write("sluice: \(error)")
      throw ExitCode.failure
    }
    StandardOutput.flush()
    for file in reader.damagedFiles {
      StandardError.write("sluice: \(file) is damaged: what stands behind the damage was left out")
    }
    if reader.badLines > 0 {
      StandardError.write("sluice: \(reader.badLines) lines are no events and were left out")
    }
  }

  private func logPath() throws -> String {
    if let path { return path }
    guard let config = config ?? ConfigurationOption.installedIfReadable else { return AuditSettings.default.path }
    return try ConfigurationOption.places(config).audit.path
  }

  private static func time(_ text: String?, _ option: String) throws -> Date? {
    guard let text else { return nil }
    guard let time = LogTime.parse(text) else {
      throw ValidationError("\(option) is '\(text)'; expected \(LogTime.forms)")
    }
    return time
  }
}

struct LogReadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read",
    abstract: "Read the audit log, rotated and compressed files too, newest last; with --json as it was written.",
    discussion: """
      Examples:
        sluice log --decision block --since 1h
        sluice log --server github-mcp --name '*.example.com' --limit 20
        sluice log --name '198.51.100.*' --since today
        sluice log --since 'yesterday 14:00' --until 'yesterday 14:30'
        sluice log --count --decision block --since today
        sluice log --follow --json | jq .destination
      """)

  @OptionGroup var source: LogSource
  @Option(help: "Only events of this server.") var server: String?
  @Option(help: "Only this decision: block, allow, observe or error.", completion: .list(LogReadCommand.decisions))
  var decision: String?
  @Option(help: "Only destinations that match, names or addresses; * stands for anything.") var name: String?
  @Option(help: "The newest so many events.") var limit: Int?
  @Flag(name: [.long, .short], help: "Go on with new events, across rotation.") var follow = false
  @Flag(help: "Print how many events there are, and nothing else; with --json also the records they stand for.")
  var count = false
  @Flag(help: "Print the events as they are: one JSON object a line.") var json = false

  static func check(decision: String?) throws {
    if let decision, !decisions.contains(decision) {
      throw ValidationError("--decision is '\(decision)'; expected block, allow, observe or error")
    }
  }

  /// Lines among which what is shown is put in the order of its time.
  private static let leastLookback = 65_536

  static let decisions = ["block", "allow", "observe", "error"]

  func validate() throws {
    try Self.check(decision: decision)
    if let limit, limit < 0 {
      throw ValidationError("--limit is \(limit); expected 0 or more")
    }
    if count, follow || limit != nil {
      throw ValidationError("--count goes with neither --follow nor --limit")
    }
  }

  func run() throws {
    if count { return try printCount() }
    var table = LogTable()
    if !json { StandardOutput.collect(table.heading()) }
    // Whoever reads a pipe sees what there is at once; what comes is written as it comes.
    let printOne: (LogLine) -> Void = { line in
      if json {
        StandardOutput.collect(line.octets)
      } else {
        StandardOutput.collect(Self.styled(table.line(line), line))
      }
    }
    // The newest by their time may have been written before others.
    let lookback = limit.map { $0 == 0 ? 0 : max(4 * $0, Self.leastLookback) }
    try source.read(server: server, decision: decision, name: name, limit: lookback) { reader throws(AuditStoreError) in
      var order = LogOrder(reach: max(lookback ?? 0, Self.leastLookback))
      let position = try reader.readBatches { batch in
        if json, limit == nil {
          StandardOutput.write(lines: batch.octets)
        } else {
          batch.forEach { order.add($0, printOne) }
        }
      }
      order.end(limit: limit, printOne)
      StandardOutput.flush()
      if follow {
        try reader.follow(from: position, printOne, pausing: StandardOutput.flush) { false }
      }
    }
  }

  private static func styled(_ text: String, _ line: borrowing LogLine) -> String {
    switch line.text(.decision) {
    case "block": TerminalStyle.bad(text)
    case "error": TerminalStyle.doubtful(text)
    default: text
    }
  }

  private func printCount() throws {
    let count = try source.fold(server: server, decision: decision, name: name) { LogCount() }
      .reduce(into: LogCount()) { $0.add($1) }
    StandardOutput.write(json ? "{\"events\":\(count.events),\"records\":\(count.records)}" : "\(count.events)")
  }
}
