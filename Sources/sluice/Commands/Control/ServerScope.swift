import ArgumentParser
import Foundation
import LinuxIO

/// Whose connections a command cuts: one server's, or every server's, and then never by an option that was forgotten.
struct ServerScope: ParsableArguments {
  @Option(help: "Only this server's.", completion: ServerNames.completion) var server: String?
  @Flag(name: .customLong("all"), help: "Every server's. On a terminal it is asked for where neither is given.")
  var isEvery = false

  func validate() throws {
    if isEvery, server != nil { throw ValidationError("--all and --server exclude each other") }
  }

  /// For a command's `validate`, so that what is told of the usage is that command's.
  ///
  /// - Throws: `ValidationError` (exit 64) where neither is given and no person can answer.
  func refuseUnattended() throws {
    guard server == nil, !isEvery, isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0 else { return }
    throw ValidationError("this may cut connections of every server: say --all, or --server NAME for one")
  }

  /// Lets the command go on, or asks where neither is given.
  ///
  /// - Parameter deed: what is done to every server, as the beginning of a question.
  /// - Throws: `ExitCode.failure` where the answer is no.
  func confirm(_ deed: String) throws {
    guard server == nil, !isEvery else { return }
    StandardError.write("\(deed) of every server, and cut what is connected there? [y/N]")
    guard ["y", "yes"].contains(readLine()?.trimmingCharacters(in: .whitespaces).lowercased()) else {
      StandardError.write("sluice: nothing was changed")
      throw ExitCode.failure
    }
  }
}
