import BridgeProcesses
import FirewallBridge
import Foundation
import LinuxIO
import Testing

@testable import FirewallWorker

@Suite("The table of processes")
struct ProcessTableTests {
  private static let repository = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL

  private static func text(_ path: String) throws -> String {
    try String(contentsOf: repository.appending(path: path), encoding: .utf8)
  }

  /// A cell of the first table of the document.
  private static func cell(_ row: String, _ process: String) throws -> String {
    let rows = try text("Documentation/maintainers/processes.md").split(separator: "\n").filter { $0.hasPrefix("|") }
      .map {
        $0.split(separator: "|", omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) }
      }
    let column = try #require(rows.first?.firstIndex { $0.trimmingCharacters(in: ["`"]) == process })
    return try #require(rows.first { $0[1].trimmingCharacters(in: ["`"]) == row })[column]
  }

  /// As the table has it: `50 ms`, `2 s`.
  private static func text(_ milliseconds: UInt64) -> String {
    milliseconds < 1_000 ? "\(milliseconds) ms" : "\(milliseconds / 1_000) s"
  }

  private static func check(_ row: String, _ process: String, has parts: [String]) throws {
    let cell = try cell(row, process)
    for part in parts { #expect(cell.contains(part), "\(row) of \(process)") }
  }

  @Test("names are those by which the processes are started")
  func names() throws {
    try Self.check("as", "supervisor", has: ["\(BridgeStart.Role.supervisor.rawValue)`"])
    try Self.check("as", "worker", has: ["\(BridgeStart.Role.worker.rawValue)`"])
    try Self.check("as", "reader", has: ["\(BridgeStart.Role.envelope.rawValue)`"])
    let roles = [BridgeStart.Role.rules, .earlierRules].map { "sluice bridge \($0.rawValue)`" }
    try Self.check("as", "nft", has: [NftProgram.path] + roles)
  }

  @Test("a worker is given up and started again as the table says")
  func worker() throws {
    let limits = Supervisor.Limits()
    try Self.check(
      "given up when", "worker", has: [limits.standstill, limits.tolerance, limits.longestTolerance].map(Self.text))
    try Self.check("backoff", "worker", has: [limits.firstDelay, limits.longestDelay, limits.healthy].map(Self.text))
  }

  @Test("what does one thing has the time that the table gives it")
  func patience() throws {
    try Self.check("given up when", "reader", has: [Self.text(EnvelopeReading.patience)])
    try Self.check("given up when", "nft", has: [Self.text(NftProgram.patienceMilliseconds(""))])
  }

  @Test("serve takes the bridge for silent, and then for gone, when the table says")
  func silence() throws {
    var silence = BridgeSilence()
    let start = MonotonicTime(nanoseconds: 0)
    _ = silence.heard(start)
    let probe = try #require(silence.nextWake(batchDeadline: nil))
    #expect(silence.due(probe, batchDeadline: nil) == .probe)
    let silent = try #require(silence.nextWake(batchDeadline: nil))
    #expect(silence.due(silent, batchDeadline: nil) == .silent)
    let gone = try #require(silence.nextWake(batchDeadline: nil))
    func milliseconds(_ time: MonotonicTime) -> UInt64 { (time.nanoseconds - probe.nanoseconds) / 1_000_000 }
    try Self.check("refused meanwhile", "worker", has: ["after \(Self.text(milliseconds(silent))) of silence"])
    try Self.check("given up when", "supervisor", has: ["after \(Self.text(milliseconds(gone))) of silence"])
  }

  @Test("serve is started again as its unit says")
  func unit() throws {
    let unit = try Self.text("Examples/systemd/sluice.service")
    for line in ["Restart=on-failure", "RestartSec=200ms", "WatchdogSec=30s", "StartLimitIntervalSec=0"] {
      #expect(unit.contains("\n\(line)\n"))
    }
    try Self.check("restart", "serve", has: ["on failure"])
    try Self.check("backoff", "serve", has: ["200 ms", "never gives up"])
    try Self.check("given up when", "serve", has: ["30 s"])
  }
}
