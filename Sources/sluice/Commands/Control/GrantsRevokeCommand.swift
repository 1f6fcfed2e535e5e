import ArgumentParser
import Control
import ControlAPI
import LinuxIO

struct GrantsRevokeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke", abstract: "Close addresses now; answers that promised them are forgotten.",
    discussion: """
      A name that policy allows is opened again when it is asked for again; what must stay closed has to leave the policy. \
      Connections are cut where `firewall.cut-flows` says so.

      Examples:
        sluice grants revoke --server github-mcp --name api.github.com
        sluice grants revoke --address 192.0.2.7
      """)

  @OptionGroup var control: ControlOption
  @Option(help: "Only this server's.", completion: ServerNames.completion) var server: String?
  @Option(help: "What is open for this name.") var name: String?
  @Option(help: "This address.") var address: String?
  @Flag(help: "Print one JSON object.") var json = false

  func validate() throws {
    if server == nil, name == nil, address == nil {
      throw ValidationError("say what to close: --server, --name or --address")
    }
  }

  func run() throws {
    let (closed, octets) = try control.call(
      .delete, .grants, [("server", server), ("name", name), ("address", address)], as: ControlAPI.Flushed.self)
    StandardOutput.write(
      json
        ? ControlAPI.line(octets)
        : "\(counted(closed.addressesClosed, "address")) closed that \(counted(closed.entries, "answer")) held, "
          + "\(counted(closed.flowsCut, "connection")) cut")
  }
}
