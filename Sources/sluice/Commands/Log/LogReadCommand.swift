import ArgumentParser
import AuditLog
import AuditStore
import EgressPolicy
import Foundation
import LinuxIO
import Settings

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

  static let decisions = AuditDecision.allCases.map(\.rawValue)

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
    // The reader of a pipe sees what there is at once; what comes is written as it comes.
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
