import ArgumentParser
import AuditStore
import EgressPolicy
import Foundation
import LinuxIO
import Settings

/// Where the log is, and from when to when.
struct LogSource: ParsableArguments {
  @Option(
    name: [.long, .short],
    help: "The configuration file, for the log's path. (default: /etc/sluice/sluice.yaml, if there is one)",
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String?
  @Option(help: "The log itself, instead of the one that the configuration names.", completion: .file())
  var path: String?
  @Option(help: "Not before: \(LogTime.forms); local time where no offset is given.") var since: String?
  @Option(help: "Not after; as --since.") var until: String?

  func validate() throws {
    _ = try Self.time(since, "--since")
    _ = try Self.time(until, "--until")
  }

  /// Gives every event that passes to `body`, newest last; prints why not, and exits with 1, where it cannot be read.
  func read(_ filter: LogFilter, each body: (LogLine) -> Void) throws {
    let progress = Progress("reading the log")
    defer { progress.end() }
    try read(filter) { reader throws(AuditStoreError) in try reader.read(body) }
  }

  /// Gives every event that passes to one of several sinks, in no order; as `read`.
  func fold<Sink: LogSink>(_ filter: LogFilter, _ make: @escaping @Sendable () -> Sink) throws -> [Sink] {
    var sinks: [Sink] = []
    try read(filter) { reader throws(AuditStoreError) in
      let progress = Progress("reading the log")
      defer { progress.end() }
      sinks = try reader.fold(make)
    }
    return sinks
  }

  /// Has `body` read what passes; prints why not, and exits with 1, where it cannot be read.
  ///
  /// - Parameters:
  ///   - filter: the times of the options come to it.
  ///   - limit: the last so many; nil for all.
  ///   - latest: of those all that may be among the latest so many by their time; nil for all.
  func read(
    _ filter: LogFilter, limit: Int? = nil, latest: Int? = nil,
    _ body: (inout AuditReader) throws(AuditStoreError) -> Void
  ) throws {
    var filter = filter
    filter.since = try interval().since
    filter.until = try interval().until
    (filter.limit, filter.latest) = (limit, latest)
    try read(as: filter, body)
  }

  /// The same whatever the options say of times.
  func read(as filter: LogFilter, _ body: (inout AuditReader) throws(AuditStoreError) -> Void) throws {
    let path = try logPath()
    var reader = AuditReader(path: path, filter: filter)
    if !reader.isThere {
      StandardError.write("sluice: there is no log at \(path)")
      // One that the configuration names may not have begun.
      if self.path != nil { throw ExitCode.failure }
    }
    try KnownServers.check(filter.server, config: configuration, log: path)
    do throws(AuditStoreError) {
      try body(&reader)
    } catch {
      StandardOutput.flush()
      StandardError.write("sluice: \(error)")
      throw ExitCode.failure
    }
    StandardOutput.flush()
    for file in reader.damagedFiles {
      StandardError.write("sluice: \(file) is damaged: what stands behind the damage was left out")
    }
    if reader.badLines > 0 {
      StandardError.write("sluice: \(reader.badLines) lines are no events and were left out")
    }
  }

  /// The times of the options.
  func interval() throws -> (since: Date?, until: Date?) {
    (try Self.time(since, "--since"), try Self.time(until, "--until"))
  }

  /// The configuration that is named, or the one that is installed.
  var configuration: String? { config ?? ConfigurationOption.installedIfReadable }

  /// Prints that there is no such server, and exits with 1, unless the configuration or the log has it.
  func check(_ server: String?) throws {
    try KnownServers.check(server, config: configuration, log: logPath())
  }

  private func logPath() throws -> String {
    if let path { return path }
    guard let config = configuration else { return AuditSettings.default.path }
    return try ConfigurationOption.paths(config).audit.path
  }

  /// - Parameter option: its name, for the message.
  static func time(_ text: String?, _ option: String) throws -> Date? {
    guard let text else { return nil }
    guard let time = LogTime.parse(text) else {
      throw ValidationError("\(option) is '\(text)'; expected \(LogTime.forms)")
    }
    return time
  }
}
