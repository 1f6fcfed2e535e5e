import ArgumentParser
import Validator

/// The process that verifies signatures, started by `serve` only.
struct ValidatorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "validator", abstract: "The verifier of DNSSEC signatures; started by `serve`.", shouldDisplay: false)

  @Argument(parsing: .allUnrecognized) var arguments: [String] = []

  func run() throws {
    throw ExitCode(ValidatorProcess.run(arguments))
  }
}
