import Glibc
import ArgumentParser
import EgressPolicy
import Glibc
import LinuxIO
import Settings

struct GrantsListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Show which addresses are open for which server, and for which name.",
    discussion: """
      As root it reads the kernel's own sets, of which the configuration tells: it shows what is open and not what should be, works without a \
      running server, and BYTES and PACKETS count what the server sent to the address since it was opened; names come from \
      the journal beside the audit log. Otherwise it asks the running server what it granted.

      --kernel compares the two, prints every difference, and exits with 1 if there is one.

      Examples:
        sluice grants --server github-mcp
        sluice grants --config /srv/sluice.yaml --json
        sluice grants --kernel
      """)

  @OptionGroup var control: ControlOption
  @Option(help: "Only this server.", completion: ServerNames.completion) var server: String?
  @Flag(help: "Compare what was granted with the kernel's sets.") var kernel = false
  @Flag(help: "Print one JSON object a line.") var json = false
  @OptionGroup var times: TimeOption

  func validate() throws {
    if kernel, control.configuration == nil {
      throw ValidationError("--kernel needs --config: it says which table, and whose sets")
    }
  }

  func run() throws {
    guard kernel || control.control == nil || control.config != nil, let config = control.configuration else {
      return show(try granted())
    }
    let settings = try ConfigurationOption.load(config, quiet: true)
    guard settings.firewall.mode != .off else {
      StandardError.write("sluice: firewall.mode is off: no address is opened or closed")
      throw ExitCode.failure
    }
    if let server, !settings.policies.contains(where: { $0.name.text == server }) {
      StandardError.write("sluice: there is no server \(server) in \(config)")
      throw ExitCode.failure
    }
    if kernel { return try compare(settings) }
    do throws(SystemError) {
      show(try OpenGrant.all(settings, server: server))
    } catch {
      guard error.errno != EPERM else { return show(try granted()) }
      StandardError.write("sluice: the kernel's sets cannot be read: \(error)")
      throw ExitCode.failure
    }
  }

  private func show(_ rows: [OpenGrant]) {
    if json {
      for row in rows { StandardOutput.write(row.json) }
    } else {
      for line in AlignedColumns.lines(OpenGrant.heading, rows.map { $0.columns(times) }) { StandardOutput.write(line) }
    }
  }
}
