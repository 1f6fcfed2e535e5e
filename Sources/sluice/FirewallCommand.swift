import ArgumentParser
import FirewallBridge
import Glibc
import Settings

struct FirewallCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "firewall",
    abstract: "Print, install, remove or compare the static ruleset.",
    discussion: """
      `install` before the first container starts gives default drop from boot on; `serve` installs the same rules \
      and only adds elements. `remove` takes the whole table away, elements included.
      """,
    subcommands: [Print.self, Install.self, Remember.self, Remove.self, Diff.self])

  struct Print: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print the ruleset as nft text.")
    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
      print(try Ruleset.render(FirewallCommand.plan(configuration)), terminator: "")
    }
  }

  struct Install: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Install the ruleset in one transaction.",
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
      try FirewallCommand.perform(.install, try FirewallCommand.plan(configuration))
    }
  }

  struct Remember: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Remember the ruleset for a boot at which the configuration is broken.",
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
    static let configuration = CommandConfiguration(abstract: "Remove the table with everything in it.")
    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
      try FirewallCommand.perform(.remove, try FirewallCommand.plan(configuration))
    }
  }

  struct Diff: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show what differs between the kernel's table and the one that the configuration wants.",
      discussion: "Lines with - are in the kernel only, lines with + are wanted only. Exit 0: no difference; 1: some.")
    @OptionGroup var configuration: ConfigurationOption
    @Flag(help: "Print one JSON object.") var json = false

    func run() throws {
      let plan = try FirewallCommand.plan(configuration)
      guard geteuid() == 0 else {
        StandardError.write("sluice: firewall diff needs root: it reads the kernel's table")
        throw ExitCode.failure
      }
      let difference: FirewallDifference
      do {
        difference = try FirewallDifference(plan)
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

  enum Deed {
    case install
    case remove
  }

  private static func plan(_ configuration: ConfigurationOption) throws -> FirewallPlan {
    let settings = try configuration.load(quiet: true)
    guard settings.firewall.mode == .managed else {
      StandardError.write("sluice: firewall.mode is \(settings.firewall.mode): table and rules are not ours to write")
      throw ExitCode.failure
    }
    return EarlyRules.plan(settings, settings.policies.inForceNow())
  }

  private static func reported(_ body: () throws -> Void) throws {
    do {
      try body()
    } catch let error as StartError {
      StandardError.write("sluice: \(error.reason)")
      throw ExitCode.failure
    }
  }

  /// Starts a bridge for this one deed and waits for its answer.
  private static func perform(_ deed: Deed, _ plan: FirewallPlan) throws {
    do {
      let lock = try TableLock(family: plan.family, table: plan.table)
      defer { _ = lock }
      switch deed {
      case .install: _ = try BridgeSession(plan)
      case .remove: try BridgeSession(nil).remove(plan.table)
      }
    } catch {
      StandardError.write("sluice: \((error as? StartError)?.reason ?? "\(error)")")
      throw ExitCode.failure
    }
  }
}
