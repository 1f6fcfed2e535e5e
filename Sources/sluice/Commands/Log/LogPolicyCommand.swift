import ArgumentParser
import AuditLog
import AuditStore
import Foundation
import LinuxIO

struct LogPolicyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "policy",
    abstract: "Show what changed of what servers may reach: reloads, permits, addresses closed, by whom.",
    discussion: """
      Of a reload it shows the entries that came and went and the values that changed, as far as the event has them. With \
      --server, what is about that server, and what is about all. A start is shown where another policy was in force \
      before; `sluice log runs` shows all of them.

      Examples:
        sluice log policy --since yesterday
        sluice log policy --server github-mcp --since 7d --json
      """)

  @ParentCommand var log: LogCommand
  @OptionGroup var source: LogSource
  @OptionGroup var about: LogServer
  @OptionGroup var output: LogOutput
  @OptionGroup var times: TimeOption

  func validate() throws {
    try log.refuseAll(but: Set(output.given + ["--server"]))
  }

  func run() throws {
    var lines: [LogLine] = []
    var filter = LogFilter()
    filter.codes = PolicyChangeText.codes
    // What a start began with is a change if something else was in force before, however long ago that came.
    try source.read(as: filter) { reader throws(AuditStoreError) in
      let progress = Progress("reading the log")
      defer { progress.end() }
      var order = LogOrder()
      try reader.read { order.add($0) { lines.append($0) } }
      order.end { lines.append($0) }
    }
    let (since, until) = try source.interval()
    let all = PolicyChangeText.changes(lines)
    // One that is in no configuration any more may have had no event of its own.
    if let server = about.server, !all.contains(where: { $0.lists(server) }) { try source.check(server) }
    var changes = all.filter { change in
      let second = Double(change.line.time ?? 0) / 1000
      return second >= since?.timeIntervalSince1970 ?? 0 && second <= until?.timeIntervalSince1970 ?? .infinity
        && (about.server == nil || ["*", about.server].contains(change.line.text(.server)))
    }
    changes.removeFirst(max(changes.count - (output.limit ?? changes.count), 0))
    if output.json {
      for change in changes { StandardOutput.collect(change.line.octets) }
      return StandardOutput.flush()
    }
    let texts = changes.map { PolicyChangeText($0, of: about.server, times) }
    let rows = AlignedColumns.lines(PolicyChangeText.heading, texts.map(\.columns))
    StandardOutput.write(rows[0])
    for (row, text) in zip(rows.dropFirst(), texts) {
      StandardOutput.write(row)
      for detail in text.details { StandardOutput.write("    \(detail)") }
    }
  }
}
