import ArgumentParser
import AuditStore
import Control
import ControlAPI
import EgressPolicy
import Foundation
import LinuxIO
import Settings

struct TopCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top", abstract: "Watch servers, rates, denials and the newest events; q quits.",
    discussion: """
      Servers with the most denials a second come first. Without a terminal it prints one screen and ends. The newest events \
      are read from the log that the configuration names.
      """)

  @OptionGroup var control: ControlOption
  @Option(help: "Seconds between two looks.") var interval = 1.0

  @Flag(help: "Print one JSON object after one interval, and end.") var json = false

  func validate() throws {
    if !(0.1...3600).contains(interval) {
      throw ValidationError("--interval is \(interval); expected 0.1 to 3600 seconds")
    }
  }

  func run() throws {
    var screen = TopScreen()
    try look(&screen)
    guard !json, isatty(STDOUT_FILENO) == 1, let terminal = Terminal() else {
      usleep(UInt32(interval * 1_000_000))
      try look(&screen)
      if json { return StandardOutput.write(screen.json) }
      for line in screen.lines(width: 200, height: 60) { StandardOutput.write(line) }
      return
    }
    defer { terminal.restore() }
    while true {
      terminal.show(screen.lines(width: terminal.size.columns, height: terminal.size.rows))
      if terminal.waitForQuit(seconds: interval) { return }
      try look(&screen)
    }
  }

  private func look(_ screen: inout TopScreen) throws {
    let status = try control.call(.get, .status, as: ControlAPI.Status.self).answer
    let servers = try control.call(.get, .servers, as: ControlAPI.ServerList.self).answer.servers
    screen.take(status, servers, events: newest(), at: ProcessInfo.processInfo.systemUptime)
  }

  /// The last events; none where the log is not for us.
  private func newest() -> [String] {
    guard let config = control.configuration, let path = try? SettingsLoader.places(path: config).audit.path else {
      return []
    }
    var reader = AuditReader(path: path, filter: LogFilter(limit: TopScreen.events * 4))
    var table = LogTable()
    _ = table.heading()
    var lines: [String] = []
    _ = try? reader.read { if $0.text(.code) != "special" { lines.append(table.line($0)) } }
    return lines.suffix(TopScreen.events)
  }
}

/// What `top` shows.
struct TopScreen {
  /// Newest events that are shown at most.
  static let events = 10

  private struct Row: Encodable {
    var server: ControlAPI.Server
    /// A second.
    var queries: Double
    var denials: Double
    var failures: Double

    enum CodingKeys: String, CodingKey {
      case queries = "queriesPerSecond"
      case denials = "denialsPerSecond"
      case failures = "failuresPerSecond"
    }

    func encode(to encoder: any Encoder) throws {
      try server.encode(to: encoder)
      var members = encoder.container(keyedBy: CodingKeys.self)
      try members.encode(queries, forKey: .queries)
      try members.encode(denials, forKey: .denials)
      try members.encode(failures, forKey: .failures)
    }
  }

  private struct Screen: Encodable {
    var status: ControlAPI.Status?
    var servers: [Row]
  }

  /// The state, and each server with its rates.
  var json: String { ControlAPI.line(ControlAPI.encode(Screen(status: status, servers: rows))) }

  private var status: ControlAPI.Status?
  private var former: [String: ControlAPI.Counts] = [:]
  private var formerTime: Double?
  private var rows: [Row] = []
  private var newest: [String] = []

  mutating func take(_ status: ControlAPI.Status, _ servers: [ControlAPI.Server], events: [String], at time: Double) {
    let passed = max(formerTime.map { time - $0 } ?? 0, 0.001)
    rows = servers.map { server in
      // A server of which nothing was known has no rate yet; after a restart counts begin anew.
      func rate(_ count: KeyPath<ControlAPI.Counts, UInt64>) -> Double {
        guard formerTime != nil, let before = former[server.server] else { return 0 }
        let (old, new) = (before[keyPath: count], server.queries[keyPath: count])
        return new >= old ? Double(new - old) / passed : 0
      }
      return Row(server: server, queries: rate(\.total), denials: rate(\.denied), failures: rate(\.failed))
    }
    rows.sort {
      ($1.denials, $1.queries, $1.server.queries.denied, $0.server.server)
        < ($0.denials, $0.queries, $0.server.queries.denied, $1.server.server)
    }
    former = Dictionary(servers.map { ($0.server, $0.queries) }, uniquingKeysWith: { first, _ in first })
    formerTime = time
    self.status = status
    newest = events
  }

