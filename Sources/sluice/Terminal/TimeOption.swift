import ArgumentParser
import AuditStore
import Foundation

/// How commands show times to people: local ones with their offset, or UTC. JSON has UTC in any case.
struct TimeOption: ParsableArguments {
  @Flag(help: "Show times in UTC, not in local time.") var utc = false

  var zone: TimeZone { utc ? .gmt : .current }

  /// - Parameter milliseconds: since 1970.
  func text(milliseconds: Int64) -> String { LogTime.text(milliseconds, in: zone) }

  /// - Parameter seconds: since 1970.
  func text(seconds: UInt64) -> String { text(milliseconds: Int64(clamping: seconds) * 1000) }

  /// Of a time of the control API; one that is none stays as it is.
  func text(_ time: String) -> String { LogTime.milliseconds(time).map { text(milliseconds: $0) } ?? time }
}
