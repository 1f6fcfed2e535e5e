import ArgumentParser

struct LogCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log", abstract: "Read the audit log: events, counts, or what would admit what was denied.",
    subcommands: [LogReadCommand.self, LogTopCommand.self, LogSuggestCommand.self],
    defaultSubcommand: LogReadCommand.self)
}