  func lines(width: Int, height: Int) -> [String] {
    guard let status else { return [] }
    let queries = rows.reduce(0) { $0 + $1.queries }
    var lines = [
      "sluice \(status.version), up \(StatusCommand.duration(status.uptime)), policy \(status.policy.fingerprint.prefix(8)), "
        + "\(counted(status.policy.servers, "server"))",
      String(format: "%.0f queries/s, %.0f denied/s; ", queries, rows.reduce(0) { $0 + $1.denials })
        + "firewall \(status.bridge.state)\(status.bridge.degraded ? ", DEGRADED" : ""), \(counted(status.bridge.grants, "address")) open; "
        + "audit \(status.audit.blocked ? "BLOCKED" : "ok"); upstreams \(status.upstreams.count { $0.healthy })/\(status.upstreams.count)",
      "",
    ]
    let shownEvents = height > 16 ? newest.suffix(min(Self.events, height / 3)) : []
    let room = max(height - lines.count - shownEvents.count - (shownEvents.isEmpty ? 1 : 3), 1)
    let heading = [
      "SERVER", "QUERIES/S", "DENIED/S", "FAILED/S", "CACHED", "RESOLVED", "DENIED", "FAILED", "OPEN", "CACHE",
    ]
    let table = lines.count
    lines += AlignedColumns.plainLines(
      heading,
      rows.prefix(room).map { row in
        let counts = row.server.queries
        return [
          row.server.server, String(format: "%.1f", row.queries), String(format: "%.1f", row.denials),
          String(format: "%.1f", row.failures), "\(counts.cached)", "\(counts.resolved)", "\(counts.denied)",
          "\(counts.failed)", "\(row.server.grants)", "\(row.server.cacheEntries)",
        ]
      })
    if !shownEvents.isEmpty { lines += ["", "newest events"] + shownEvents }
    var cut = lines.prefix(height).map { String($0.prefix(width)) }
    if table < cut.count { cut[table] = TerminalStyle.heading(cut[table]) }
    return cut
  }
}

/// The terminal of this process, taken over for a screen that is drawn again and again.
struct Terminal {
  private let former: termios

  /// Nil where there is none to read keys from.
  init?() {
    var settings = termios()
    guard unsafe tcgetattr(STDIN_FILENO, &settings) == 0 else { return nil }
    former = settings
    settings.c_lflag &= ~tcflag_t(ICANON | ECHO)
    guard unsafe tcsetattr(STDIN_FILENO, TCSANOW, &settings) == 0 else { return nil }
    // The other screen, without a cursor.
    write("\u{1B}[?1049h\u{1B}[?25l")
  }

  func restore() {
    write("\u{1B}[?25h\u{1B}[?1049l")
    var settings = former
    _ = unsafe tcsetattr(STDIN_FILENO, TCSANOW, &settings)
  }

  var size: (columns: Int, rows: Int) {
    var size = winsize()
    guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
      return (80, 24)
    }
    return (Int(size.ws_col), Int(size.ws_row))
  }

  func show(_ lines: [String]) {
    write("\u{1B}[H" + lines.map { "\($0)\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
  }

  /// Waits so long; true when q was pressed, or nothing can be read any more.
  func waitForQuit(seconds: Double) -> Bool {
    let end = ProcessInfo.processInfo.systemUptime + seconds
    while true {
      let left = end - ProcessInfo.processInfo.systemUptime
      var entry = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
      guard left > 0, unsafe poll(&entry, 1, Int32(left * 1000) + 1) > 0 else { return false }
      var key: UInt8 = 0
      guard unsafe read(STDIN_FILENO, &key, 1) == 1 else { return true }
      if key == UInt8(ascii: "q") || key == 4 { return true }
    }
  }

  private func write(_ text: String) {
    FileHandle.standardOutput.write(Data(text.utf8))
  }
}
