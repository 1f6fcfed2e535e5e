import ArgumentParser
import Control
import ControlAPI
import EgressPolicy
import Settings

/// Names of servers that a shell offers: those of the configuration, or where that cannot be read those of the running server.
enum ServerNames {
  static let completion = CompletionKind.custom { words, _, _ in all(words) }

  /// - Parameter words: the command line so far.
  static func all(_ words: [String]) -> [String] {
    let config = value(of: ["--config", "-c"], in: words) ?? ConfigurationOption.installed
    let configured = SettingsLoader.load(path: config).settings?.policies.map(\.name.text) ?? []
    return (configured.isEmpty ? served(words, config) : configured).sorted()
  }

  private static func value(of options: Set<String>, in words: [String]) -> String? {
    for (index, word) in words.enumerated() {
      if options.contains(word), index + 1 < words.count { return words[index + 1] }
      if let option = options.first(where: { word.hasPrefix($0 + "=") }) {
        return String(word.dropFirst(option.count + 1))
      }
    }
    return nil
  }

  /// None where nothing serves there, or not for this user: a shell has nothing to offer then.
  private static func served(_ words: [String], _ config: String) -> [String] {
    do {
      let named = value(of: ["--control"], in: words)
      let socket =
        try named
        ?? (words.contains { $0.hasPrefix("--config") || $0 == "-c" }
          ? SettingsLoader.paths(path: config).control.path : ControlSettings.default.path)
      let response = try ControlClient(path: socket).call(.get, ControlAPI.Call.servers.path)
      return try ControlAPI.decode(ControlAPI.ServerList.self, response.body).servers.map(\.server)
    } catch {
      return []
    }
  }
}
