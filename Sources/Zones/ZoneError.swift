/// One fault of a zone file.
package struct ZoneError: Error, Equatable, Sendable {
  package let file: String
  /// Counted from 1; 0 for the file as a whole.
  package let line: Int
  package let message: String

  package init(file: String, line: Int, message: String) {
    self.file = file
    self.line = line
    self.message = message
  }
}

/// All faults of all zone files.
package struct ZoneErrors: Error, Sendable {
  package let errors: [ZoneError]

  package init(_ errors: [ZoneError]) {
    self.errors = errors
  }
}
