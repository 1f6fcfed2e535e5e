package import EgressPolicy
import Foundation

/// What loading found: settings when there was no error, and every error and warning of every file.
package struct LoadedSettings: Sendable {
  package let settings: Settings?
  /// In order of file and line.
  package let diagnostics: [Diagnostic]
  /// The folders of the configuration and of its policy files, as far as it could be read.
  package var folders: Set<String> = []

  package var hasErrors: Bool { diagnostics.contains { $0.severity == .error } }

  /// The same files, which cannot be used because of what was found in a file that they name.
  package func refused(for errors: [Diagnostic]) -> LoadedSettings {
    LoadedSettings(settings: nil, diagnostics: (diagnostics + errors).sorted(), folders: folders)
  }
}

/// Reads a configuration and everything it names.
package enum SettingsLoader {
  /// Reads the file at `path`; paths in it are relative to it. Never throws: what is wrong is in the diagnostics.
  ///
  /// - Parameters:
  ///   - zoneDirectories: searched for the shipped zones when the configuration names none.
  ///   - listDirectories: the same for the shipped lists.
  ///   - now: seconds since 1970, for warnings about rules whose time is over; the clock's when nil.
  package static func load(
    path: String, zoneDirectories: [String]? = nil, listDirectories: [String]? = nil, now: UInt64? = nil
  ) -> LoadedSettings {
    let whole = SourceLocation(file: path, line: 0, column: 0)
    let documents: [YAMLNode]
    do throws(Diagnostic) {
      documents = try read(path, whole)
    } catch {
      return LoadedSettings(settings: nil, diagnostics: [error], folders: [ConfigFiles.folder(of: path)])
    }
    guard let root = documents.first else {
      let problem = "is empty, expected a configuration with listen, upstreams and policies"
      return LoadedSettings(settings: nil, diagnostics: [.error(problem, at: whole)])
    }
    var reader = SettingsReader(
      path: path, zoneDirectories: zoneDirectories ?? shipped("zones"),
      listDirectories: listDirectories ?? shippedListDirectories, now: now ?? clock())
    let settings = reader.settings(root)
    // What is said of a list is said once, however many documents include it.
    var diagnostics = Array(Set(reader.findings.diagnostics))
    if documents.count > 1 {
      diagnostics.append(.error("a second document begins here, expected one", at: documents[1].location))
    }
    diagnostics.sort()
    let hasErrors = diagnostics.contains { $0.severity == .error }
    return LoadedSettings(settings: hasErrors ? nil : settings, diagnostics: diagnostics, folders: settings.folders)
  }

  /// Where the configuration at `path` puts audit log and control socket, for the commands that need no more of it: they
  /// work while a policy is broken.
  ///
  /// - Throws: what makes even that unreadable.
  package static func paths(
    path: String
  ) throws(Diagnostic) -> (audit: AuditSettings, control: ControlSettings) {
    let whole = SourceLocation(file: path, line: 0, column: 0)
    var reader = SettingsReader(path: path, zoneDirectories: [], now: 0)
    guard let root = try read(path, whole).first else { throw .error("is empty", at: whole) }
    let paths = reader.paths(root)
    if let error = reader.findings.diagnostics.first(where: { $0.severity == .error }) { throw error }
    return paths
  }

  /// Where lists are looked for by name, whatever is wrong with the rest of the configuration at `path`.
  ///
  /// - Throws: what makes even that unreadable.
  package static func listFolders(path: String) throws(Diagnostic) -> [String] {
    let whole = SourceLocation(file: path, line: 0, column: 0)
    guard let root = try read(path, whole).first, root.isMapping,
      let node = root.pairs.first(where: { $0.key.text == "lists" })?.value
    else { return shippedListDirectories }
    var reader = SettingsReader(path: path, zoneDirectories: [], now: 0)
    let folders = reader.listFolders(node)
    if let error = reader.findings.diagnostics.first(where: { $0.severity == .error }) { throw error }
    return folders
  }

  private static func read(_ path: String, _ whole: SourceLocation) throws(Diagnostic) -> [YAMLNode] {
    do {
      return try YAMLReader.read(try ConfigFiles.read(path), name: path).documents
    } catch let error as ConfigFiles.FileError {
      throw .error(error.reason, at: whole)
    } catch let error as Diagnostic {
      throw error
    } catch {
      throw .error("cannot be read", at: whole)
    }
  }

  private static func clock() -> UInt64 { UInt64(max(Date().timeIntervalSince1970, 0)) }

  /// Beside the executable, where packages put it, and where a package of the system does.
  private static func shipped(_ part: String) -> [String] {
    let own = ConfigFiles.executableDirectory().map { ["\($0)/\(part)", "\($0)/../share/sluice/\(part)"] } ?? []
    return own + ["/usr/share/sluice/\(part)"]
  }

  /// The first of these that there is: two of them hold the same.
  package static var shippedListDirectories: [String] {
    let all = shipped("lists").map { ($0 as NSString).standardizingPath }
    return Array(all.filter(ConfigFiles.isDirectory).prefix(1))
  }
}
