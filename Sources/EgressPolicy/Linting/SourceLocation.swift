/// A position in a configuration file, as the user named that file.
package struct SourceLocation: Hashable, Sendable {
  package let file: String
  /// Counted from 1; 0 means the file as a whole.
  package let line: Int
  /// Counted from 1, in Unicode scalars.
  package let column: Int

  package init(file: String, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }

  /// `file:line:column`, the form of diagnostics.
  package var full: String { line == 0 ? file : "\(file):\(line):\(column)" }
}

extension SourceLocation: CustomStringConvertible {
  /// `file:line`, the form of the audit log.
  package var description: String { line == 0 ? file : "\(file):\(line)" }
}

extension SourceLocation: Comparable {
  package static func < (left: Self, right: Self) -> Bool {
    (left.file, left.line, left.column) < (right.file, right.line, right.column)
  }
}
