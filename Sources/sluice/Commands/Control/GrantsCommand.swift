import ArgumentParser

struct GrantsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "grants", abstract: "Show which addresses are open for which server, or close them.",
    subcommands: [GrantsListCommand.self, GrantsRevokeCommand.self], defaultSubcommand: GrantsListCommand.self)
}
