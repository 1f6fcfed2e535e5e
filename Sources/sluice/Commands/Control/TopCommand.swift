import ArgumentParser
import AuditLog
import AuditStore
import Control
import ControlAPI
import Foundation
import Settings

struct TopCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top", abstract: "Watch servers, rates, denials and the newest events; q quits.",
    discussion: """
      Servers with the most denials a second come first; events fill what they leave of the screen. Where it is narrow, columns \
      are left out. Without a terminal it prints one screen and ends. The newest events are read from the log that the \
      configuration names.
      """)

  @OptionGroup var control: ControlOption
  @Option(help: "Seconds between two looks.") var interval = 1.0

  @Flag(help: "Print one JSON object after one interval, and end.") var json = false
  @OptionGroup var times: TimeOption

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
      for line in screen.lines(width: 200, height: 30) { StandardOutput.write(line) }
      return
    }
    defer { terminal.restore() }
    while true {
      let (columns, rows) = terminal.size
      terminal.show(screen.lines(width: columns, height: rows - 1) + ["q quits"])
      if terminal.waitForQuit(seconds: interval) { return }
      try look(&screen)
    }
  }

  private func look(_ screen: inout TopScreen) throws {
    let status = try control.call(.get, .status, as: ControlAPI.Status.self).answer
    let servers = try control.call(.get, .servers, as: ControlAPI.ServerList.self).answer.servers
    screen.take(status, servers, events: newest(), at: ProcessInfo.processInfo.systemUptime)
  }

  /// The last events, or why they cannot be read; none where no configuration says where they are.
  private func newest() -> TopScreen.Events {
    guard let config = control.configuration else { return .init() }
    var events = TopScreen.Events()
    do {
      let path = try SettingsLoader.paths(path: config).audit.path
      var reader = AuditReader(path: path, filter: LogFilter(limit: TopScreen.events * 2))
      var table = LogTable(timeZone: times.zone)
      try reader.read { if $0.code != .special { events.rows.append(table.columns($0)) } }
    } catch {
      events.fault = "\(error)"
    }
    return events
  }
}
