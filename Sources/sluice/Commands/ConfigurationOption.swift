import ArgumentParser
import EgressPolicy
import Foundation
import LinuxIO
import Settings

/// The option that every command reading the configuration has.
struct ConfigurationOption: ParsableArguments {
  @Option(
    name: [.long, .short], help: "The configuration file (YAML).",
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String = ConfigurationOption.installed

  /// Where an installed sluice has it.
  static let installed = "/etc/sluice/sluice.yaml"

  /// The same, if it is there for this user.
  static var installedIfReadable: String? {
    FileManager.default.isReadableFile(atPath: installed) ? installed : nil
  }

  /// Reads the configuration; prints every finding and exits with 1 when one is an error.
  func load(quiet: Bool = false) throws -> Settings { try Self.load(config, quiet: quiet) }

  /// Where audit log and control socket are, whatever is wrong with the rest; prints why not, and exits with 1.
  static func paths(_ config: String) throws -> (audit: AuditSettings, control: ControlSettings) {
    do throws(Diagnostic) {
      return try SettingsLoader.paths(path: config)
    } catch {
      StandardError.write(error.description)
      throw ExitCode.failure
    }
  }

  /// Reads the configuration, and prints nothing.
  static func read(_ config: String) -> LoadedSettings {
    Progress.during("reading \(config)") { SettingsLoader.load(path: config) }
  }

  /// For a command that only looks: what is wrong with the files, and what it goes by instead.
  static func tellUnusable(_ loaded: LoadedSettings, instead: String) {
    for diagnostic in loaded.diagnostics where diagnostic.severity == .error {
      StandardError.write(diagnostic.description)
    }
    StandardError.write("sluice: the configuration has errors: \(instead)")
  }

  /// A path as seen from the root.
  static func absolute(_ path: String) -> String {
    path.hasPrefix("/")
      ? path : (FileManager.default.currentDirectoryPath as NSString).appendingPathComponent(path)
  }

  static func load(_ config: String, quiet: Bool) throws -> Settings {
    let loaded = read(config)
    for diagnostic in loaded.diagnostics where !quiet || diagnostic.severity == .error {
      StandardError.write(diagnostic.description)
    }
    guard let settings = loaded.settings else { throw ExitCode.failure }
    return settings
  }
}
