import ArgumentParser
import FirewallBridge
import Settings

struct FirewallCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "firewall",
    abstract: "Print, install or remove the static ruleset.",
    discussion: """
      `install` before the first container starts gives default drop from boot on; `serve` installs the same rules \
      and only adds elements. `remove` takes the whole table away, elements included.
      """,
    subcommands: [Print.self, Install.self, Remove.self])

  struct Print: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print the ruleset as nft text.")
    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
      print(try Ruleset.render(FirewallCommand.plan(configuration)), terminator: "")
    }
  }

  struct Install: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Install the ruleset in one transaction.")
    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
      try FirewallCommand.perform(.install, try FirewallCommand.plan(configuration))
    }
  }

  struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Remove the table with everything in it.")
    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
      try FirewallCommand.perform(.remove, try FirewallCommand.plan(configuration))
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
    var indexes = FirewallIndexes()
    indexes.assign(settings.policies)
    return indexes.plan(for: settings.policies, settings)
  }

  /// Starts a bridge for this one deed and waits for its answer.
  private static func perform(_ deed: Deed, _ plan: FirewallPlan) throws {
    do throws(StartError) {
      switch deed {
      case .install: _ = try BridgeSession(plan)
      case .remove: try BridgeSession(nil).remove(plan.table)
      }
    } catch {
      StandardError.write("sluice: \(error.reason)")
      throw ExitCode.failure
    }
  }
}
