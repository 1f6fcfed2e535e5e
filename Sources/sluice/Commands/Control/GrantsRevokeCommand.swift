import ArgumentParser
import Control
import ControlAPI
import IPNetwork
import LinuxIO

struct GrantsRevokeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke", abstract: "Close addresses now; answers that promised them are forgotten.",
    discussion: """
      A name that policy allows is opened again when it is asked for again; what must stay closed has to leave the policy. \
      Connections are cut where `firewall.cut-flows` says so. Of one server, or of every one with --all; where neither is given \
      it asks, or ends with 64 where there is no terminal.

      Examples:
        sluice grants revoke --server github-mcp --name api.github.com
        sluice grants revoke --all --address 192.0.2.7
      """)

  @OptionGroup var control: ControlOption
  @OptionGroup var scope: ServerScope
  @Option(help: "What is open for this name.") var name: String?
  @Option(help: "This address.") var address: String?
  @Flag(help: "Print one JSON object.") var json = false

  func validate() throws {
    if scope.server == nil, name == nil, address == nil {
      throw ValidationError("say what to close: --server, --name or --address")
    }
    if let address, IPAddress(address) == nil {
      throw ValidationError("--address is '\(address)'; expected an IPv4 or IPv6 address")
    }
    try NameArgument.check(name, "--name")
    try scope.refuseUnattended()
  }

  func run() throws {
    try scope.confirm("Close \(address ?? name.map { "what is open for \($0)" } ?? "everything")")
    let (closed, octets) = try control.call(
      .delete, .grants, [("server", scope.server), ("name", name), ("address", address)], as: ControlAPI.Flushed.self)
    StandardOutput.write(
      json
        ? ControlAPI.line(octets)
        : "\(counted(closed.addressesClosed, "address")) closed that \(counted(closed.entries, "answer")) held, "
          + "\(counted(closed.flowsCut, "connection")) cut")
  }
}
