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
  func read(server: String?, decision: String? = nil, _ body: (LogLine) -> Void) throws {
    let progress = Progress("reading the log")
    defer { progress.end() }
    try read(server: server, decision: decision) { reader throws(AuditStoreError) in try reader.read(body) }
  }

  /// Gives every event that passes to one of several sinks, in no order; as `read`.
  func fold<Sink: LogSink>(
    server: String?, decision: String? = nil, name: String? = nil, _ make: @escaping @Sendable () -> Sink
  ) throws -> [Sink] {
    var sinks: [Sink] = []
    try read(server: server, decision: decision, name: name) { reader throws(AuditStoreError) in
      let progress = Progress("reading the log")
      defer { progress.end() }
      sinks = try reader.fold(make)
    }
    return sinks
  }

  /// Has `body` read what passes; prints why not, and exits with 1, where it cannot be read.
  func read(
    server: String?, decision: String? = nil, name: String? = nil, limit: Int? = nil,
    _ body: (inout AuditReader) throws(AuditStoreError) -> Void
  ) throws {
    let filter = LogFilter(
      server: server, decision: decision, name: name, since: try Self.time(since, "--since"),
      until: try Self.time(until, "--until"), limit: limit)
    let path = try logPath()
    try KnownServers.check(server, config: configuration, log: path)
    var reader = AuditReader(path: path, filter: filter)
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

  private var configuration: String? { config ?? ConfigurationOption.installedIfReadable }

  private func logPath() throws -> String {
    if let path { return path }
    guard let config = configuration else { return AuditSettings.default.path }
    return try ConfigurationOption.places(config).audit.path
  }

  private static func time(_ text: String?, _ option: String) throws -> Date? {
    guard let text else { return nil }
    guard let time = LogTime.parse(text) else {
      throw ValidationError("\(option) is '\(text)'; expected \(LogTime.forms)")
    }
    return time
  }
}
