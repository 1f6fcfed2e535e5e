package import EgressPolicy

/// Every fault of the files that a part of the configuration names.
package struct FileErrors: Error {
  package var findings: [Diagnostic]

  /// What `check` says of files that `load` reads.
  static func findings<Loaded>(of load: () throws(FileErrors) -> Loaded) -> [Diagnostic] {
    do throws(FileErrors) {
      _ = try load()
      return []
    } catch {
      return error.findings
    }
  }
}
