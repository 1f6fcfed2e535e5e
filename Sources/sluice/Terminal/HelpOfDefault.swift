import ArgumentParser

/// The help of a command that is another one where no subcommand is named: `sluice grants` is `sluice grants list`, whose
/// options are then its own.
enum HelpOfDefault {
  /// Nil for everything but a question for such a command's help.
  ///
  /// - Parameter words: of the command line, behind the program's name.
  static func text(_ words: [String]) -> String? {
    guard let name = asked(words),
      let command = Sluice.configuration.subcommands.first(where: { $0.configuration.commandName == name }),
      let byDefault = command.configuration.defaultSubcommand
    else { return nil }
    // The argument parser makes a name of the type's where the configuration has none.
    let subcommand = byDefault.configuration.commandName ?? "\(byDefault)".lowercased()
    return Sluice.helpMessage(for: command)
      + "\n\nWithout a subcommand it is 'sluice \(name) \(subcommand)':\n\n" + Sluice.helpMessage(for: byDefault)
  }

  private static func asked(_ words: [String]) -> String? {
    guard words.count == 2 else { return nil }
    if words[0] == "help" { return words[1] }
    return ["--help", "-h"].contains(words[1]) ? words[0] : nil
  }
}
