import Foundation

/// Colour for people at a terminal: never in a pipe or file, and not where NO_COLOR is set (no-color.org) or the terminal
/// is dumb.
enum TerminalStyle {
  private static let isOn: Bool = {
    let environment = ProcessInfo.processInfo.environment
    return isatty(STDOUT_FILENO) == 1 && environment["NO_COLOR", default: ""].isEmpty && environment["TERM"] != "dumb"
  }()

  static func heading(_ text: String) -> String { styled(text, "1") }

  static func bad(_ text: String) -> String { styled(text, "31") }

  static func doubtful(_ text: String) -> String { styled(text, "33") }

  static func good(_ text: String) -> String { styled(text, "32") }

  private static func styled(_ text: String, _ code: String) -> String {
    isOn ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }
}
