import ArgumentParser
import ControlAPI
import Glibc
import LinuxIO
import Settings

struct GrantsListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Show which addresses are open for which server, and for which name, or without any.",
    discussion: """
      As root it reads the kernel's own sets, of which the configuration tells: it shows what is open and not what should be, works without a \
      running server, and BYTES and PACKETS count what the server sent to the address since it was opened; names and \
      OPENED come from the running server, and without one from the journal beside the audit log. Otherwise it asks the running server what it granted.

      VERIFY says whether a connection has to say the name (`sni`) or the address suffices; then the other names follow, behind \
      `as`, that the running server has at the address: it admits their sites too.

      What `cidr:` opens without a name follows, as the running server has it in force, else as the files say it; with \
      --json it has `prefix` instead of `address`. While the files have an error, it goes by the running server.

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
    let loaded = ConfigurationOption.read(config)
    guard let settings = loaded.settings else {
      ConfigurationOption.tellUnusable(loaded, instead: "what follows goes by what the running sluice has in force")
      return try show(try OpenTable(control, try ConfigurationOption.paths(config).audit))
    }
    let table: OpenTable
    do throws(SystemError) {
      table = try OpenTable(settings)
    } catch {
      guard error.errno != EPERM || kernel else { return show(try granted()) }
      throw unreadable(error)
    }
    try show(table)
  }

  private func show(_ table: OpenTable) throws {
    guard table.mode != .off else {
      StandardError.write("sluice: firewall.mode is off: no address is opened or closed")
      throw ExitCode.failure
    }
    if let server, !table.servers.contains(server) { try KnownServers.refuse(server, table.servers) }
    if kernel { return try compare(table) }
    do throws(SystemError) {
      let rows = try OpenGrant.all(table, server: server)
      show((rows, try table.countedPrefixes(of: server)))
    } catch {
      guard error.errno != EPERM else { return show(try granted()) }
      throw unreadable(error)
    }
  }

  /// Says why the kernel tells nothing.
  func unreadable(_ error: SystemError) -> ExitCode {
    let hint = error.errno == EPERM ? "; root or CAP_NET_ADMIN is needed" : ""
    StandardError.write("sluice: the kernel's sets cannot be read: \(error)\(hint)")
    return .failure
  }

  private func show(_ open: (rows: [OpenGrant], prefixes: [ControlAPI.OpenPrefix])) {
    if json {
      for row in open.rows { StandardOutput.write(row.json) }
      for prefix in open.prefixes { StandardOutput.write(ControlAPI.line(ControlAPI.encode(prefix))) }
    } else {
      let rows = open.rows.map { $0.columns(times) } + open.prefixes.map(\.columns)
      for line in AlignedColumns.lines(OpenGrant.heading, rows) { StandardOutput.write(line) }
    }
  }
}
