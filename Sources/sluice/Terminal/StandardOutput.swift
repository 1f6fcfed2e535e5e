import Glibc
import LinuxIO
import Synchronization

/// What a command was asked for, line by line: the reader of a pipe sees each one at once, unless many are collected.
enum StandardOutput {
  private static let collected = Mutex<[UInt8]>([])
  private static let collectedOctets = 64 << 10

  static func write(_ line: String) {
    write(lines: Array((line + "\n").utf8))
  }

  /// Writes whole lines with their newlines, after what was collected.
  static func write(lines octets: [UInt8]) {
    flush()
    send(octets)
  }

  /// Writes a line with others, at the latest when `flush` is called.
  static func collect(_ line: String) {
    collect(Array(line.utf8)[...])
  }

  /// Writes a line's octets with others, at the latest when `flush` is called.
  static func collect(_ line: ArraySlice<UInt8>) {
    let count = collected.withLock { octets in
      octets.append(contentsOf: line)
      octets.append(10)
      return octets.count
    }
    if count >= collectedOctets { flush() }
  }

  /// Writes what was collected.
  static func flush() {
    send(
      collected.withLock { octets in
        defer { octets.removeAll(keepingCapacity: true) }
        return octets
      })
  }

  private static func send(_ octets: [UInt8]) {
    var sent = 0
    while sent < octets.count {
      let count = unsafe octets[sent...].withUnsafeBytes { unsafe Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
      // A reader that went away ends the command quietly, as in any pipe.
      guard count > 0 || errno == EINTR else {
        guard errno != EPIPE else { exit(0) }
        StandardError.write("sluice: the output cannot be written: \(unsafe String(cString: strerror(errno)))")
        exit(1)
      }
      sent += max(0, count)
    }
  }
}
