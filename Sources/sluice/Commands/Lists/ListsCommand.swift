import ArgumentParser
import EgressPolicy
import LinuxIO
import Settings

struct ListsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lists", abstract: "Show the lists that policy documents may include.",
    discussion: """
      A document includes a list by its name, `include: [ github ]`, or by the path of a file of your own; its entries stand beside \
      those of the document.
      """,
    subcommands: [ListsListCommand.self, ListsShowCommand.self, ListsFromHostCommand.self],
    defaultSubcommand: ListsListCommand.self)
}

/// Where lists are looked for by name.
struct ListFolders: ParsableArguments {
  @Option(
    name: [.long, .short],
    help: "The configuration, whose `lists:` names the folders; the shipped lists where there is none.",
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String?

  /// Prints why they cannot be known, and exits with 1.
  func folders() throws -> [String] {
    guard let path = config ?? ConfigurationOption.installedIfReadable else {
      return SettingsLoader.shippedListDirectories
    }
    do throws(Diagnostic) {
      return try SettingsLoader.listFolders(path: path)
    } catch {
      StandardError.write(error.description)
      throw ExitCode.failure
    }
  }

  /// The names of all lists, for a shell that completes one.
  static let names = CompletionKind.custom { _, _, _ in
    ListCatalogue(folders: SettingsLoader.shippedListDirectories).lists.map(\.name)
  }
}
