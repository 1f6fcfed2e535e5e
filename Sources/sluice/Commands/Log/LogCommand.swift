import ArgumentParser
import AuditLog
import AuditStore
import LinuxIO

struct LogCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log",
    abstract: "Read the audit log, rotated and compressed files too, newest last; with --json as it was written.",
    discussion: """
      Examples:
        sluice log --decision block --since 1h
        sluice log --server github-mcp --name '*.example.com' --limit 20
        sluice log --name 198.51.100.7 --code granted --since today
        sluice log --client 10.77.1.2 --since 'yesterday 14:00' --until 'yesterday 14:30'
        sluice log --rule github-mcp.yaml:12 --since 7d
        sluice log --count --decision block --since today
        sluice log --follow --json | jq .destination
      """,
    subcommands: [LogTopCommand.self, LogSuggestCommand.self, LogPolicyCommand.self, LogRunsCommand.self])

  @OptionGroup var source: LogSource
  @OptionGroup var selection: LogSelection
  @OptionGroup var output: LogOutput
  @OptionGroup var times: TimeOption
  @Flag(name: [.long, .short], help: "Go on with new events, across rotation.") var follow = false
  @Flag(help: "Print how many events there are, and nothing else; with --json also the records they stand for.")
  var count = false

  /// Lines among which what is shown is put in the order of its time.
  private static let leastLookback = 65_536

  /// How many of the last lines are read for the newest `limit` by their time.
  static func lookback(for limit: Int) -> Int {
    guard limit <= Int.max / 4 else { return .max }
    return limit == 0 ? 0 : max(4 * limit, leastLookback)
  }

  func validate() throws {
    if count, follow || output.limit != nil {
      throw ValidationError("--count goes with neither --follow nor --limit")
    }
  }

  /// Refuses what a subcommand was given and has no use for: options of this command may stand before and behind its name.
  ///
  /// - Parameter used: options of `LogSelection` and `LogOutput`.
  func refuseAll(but used: Set<String>) throws {
    let given = selection.given + output.given + (follow ? ["--follow"] : []) + (count ? ["--count"] : [])
    if let option = given.first(where: { !used.contains($0) }) {
      throw ValidationError("Unknown option '\(option)'")
    }
  }

  func run() throws {
    if count { return try printCount() }
    let (json, limit) = (output.json, output.limit)
    var table = LogTable(timeZone: times.zone)
    if !json { StandardOutput.collect(table.heading()) }
    // The reader of a pipe sees what there is at once; what comes is written as it comes.
    let printOne: (LogLine) -> Void = { line in
      if json {
        StandardOutput.collect(line.octets)
      } else {
        StandardOutput.collect(Self.styled(table.line(line), line))
      }
    }
    // The newest by their time may have been written before others.
    let lookback = limit.map(Self.lookback)
    try source.read(selection.filter, limit: lookback, latest: limit) { reader throws(AuditStoreError) in
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
    let count = try source.fold(selection.filter) { LogCount() }.reduce(into: LogCount()) { $0.add($1) }
    StandardOutput.write(output.json ? "{\"events\":\(count.events),\"records\":\(count.records)}" : "\(count.events)")
  }
}

/// How many events are printed, and in which form.
struct LogOutput: ParsableArguments {
  @Option(help: "So many: of events the newest, of counts the highest (20 where it is not said).") var limit: Int?
  @Flag(help: "Print one JSON object a line; events as they were written.") var json = false

  var given: [String] { (limit == nil ? [] : ["--limit"]) + (json ? ["--json"] : []) }

  func validate() throws {
    if let limit, limit < 0 { throw ValidationError("--limit is \(limit); expected 0 or more") }
  }
}
