import ArgumentParser
import AuditStore
import Foundation

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
    var tally = Tally()
    try source.read(server: server, decision: decision) { tally.add($0, by: by) }
    let rows = tally.first(limit)
    if json {
      for (key, entry) in rows { StandardOutput.write(Self.json(by.rawValue, key, entry)) }
    } else {
      let heading = ["COUNT", by.rawValue.uppercased(), "DECISION", "LAST"]
      for line in AlignedColumns.lines(
        heading, rows.map { ["\($1.count)", $0, $1.decisions.sorted().joined(separator: "+"), $1.last] })
      {
        StandardOutput.write(line)
      }
    }
    if tally.isPartial {
      StandardError.write(
        "sluice: more than \(Tally.capacity) different ones: the rarest were let go, and counts may be too low")
    }
  }

  private static func json(_ by: String, _ key: String, _ entry: Tally.Entry) -> String {
    let decisions = entry.decisions.sorted().map(JSONText.quoted).joined(separator: ",")
    return "{\"\(by)\":\(JSONText.quoted(key)),\"count\":\(entry.count),\"decisions\":[\(decisions)]"
      + ",\"last\":\(JSONText.quoted(entry.last))}"
  }
}

/// Counts by key in bounded memory: of more than `capacity` keys the rarer half goes.
struct Tally {
  struct Entry {
    var count: UInt64 = 0
    var decisions: Set<String> = []
    var last = ""
  }

  static let capacity = 500_000

  private var entries: [String: Entry] = [:]
  private(set) var isPartial = false

  mutating func add(_ line: LogLine, by key: LogTopCommand.Key) {
    let member: LogLine.Member =
      switch key {
      case .name: .destination
      case .server: .server
      case .reason: .reason
      case .client: .client
      }
    var entry = entries[line.text(member)] ?? Entry()
    entry.count &+= line.count
    entry.decisions.insert(line.text(.decision))
    entry.last = line.text(.ts)
    entries[line.text(member)] = entry
    if entries.count > Self.capacity { shrink() }
  }

  private mutating func shrink() {
    isPartial = true
    let kept = entries.sorted { $0.value.count > $1.value.count }.prefix(Self.capacity / 2)
    entries = Dictionary(kept.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
  }

  func first(_ limit: Int) -> [(String, Entry)] {
    entries.sorted { ($1.value.count, $0.key) < ($0.value.count, $1.key) }.prefix(limit).map { ($0.key, $0.value) }
  }
}
