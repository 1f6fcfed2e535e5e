import Glibc

/// Diagnostics for the operator's terminal and journal.
package enum StandardError {
  /// Writes a line, to which its end is added; nothing is told where that fails.
  package static func write(_ line: String) {
    let octets = Array((line + "\n").utf8)
    _ = unsafe octets.withUnsafeBytes { unsafe Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
