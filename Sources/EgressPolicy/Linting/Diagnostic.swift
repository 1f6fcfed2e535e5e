/// One finding in the configuration: what is wrong, where, and what was expected.
package struct Diagnostic: Error, Hashable, Sendable {
  /// Whether the configuration is refused for it.
  package enum Severity: String, Sendable {
    case error
    case warning
  }

  package let severity: Severity
  package let location: SourceLocation
  package let message: String

  package init(_ severity: Severity, at location: SourceLocation, _ message: String) {
    self.severity = severity
    self.location = location
    self.message = message
  }

  /// A finding for which the configuration is refused.
  package static func error(_ message: String, at location: SourceLocation) -> Self {
    Diagnostic(.error, at: location, message)
  }

  /// A finding that is told, and refuses nothing.
  package static func warning(_ message: String, at location: SourceLocation) -> Self {
    Diagnostic(.warning, at: location, message)
  }
}

extension Diagnostic: CustomStringConvertible {
  /// `file:line:column: error: message`; what stands in no file begins with its severity.
  package var description: String {
    let text = "\(severity.rawValue): \(message)"
    return location.file.isEmpty ? text : "\(location.full): \(text)"
  }
}

extension Diagnostic: Comparable {
  /// Ordered as a reader meets them: by location, errors before warnings.
  package static func < (left: Self, right: Self) -> Bool {
    (left.location, left.severity.rawValue, left.message) < (right.location, right.severity.rawValue, right.message)
  }
}
