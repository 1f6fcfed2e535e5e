import ArgumentParser
import Control
import ControlAPI
import LinuxIO

struct ReloadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reload", abstract: "Read the policies again, put them in force, and show what changed.",
    discussion:
      "Does what SIGHUP does. A file that is not right changes nothing: every error is printed, and the exit code is 1."
  )

  @OptionGroup var server: ControlOption
  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    let (reload, octets) = try server.call(.post, .reload, as: ControlAPI.Reload.self)
    if json { return StandardOutput.write(ControlAPI.line(octets)) }
    for change in reload.changes {
      StandardOutput.write("\(change.server): \(change.kind)")
      for (sign, patterns) in [
        ("+", change.added), ("-", change.removed), ("~", change.altered.map(\.text)),
      ] {
        for pattern in patterns.prefix(Self.shown) { StandardOutput.write("  \(sign) \(pattern)") }
        if patterns.count > Self.shown { StandardOutput.write("  \(sign) … and \(patterns.count - Self.shown) more") }
      }
    }
    for gone in reload.letGo {
      StandardOutput.write(
        reload.held
          ? "\(gone.network) (\(gone.server)) stays closed although no policy governs it: "
            + "`sluice firewall release \(gone.network)` opens it"
          : "\(gone.network) (\(gone.server)) is governed by no policy now, and open")
    }
    for change in reload.settings { StandardOutput.write("configuration: \(change.text)") }
    for change in reload.needsRestart {
      StandardOutput.write("\(TerminalStyle.doubtful("needs a restart")): \(change.text)")
    }
    let same = reload.changes.isEmpty ? "no policy changed" : "\(counted(reload.changes.count, "server")) changed"
    StandardOutput.write(
      "policy \(reload.policy) is in force: \(same); \(counted(reload.addressesClosed, "address")) closed, \(counted(reload.flowsCut, "connection")) cut"
    )
  }

  /// Entries of a kind that are shown for a server.
  private static let shown = 50
}

extension ControlAPI.Change {
  /// `db.example.com: ports: 443/tcp -> 443/tcp, 5432/tcp`.
  var text: String {
    let (before, after) = (was.joined(separator: ", "), now.joined(separator: ", "))
    return "\(entry.map { "\($0): " } ?? "")\(key): \(before.isEmpty ? "none" : before) -> "
      + "\(after.isEmpty ? "none" : after)"
  }
}
