import ArgumentParser
import Gate

/// The processes through which checked connections go, started by `serve` only.
struct GateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gate", abstract: "The gate; started by `serve`.", shouldDisplay: false)

  @Argument(parsing: .allUnrecognized) var arguments: [String] = []

  func run() throws {
    throw ExitCode(GateProcess.run(arguments))
  }
}
