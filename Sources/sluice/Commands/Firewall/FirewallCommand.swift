import FirewallModel
import NFTables
import BridgeProcesses
import ArgumentParser
import AuditLog
import Control
import ControlAPI
import Glibc
import IPNetwork
import LinuxIO
import Serving
import Settings

struct FirewallCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "firewall",
    abstract: "Print, install, remove or compare the static ruleset.",
    discussion: """
      `install` before the first container starts gives default drop from boot on; `serve` installs the same rules \
      and only adds elements. `remove` takes the whole table away, elements included.
      """,
    subcommands: [Print.self, Install.self, Remember.self, Remove.self, Diff.self, Release.self])

  struct Print: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "print", abstract: "Print the ruleset as nft text.")
    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
      let (plan, settings) = try FirewallCommand.plan(configuration)
      print(try Ruleset.render(plan, Ruleset.Surroundings(plan, state: settings.state)), terminator: "")
    }
  }

  struct Install: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "install", abstract: "Install the ruleset in one transaction.",
      discussion: """
        With --state, as sluice-firewall.service has it at boot, what keeps the configuration from being read lets \
        nothing out: the rules that were last in force are installed from that folder. Exits with 1 where there are none \
        either, and with 0 where a running sluice holds the table, or the rules are not Sluice's to write.
        """)
    @OptionGroup var configuration: ConfigurationOption
    @Option(
      help: "The folder of the rules that were last in force, such as \(RememberedRules.folder).",
      completion: .directory)
    var state: String?

    func run() throws {
      if let state {
        return try FirewallCommand.reported {
          try EarlyRules(configuration: configuration.config, state: state).install()
        }
      }
      try FirewallCommand.perform(.install, configuration)
    }
  }

  struct Remember: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "remember", abstract: "Remember the ruleset for a boot at which the configuration is broken.",
      discussion: """
        Writes what `install --state` falls back to: the ruleset of the configuration as it stands, without static \
        prefixes that have an end (`until:`). A configuration that is broken leaves what was remembered. \
        sluice.service does it after each start, reload and stop.
        """)
    @OptionGroup var configuration: ConfigurationOption
    @Option(help: "The folder to remember it in.", completion: .directory) var state = RememberedRules.folder

    func run() throws {
      let settings = try configuration.load(quiet: true)
      try FirewallCommand.reported { try EarlyRules.remember(settings, in: state) }
    }
  }

  struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "remove", abstract: "Remove the table with everything in it.")
    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
      try FirewallCommand.perform(.remove, configuration)
    }
  }

  struct Diff: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "diff",
      abstract: "Show what differs between the kernel's table and the one that the configuration wants.",
      discussion: "Lines with - are in the kernel only, lines with + are wanted only. Exit 0: no difference; 1: some.")
    @OptionGroup var configuration: ConfigurationOption
    @Flag(help: "Print one JSON object.") var json = false

    func run() throws {
      let (plan, settings) = try FirewallCommand.plan(configuration)
      guard geteuid() == 0 else {
        StandardError.write("sluice: firewall diff needs root: it reads the kernel's table")
        throw ExitCode.failure
      }
      let difference: FirewallDifference
      do {
        difference = try FirewallDifference(plan, state: settings.state)
      } catch {
        StandardError.write("sluice: \(error)")
        throw ExitCode.failure
      }
      if json {
        StandardOutput.write(
          "{\"table\":\(JSONText.quoted("inet \(plan.table)")),\"lines\":\(JSONText.list(difference.lines))}")
      } else if !difference.isEmpty {
        StandardOutput.write("table inet \(plan.table): - is in the kernel, + is what the configuration wants")
        for line in difference.lines { StandardOutput.write(line) }
      }
      if !difference.isEmpty { throw ExitCode.failure }
    }
  }

  struct Release: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "release", abstract: "Open a network that a policy governed once and none governs any more.",
      discussion: """
        Such a network stays closed, over restarts and reboots, until it is released: a policy that was removed by mistake \
        opens nothing. `sluice status` and `sluice doctor` list them; what they send is `network-held` in the log. \
        `release:` in the configuration does the same for good, `firewall remove` for all of them.

        Example:
          sudo sluice firewall release 10.77.1.0/24
        """)
    @OptionGroup var configuration: ConfigurationOption
    @Argument(help: "The network, as it was governed.") var network: String

    func validate() throws {
      if IPPrefix(network) == nil {
        throw ValidationError("'\(network)' is no network, expected one such as 10.77.1.0/24")
      }
    }

    func run() throws {
      guard let prefix = IPPrefix(network) else { return }
      let (plan, settings) = try FirewallCommand.plan(configuration)
      do {
        try StateFolder.change(plan.table, at: settings.state) { try $0.release(prefix, beside: plan) }
      } catch {
        StandardError.write("sluice: \(error)")
        throw ExitCode.failure
      }
      do {
        let response = try ControlClient(path: settings.control.path).call(.post, ControlAPI.Call.reload.path)
        guard response.status == 200 else {
          StandardError.write(
            "sluice: \(prefix) is released, and opens when the running sluice reloads; it refused to: "
              + String(decoding: response.body, as: UTF8.self))
          throw ExitCode.failure
        }
      } catch is SystemError {
        // Where none runs, the rules are put in force here.
        try FirewallCommand.perform(.install, configuration)
      }
      StandardOutput.write("\(prefix) is released")
    }
  }

  enum Operation {
    case install
    case remove
  }

  private static func plan(_ configuration: ConfigurationOption) throws -> (FirewallPlan, Settings) {
    let settings = try configuration.load(quiet: true)
    guard settings.firewall.mode == .managed else {
      StandardError.write("sluice: firewall.mode is \(settings.firewall.mode): table and rules are not ours to write")
      throw ExitCode.failure
    }
    return (FirewallPlan(settings, settings.policies.inForceNow()), settings)
  }

  private static func reported(_ body: () throws -> Void) throws {
    do {
      try body()
    } catch let error as StartError {
      StandardError.write("sluice: \(error.reason)")
      throw ExitCode.failure
    }
  }

  /// Starts a bridge for a single operation and waits for its answer.
  private static func perform(_ operation: Operation, _ configuration: ConfigurationOption) throws {
    let (plan, settings) = try plan(configuration)
    do {
      let lock = try TableLock(family: plan.family, table: plan.table)
      defer { _ = lock }
      switch operation {
      case .install: _ = try BridgeSession(plan, state: settings.state)
      case .remove: try BridgeSession(nil, state: settings.state).remove(plan.table)
      }
    } catch {
      StandardError.write("sluice: \((error as? StartError)?.reason ?? "\(error)")")
      throw ExitCode.failure
    }
  }
}
