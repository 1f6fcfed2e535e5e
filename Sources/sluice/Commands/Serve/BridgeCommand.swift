import FirewallModel
import FirewallWorker
import ArgumentParser
import Serving

/// The privileged half of `serve`, started by `serve` only.
struct BridgeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bridge", abstract: "The firewall bridge; started by `serve`.", shouldDisplay: false)

  @Argument(parsing: .allUnrecognized) var arguments: [String] = []

  func run() throws {
    throw ExitCode(BridgeProcess.run(arguments, read: Envelope.read))
  }
}
