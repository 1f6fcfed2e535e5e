import ArgumentParser
import AuditLog
import AuditStore
import Foundation
import LinuxIO

struct LogTopCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top", abstract: "Count events by name, server, reason or client, the most frequent first.",
    discussion: """
      An event that stands for several counts as many as it says.

      Examples:
        sluice log top --since 1h
        sluice log top --server github-mcp --by reason
        sluice log top --decision block --by client --limit 5 --json
      """)

  enum Key: String, ExpressibleByArgument, CaseIterable {
    case name, server, reason, client

    var member: LogLine.Member {
      switch self {
      case .name: .destination
      case .server: .server
      case .reason: .reason
      case .client: .client
      }
    }
  }

  @OptionGroup var source: LogSource
  @Option(help: "Only events of this server.") var server: String?
  @Option(help: "Only this decision: block, allow, observe or error.", completion: .list(LogReadCommand.decisions))
  var decision: String?
  @Option(help: "What to count by: name, server, reason or client.") var by = Key.name
  @Option(help: "The first so many.") var limit = 20
  @Flag(help: "Print one JSON object a line.") var json = false

  func validate() throws {
    try LogReadCommand.check(decision: decision)
    if limit < 1 { throw ValidationError("--limit is \(limit); expected 1 or more") }
  }

  func run() throws {
    let member = by.member
    let tally = try source.fold(server: server, decision: decision) { LogTally(by: member) }
      .reduce(into: LogTally(by: member)) { $0.add($1) }
    let rows = tally.first(limit)
    if json {
      for row in rows { StandardOutput.write(Self.json(by.rawValue, row)) }
    } else {
      let heading = ["COUNT", by.rawValue.uppercased(), "DECISION", "LAST"]
      for line in AlignedColumns.lines(
        heading, rows.map { ["\($0.count)", $0.key, $0.decisions.joined(separator: "+"), $0.last] })
      {
        StandardOutput.write(line)
      }
    }
    if tally.isPartial {
      StandardError.write(
        "sluice: more than \(LogTally.capacity) different ones: the rarest were let go, and counts may be too low")
    }
  }

  private static func json(_ by: String, _ row: LogTally.Row) -> String {
    let decisions = row.decisions.map(JSONText.quoted).joined(separator: ",")
    return "{\"\(by)\":\(JSONText.quoted(row.key)),\"count\":\(row.count),\"decisions\":[\(decisions)]"
      + ",\"last\":\(JSONText.quoted(row.last))}"
  }
}
