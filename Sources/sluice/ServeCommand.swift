import ArgumentParser
import Settings

struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Run the resolver in the foreground.",
    discussion: """
      Needs root to bind port 53 and to start the firewall bridge; then it lowers itself to `user` without any \
      capability. SIGTERM finishes what is in flight and exits with 0; SIGHUP reads the policy again and reopens the \
      audit log.
      """)

  @OptionGroup var configuration: ConfigurationOption

  func run() throws {
    let settings = try configuration.load()
    do {
      try Service(settings: settings, configurationPath: configuration.config).run()
    } catch let error as StartError {
      StandardError.write("sluice: \(error.reason)")
      throw ExitCode.failure
    }
  }
}

/// Why `serve` does not start (P7): what, and what to do about it.
struct StartError: Error {
  var reason: String

  init(_ reason: String) {
    self.reason = reason
  }
}
