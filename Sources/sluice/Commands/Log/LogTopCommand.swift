import ArgumentParser
import AuditLog
import AuditStore
import Foundation
import LinuxIO

struct LogTopCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top",
    abstract: "Count events by name, server, reason, client, code, type or rule, the most frequent first.",
    discussion: """
      An event that stands for several counts as many as it says.

      Examples:
        sluice log top --since 1h
        sluice log top --server github-mcp --by reason
        sluice log top --by client --name '*.example.com'
        sluice log top --by rule --decision allow --since 30d
        sluice log top --decision block --by client --limit 5 --json
      """)

  enum Key: String, ExpressibleByArgument, CaseIterable {
    case name, server, reason, client, code, type, rule

    var member: LogLine.Member {
      switch self {
      case .name: .destination
      case .server: .server
      case .reason: .reason
      case .client: .client
      case .code: .code
      case .type: .type
      case .rule: .rule
      }
    }
  }

  private static let defaultLimit = 20

  @ParentCommand var log: LogCommand
  @OptionGroup var source: LogSource
  @OptionGroup var selection: LogSelection
  @OptionGroup var output: LogOutput
  @OptionGroup var times: TimeOption
  @Option(help: "What to count by: name, server, reason, client, code, type or rule.") var by = Key.name

  func validate() throws {
    try log.refuseAll(but: Set(selection.given + output.given))
    if let limit = output.limit, limit < 1 { throw ValidationError("--limit is \(limit); expected 1 or more") }
  }

  func run() throws {
    let member = by.member
    let tally = try source.fold(selection.filter) { LogTally(by: member) }
      .reduce(into: LogTally(by: member)) { $0.add($1) }
    let rows = tally.first(output.limit ?? Self.defaultLimit)
    if output.json {
      for row in rows { StandardOutput.write(Self.json(by.rawValue, row)) }
    } else {
      let heading = ["COUNT", by.rawValue.uppercased(), "DECISION", "LAST"]
      let columns = rows.map { row in
        [
          "\(row.count)", row.key, row.decisions.joined(separator: "+"),
          row.last.map { times.text(milliseconds: $0) } ?? "-",
        ]
      }
      for line in AlignedColumns.lines(heading, columns) { StandardOutput.write(line) }
    }
    if tally.isPartial {
      StandardError.write(
        "sluice: more than \(LogTally.capacity) different ones: the rarest were let go, and counts may be too low")
    }
  }

  private static func json(_ by: String, _ row: LogTally.Row) -> String {
    let decisions = row.decisions.map(JSONText.quoted).joined(separator: ",")
    let last = row.last.map { JSONText.quoted(Timestamp.text(milliseconds: $0)) } ?? "null"
    return "{\"\(by)\":\(JSONText.quoted(row.key)),\"count\":\(row.count),\"decisions\":[\(decisions)]"
      + ",\"last\":\(last)}"
  }
}
