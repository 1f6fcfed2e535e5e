/// What keeps a log from being rotated, in words.
package enum LogFault {
  /// A sentence, without a stop.
  ///
  /// - Parameter reason: as the kernel words it.
  package static func text(_ path: String, _ reason: String) -> String {
    "the audit log \(path) cannot be rotated (\(reason)): it grows beyond max-size"
  }

  /// - Parameter reason: as the kernel words it; nil where it is not known.
  package static func text(blocked reason: String?) -> String {
    "the log cannot be written" + (reason.map { " (\($0))" } ?? "")
  }
}
