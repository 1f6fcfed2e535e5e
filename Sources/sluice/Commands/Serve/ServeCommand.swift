import ArgumentParser
import LinuxIO
import Serving
import Settings

struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Run the resolver in the foreground.",
    discussion: """
      Needs root, or CAP_NET_ADMIN for the firewall bridge and CAP_NET_BIND_SERVICE for port 53; both are given up. Started \
      by root it becomes `user`, which is sluice where the configuration names none; started by another user it stays that \
      one. Takes over the sockets that a service manager passes. SIGTERM finishes what is in flight and exits with 0; SIGHUP \
      reads the policy again and reopens the audit log.
      """)

  @OptionGroup var configuration: ConfigurationOption

  func run() throws {
    // Events name files, and are read from everywhere.
    let path = ConfigurationOption.absolute(configuration.config)
    let settings = try ConfigurationOption.load(path, quiet: false)
    do {
      try Service(settings: settings, configurationPath: path).run()
    } catch let error as StartError {
      StandardError.write("sluice: \(error.reason)")
      throw ExitCode.failure
    }
  }
}
