package import EgressPolicy

/// Every fault of what the configuration names and is read from files beside it.
package struct FindingsError: Error {
  package var findings: [Diagnostic]

  /// The faults for which a reading throws, as findings of `check`.
  static func findings(of reading: () throws(FindingsError) -> Void) -> [Diagnostic] {
    do throws(FindingsError) {
      try reading()
      return []
    } catch {
      return error.findings
    }
  }
}
