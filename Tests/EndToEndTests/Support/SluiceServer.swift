import Foundation
import Glibc
import Testing

/// `sluice serve` in the host's namespace.
final class SluiceServer {
  let folder: URL
  private let settings: TestbedSettings
  private let host: Namespace
  private var process: RunningCommand?
  private var earlierErrors = ""

  init(_ settings: TestbedSettings, in host: Namespace, folder: URL) {
    self.settings = settings
    self.host = host
    self.folder = folder
  }

  var configurationFile: String { folder.appending(path: "sluice.yaml").path }
  var policyFile: URL { folder.appending(path: "policies.yaml") }
  var auditFile: String { folder.appending(path: "audit.jsonl").path }
  var errors: String { earlierErrors + (process?.errors ?? "") }
  var isRunning: Bool { process?.isRunning ?? false }

  var pid: Int32 {
    get throws {
      guard let process, process.isRunning else { throw Obstacle("sluice is not running") }
      return process.pid
    }
  }

  /// The process that feeds the kernel: the last of the chain that serve started.
  var bridge: Int32 {
    get throws {
      guard let worker = Processes.descendants(of: try pid).last else { throw Obstacle("sluice has no bridge") }
      return worker
    }
  }

  /// Writes the configuration, starts, and returns when it answers.
  func start() throws {
    try writeConfiguration()
    try startAgain()
  }

  /// Starts with the configuration as it stands, by a program that replaces itself where one is named; waits for nothing.
  func launch(by words: [String] = []) throws {
    guard let executable = Machine.executable else { throw Obstacle("no executable") }
    earlierErrors = errors
    let launcher = (settings.hasOwnMounts ? ["unshare", "--mount"] : []) + settings.launcher
    process = try RunningCommand(
      launcher + words + [executable, "serve", "--config", configurationFile], in: host, folder: folder)
  }

  /// Starts with the configuration as it stands, and returns when it answers.
  func startAgain() throws {
    try launch()
    let socket = try Socket(datagramTo: "10.77.1.1", 53, from: host)
    let question = Question("localhost").octets(id: 0xFFFF)
    try eventually("sluice answers", within: 20) {
      guard isRunning else { throw Obstacle("sluice serve ended: \(errors)") }
      socket.send(question)
      return socket.receive(within: 0.02) != nil
    }
  }

  func writeConfiguration() throws {
    var text = """
      listen: \(settings.listen)
      upstreams: \(settings.upstreams)
      policies: policies.yaml
      audit: { path: audit.jsonl, allowed: \(settings.auditAllowed) }
      control: control.sock
      state: state

      """
    if !settings.zones.isEmpty {
      let shipped = ["sinkhole.zone", "special-use.zone"].map { "\(Machine.repository)/zones/\($0)" }
      text += "zones: [ \((shipped + settings.zones.keys.sorted()).joined(separator: ", ")) ]\n"
    }
    text += settings.configuration
    if let verify = settings.verify { text += "\nverify: \(verify)\n" }
    try Data(text.utf8).write(to: folder.appending(path: "sluice.yaml"))
    try Data(settings.policies.utf8).write(to: policyFile)
    for (name, zone) in settings.zones {
      try Data(zone.utf8).write(to: folder.appending(path: name))
    }
  }

  /// Runs another command of the executable with this configuration.
  func command(_ words: String...) throws -> Command.Output {
    guard let executable = Machine.executable else { throw Obstacle("no executable") }
    return try Command.run([executable] + words + ["--config", configurationFile], in: host)
  }

  func signal(_ number: Int32) {
    process?.signal(number)
  }

  /// Waits for the end of the process.
  func status(within seconds: Double = 10) throws -> Int32 {
    guard let process else { throw Obstacle("sluice was not started") }
    return try process.status(within: seconds)
  }

  func stop() {
    guard let process, process.isRunning else { return }
    process.signal(SIGCONT)
    process.signal(SIGTERM)
    _ = try? process.status(within: 10)
  }

  // MARK: - The audit log

  /// The events that stand in the log; throws when a line is no JSON object.
  func events() throws -> [[String: Any]] {
    let content = (try? Data(contentsOf: URL(filePath: auditFile))) ?? Data()
    return try content.split(separator: 10).map { line in
      guard let event = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any] else {
        throw Obstacle("no event: \(String(decoding: line, as: UTF8.self))")
      }
      return event
    }
  }

  /// The first event of a name, as soon as it stands in the log.
  func event(of destination: String, decision: String? = nil) throws -> [String: Any] {
    var found: [String: Any]?
    try eventually("an event of \(destination)") {
      found = try events().first { event in
        event["destination"] as? String == destination && (decision == nil || event["decision"] as? String == decision)
      }
      return found != nil
    }
    return found ?? [:]
  }
}
