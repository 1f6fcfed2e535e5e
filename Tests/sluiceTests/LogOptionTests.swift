import ArgumentParser
import AuditLog
import AuditStore
import Foundation
import IPNetwork
import Testing

@testable import sluice

@Suite("Options of the log's commands")
struct LogOptionTests {
  private func parsed<Command>(_ words: String...) throws -> Command {
    try #require(try Sluice.parseAsRoot(words) as? Command)
  }

  private func refusal(_ words: String...) -> String? {
    do {
      _ = try Sluice.parseAsRoot(words)
      return nil
    } catch {
      return Sluice.exitCode(for: error) == .validationFailure ? Sluice.message(for: error) : nil
    }
  }

  @Test("filters mean the same for events and for counts, before the subcommand's name and behind it")
  func filters() throws {
    let words = [
      "--server", "agent", "--name", "*.example.com", "--client", "10.77.1.0/24", "--code", "granted", "--code",
      "enforcement_degraded", "--type", "https", "--rule", "agent.yaml:12",
    ]
    func check(_ filter: LogFilter) throws {
      #expect(filter.server == "agent" && filter.name == "*.example.com" && filter.rule == "agent.yaml:12")
      #expect(filter.client == .of(try #require(IPPrefix("10.77.1.0/24"))))
      #expect(filter.codes == [.granted, .enforcementDegraded] && filter.type == "HTTPS")
    }
    let log = try #require(try Sluice.parseAsRoot(["log"] + words) as? LogCommand)
    try check(log.selection.filter)
    for order in [["log", "top"] + words, ["log"] + words + ["top"]] {
      let top = try #require(try Sluice.parseAsRoot(order + ["--by", "client", "--limit", "3"]) as? LogTopCommand)
      try check(top.selection.filter)
      #expect(top.by == .client && top.output.limit == 3)
    }
  }

  @Test("one client is its network of one address, and a star is lines of several")
  func clients() throws {
    let one: LogCommand = try parsed("log", "--client", "2001:DB8::1")
    #expect(one.selection.filter.client == .of(try #require(IPPrefix("2001:db8::1"))))
    let several: LogCommand = try parsed("log", "--client", "*")
    #expect(several.selection.filter.client == .several)
  }

  @Test("a filter that can match nothing is bad usage, and says what was expected")
  func badValues() {
    #expect(refusal("log", "--client", "web")?.contains("expected an address") == true)
    #expect(refusal("log", "--client", "10.77.1.1/24")?.contains("expected an address") == true)
    #expect(refusal("log", "--code", "not-listet")?.contains("not-listed") == true)
    #expect(refusal("log", "--type", "B")?.contains("expected a type") == true)
    #expect(refusal("log", "--decision", "deny")?.contains("block") == true)
    #expect(refusal("log", "--limit", "-1") != nil)
    #expect(refusal("log", "read") != nil)
  }

  @Test("what a subcommand does not use is bad usage of it, wherever it stands")
  func unused() {
    #expect(refusal("log", "top", "--follow") == "Unknown option '--follow'")
    #expect(refusal("log", "--count", "top") == "Unknown option '--count'")
    #expect(refusal("log", "suggest", "--server", "s", "--json") == "Unknown option '--json'")
    #expect(refusal("log", "policy", "--client", "10.77.1.2") == "Unknown option '--client'")
    #expect(refusal("log", "runs", "--server", "s") == "Unknown option '--server'")
    #expect(refusal("log", "runs", "--at", "02:00", "--json")?.contains("--at goes with none") == true)
    #expect(refusal("log", "runs", "--at", "soon")?.contains("yesterday 14:00") == true)
    #expect(refusal("log", "runs", "--at", "2999-01-01 02:00")?.contains("a time to come") == true)
    #expect(refusal("log", "runs", "--at", "now") == nil)
    #expect(refusal("log", "suggest")?.contains("--server") == true)
    #expect(refusal("log", "top", "--limit", "0") != nil)
  }

  @Test("any number of events may be asked for")
  func lookback() {
    #expect(LogCommand.lookback(for: 0) == 0 && LogCommand.lookback(for: 3) == 65_536)
    #expect(LogCommand.lookback(for: 100_000) == 400_000 && LogCommand.lookback(for: .max / 4) == .max / 4 * 4)
    #expect(LogCommand.lookback(for: .max / 4 + 1) == .max && LogCommand.lookback(for: .max) == .max)
  }

  @Test("the filters stand in the help and in the completions of the command itself")
  func help() {
    let help = Sluice.helpMessage(for: LogCommand.self)
    let script = Sluice.completionScript(for: .bash)
    let function = script.split(separator: "_sluice_log() {").last?.prefix(3000) ?? ""
    for option in ["--client", "--code", "--type", "--rule", "--name", "--since", "--follow", "--utc"] {
      #expect(help.contains(option), "\(option)")
      #expect(function.contains(option), "\(option)")
    }
    for command in ["top", "suggest", "policy", "runs"] { #expect(help.contains("  \(command) ")) }
  }

  @Test("a shell offers the servers of the configuration that the line names")
  func serverNames() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-names-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let policies = """
      server: github-mcp
      networks: [ 10.77.1.0/24 ]
      egress: [ api.github.com ]
      ---
      server: agent
      networks: [ 10.77.2.0/24 ]
      egress: []
      """
    try Data(policies.utf8).write(to: folder.appending(path: "p.yaml"))
    let settings = "listen: [ \"127.0.0.1:53\" ]\nupstreams: [ \"udp://127.0.0.54\" ]\npolicies: p.yaml\n"
    let path = folder.appending(path: "s.yaml").path
    try Data(settings.utf8).write(to: URL(filePath: path))
    #expect(ServerNames.all(["sluice", "log", "--config", path, "--server", ""]) == ["agent", "github-mcp"])
    #expect(ServerNames.all(["sluice", "log", "--config=\(path)", "--server", ""]) == ["agent", "github-mcp"])
    #expect(ServerNames.all(["sluice", "log", "-c", "/nowhere", "--control", "/nowhere/at/all", "--server"]).isEmpty)
  }
}
