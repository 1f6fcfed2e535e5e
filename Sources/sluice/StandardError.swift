import Glibc

/// Diagnostics for the operator's terminal and journal.
enum StandardError {
  static func write(_ line: String) {
    let octets = Array((line + "\n").utf8)
    _ = unsafe octets.withUnsafeBytes { unsafe Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}

/// What a command was asked for, line by line: whoever reads a pipe sees each one at once.
enum StandardOutput {
  static func write(_ line: String) {
    let octets = Array((line + "\n").utf8)
    var sent = 0
    while sent < octets.count {
      let count = unsafe octets[sent...].withUnsafeBytes { unsafe Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
      // A reader that went away ends the command quietly, as in any pipe.
      guard count > 0 || errno == EINTR else { exit(0) }
      sent += max(0, count)
    }
  }
}
