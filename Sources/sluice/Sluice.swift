import ArgumentParser
import Serving

/// The one executable.
@main
struct Sluice: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluice",
    abstract: "An allowlisting DNS resolver with a sinkhole, for MCP servers and other AI-agent containers.",
    discussion: """
      Each server, recognised by the network its query comes from, resolves only the names on its egress list. The \
      resolved addresses are opened in nftables before the answer leaves; every other name is NXDOMAIN and an audit \
      event.

      Start with: sluice check --config /etc/sluice/sluice.yaml
      """,
    version: Release.version,
    subcommands: [
      ServeCommand.self, CheckCommand.self, ExplainCommand.self, QueryCommand.self, StatusCommand.self, TopCommand.self,
      CacheCommand.self,
      GrantsCommand.self, AllowCommand.self, LogCommand.self, ReloadCommand.self, FirewallCommand.self,
      DoctorCommand.self,
      BridgeCommand.self, ValidatorCommand.self,
    ])

  static func main() {
    if let help = HelpOfDefault.text(Array(CommandLine.arguments.dropFirst())) { return print(help) }
    main(nil)
  }
}
