import Foundation
import Glibc

/// The terminal of this process, taken over for a screen that is drawn again and again.
struct Terminal {
  private let former: termios

  /// Nil where there is none to read keys from.
  init?() {
    var settings = termios()
    guard unsafe tcgetattr(STDIN_FILENO, &settings) == 0 else { return nil }
    former = settings
    settings.c_lflag &= ~tcflag_t(ICANON | ECHO)
    guard unsafe tcsetattr(STDIN_FILENO, TCSANOW, &settings) == 0 else { return nil }
    // The other screen, without a cursor.
    write("\u{1B}[?1049h\u{1B}[?25l")
  }

  func restore() {
    write("\u{1B}[?25h\u{1B}[?1049l")
    var settings = former
    _ = unsafe tcsetattr(STDIN_FILENO, TCSANOW, &settings)
  }

  var size: (columns: Int, rows: Int) {
    var size = winsize()
    guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
      return (80, 24)
    }
    return (Int(size.ws_col), Int(size.ws_row))
  }

  func show(_ lines: [String]) {
    write("\u{1B}[H" + lines.map { "\($0)\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
  }

  /// Waits so long; true when q was pressed, or nothing can be read any more.
  func waitForQuit(seconds: Double) -> Bool {
    let end = ProcessInfo.processInfo.systemUptime + seconds
    while true {
      let left = end - ProcessInfo.processInfo.systemUptime
      var entry = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
      guard left > 0, unsafe poll(&entry, 1, Int32(left * 1000) + 1) > 0 else { return false }
      var key: UInt8 = 0
      guard unsafe read(STDIN_FILENO, &key, 1) == 1 else { return true }
      if key == UInt8(ascii: "q") || key == 4 { return true }
    }
  }

  /// What a terminal that was taken away does not get is lost: that it is gone, reading its keys tells.
  private func write(_ text: String) {
    var octets = Array(text.utf8)[...]
    while !octets.isEmpty {
      let count = unsafe octets.withUnsafeBytes { unsafe Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
      octets = octets.dropFirst(count > 0 ? count : octets.count)
    }
  }
}
