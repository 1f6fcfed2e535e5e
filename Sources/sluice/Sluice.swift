import ArgumentParser
import BridgeProcesses
import FirewallModel
import FirewallWorker
import Glibc
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
      ServeCommand.self, CheckCommand.self, ImportCommand.self, ExplainCommand.self, QueryCommand.self,
      StatusCommand.self,
      TopCommand.self,
      CacheCommand.self,
      GrantsCommand.self, AllowCommand.self, LogCommand.self, ReloadCommand.self, ListsCommand.self,
      FirewallCommand.self,
      DoctorCommand.self,
      BridgeCommand.self, GateCommand.self, ValidatorCommand.self,
    ])

  static func main() {
    let words = Array(CommandLine.arguments.dropFirst())
    // What serve starts itself, several at each start: to read their command line would take longer than all else they do.
    if words.count > 1, words[0] == "bridge", BridgeStart.Role(rawValue: words[1]) != nil {
      Glibc.exit(BridgeProcess.run(Array(words.dropFirst()), read: Envelope.read))
    }
    // As a unit starts it: the parser's tree of all commands would be a tenth of such a start.
    if let path = ServeCommand.configuration(ofPlain: words) {
      do { return try ServeCommand.serve(path) } catch { exit(withError: error) }
    }
    if let help = HelpOfDefault.text(words) { return print(help) }
    main(nil)
  }
}
