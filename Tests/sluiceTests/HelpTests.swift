import ArgumentParser
import Testing

@testable import sluice

@Suite("Help of commands")
struct HelpTests {
  @Test(
    "what a command does without a subcommand stands in its own help, with every option",
    arguments: [
      ("allow", ["--server", "--name", "--for", "--reason"]), ("cache", ["--server", "--name", "--json"]),
      ("grants", ["--server", "--kernel", "--json"]), ("lists", ["--config", "--json"]),
    ])
  func options(command: String, options: [String]) throws {
    for words in [[command, "--help"], [command, "-h"], ["help", command]] {
      let help = try #require(HelpOfDefault.text(words))
      #expect(help.contains("SUBCOMMANDS:"))
      for option in options { #expect(help.contains("\n  \(option)") || help.contains(", \(option)"), "\(option)") }
    }
  }

  @Test("every command with a default shows it, and no other question is answered so")
  func all() {
    for command in Sluice.configuration.subcommands {
      let name = command.configuration.commandName ?? ""
      #expect(
        (HelpOfDefault.text([name, "--help"]) != nil) == (command.configuration.defaultSubcommand != nil), "\(name)")
    }
    #expect(HelpOfDefault.text(["grants", "list", "--help"]) == nil && HelpOfDefault.text(["grants"]) == nil)
    #expect(HelpOfDefault.text(["--help"]) == nil && HelpOfDefault.text([]) == nil)
  }
}
