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

  func run() throws { try Self.serve(configuration.config) }

  /// The file of `serve --config FILE`, and of `serve` alone; nil for every other command line.
  static func configuration(ofPlain words: [String]) -> String? {
    if words == ["serve"] { return ConfigurationOption.installed }
    guard words.count == 3, words[0] == "serve", words[1] == "--config", !words[2].isEmpty, !words[2].hasPrefix("-")
    else { return nil }
    return words[2]
  }

  /// Runs until it is asked to end; a start that fails is told, and ends with 1.
  static func serve(_ file: String) throws {
    // Events name files, and are read from everywhere.
    let path = ConfigurationOption.absolute(file)
    let settings = try ConfigurationOption.load(path, quiet: false)
    do {
      try Service(settings: settings, configurationPath: path).run()
    } catch let error as StartError {
      StandardError.write("sluice: \(error.reason)")
      throw ExitCode.failure
    }
  }
}
