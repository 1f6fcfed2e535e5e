import AuditLog
import AuditStore
import LinuxIO

/// Runs of serve for people, and as JSON.
struct RunsText {
  static let heading = ["FROM", "UNTIL", "END", "LAST EVENT", "VERSION"]

  private let times: TimeOption

  init(_ times: TimeOption) { self.times = times }

  func columns(_ run: ServiceRuns.Run) -> [String] {
    [
      run.began.map(time) ?? "before \(time(run.first))",
      run.stopped.map(time) ?? "-",
      Self.end(run), time(run.last), run.version ?? "-",
    ]
  }

  /// What the log says of a moment, and whether serve was up then.
  ///
  /// - Parameter moment: milliseconds since 1970.
  func state(_ runs: [ServiceRuns.Run], at moment: Int64) -> (text: String, isUp: Bool) {
    switch ServiceRuns.state(of: runs, at: moment) {
    case .up(let run): ("up at \(time(moment)): it ran from \(from(run))\(until(run))", true)
    case .upAsFarAsTold(let run):
      ("up at \(time(moment)), as far as the log tells: it runs since \(from(run)), last event \(time(run.last))", true)
    case .unsure(let run, let next):
      (
        "down at \(time(moment)), or about to be: the run from \(from(run)) ended without stopping, its last event is of "
          + "\(time(run.last)); the next run began at \(from(next))",
        false
      )
    case .down(let run, let next):
      (
        "down at \(time(moment)): it stopped at \(run.stopped.map(time) ?? "-")\(run.error.map { " (\(Self.safe($0)))" } ?? "")"
          + (next.map { ", and began again at \(from($0))" } ?? ", and has not begun again"),
        false
      )
    case .untold:
      (
        runs.first.map { "not known: the log begins at \(time($0.first))" }
          ?? "not known: the log has no event of a run",
        false
      )
    }
  }

  private func time(_ milliseconds: Int64) -> String { times.text(milliseconds: milliseconds) }

  private func from(_ run: ServiceRuns.Run) -> String {
    run.began.map(time) ?? "\(time(run.first)) or before"
  }

  private func until(_ run: ServiceRuns.Run) -> String {
    switch run.end {
    case .stopped: " until \(run.stopped.map(time) ?? "-"), when it stopped"
    case .crashed, .untold: ", its last event is of \(time(run.last)); it ended without stopping"
    case .none: " on, and has not stopped since"
    }
  }

  private static func end(_ run: ServiceRuns.Run) -> String {
    switch run.end {
    case .stopped: run.error.map { "stopped: \(safe($0))" } ?? "stopped"
    case .crashed: "crashed"
    case .untold: "not told"
    case .none: "-"
    }
  }

  /// What came from outside, such as a path, on one line.
  private static func safe(_ text: String) -> String {
    String(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "?" : Character($0) })
  }

  static func json(_ run: ServiceRuns.Run) -> String {
    func time(_ milliseconds: Int64?) -> String {
      milliseconds.map { JSONText.quoted(Timestamp.text(milliseconds: $0)) } ?? "null"
    }
    func text(_ value: String?) -> String { value.map(JSONText.quoted) ?? "null" }
    return "{\"from\":\(time(run.began)),\"until\":\(time(run.stopped)),"
      + "\"end\":\(run.end == .none ? "null" : JSONText.quoted(run.end.rawValue)),\"first_event\":\(time(run.first)),"
      + "\"last_event\":\(time(run.last)),\"version\":\(text(run.version)),\"error\":\(text(run.error))}"
  }
}
