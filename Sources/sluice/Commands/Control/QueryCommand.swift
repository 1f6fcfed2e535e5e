import ArgumentParser
import Control
import ControlAPI
import Foundation
import LDNS
import LinuxIO

struct QueryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "query", abstract: "Ask the running server as a server or client would, and say what became of it.",
    discussion: """
      The question goes the way of every query: an allowed name is forwarded and its addresses open, a denied one is an \
      event. Both are marked in the audit log, with the transport `control` and who asked. `sluice explain` says what \
      would be answered without asking.

      Examples:
        sluice query --server github-mcp api.github.com
        sluice query --client 10.77.1.2 evil.example.com AAAA
        sluice query --server github-mcp api.github.com --short
      """)

  @OptionGroup var control: ControlOption
  @Option(help: "Ask as this server, from an address of its network.", completion: ServerNames.completion)
  var server: String?
  @Option(help: "Ask as the client with this address.") var client: String?
  @Argument(help: "The name to ask for.") var name: String
  @Argument(help: "The record type (a mnemonic, or TYPE123).") var type: String = "A"
  @Flag(help: "Print the data of the answer only.") var short = false
  @Flag(help: "Print one JSON object.") var json = false

  func validate() throws {
    if (server == nil) == (client == nil) { throw ValidationError("say as whom to ask: --server or --client") }
    if short, json { throw ValidationError("--short and --json exclude each other") }
  }

  func run() throws {
    let (query, octets) = try control.call(
      .post, .query, [("server", server), ("client", client), ("name", name), ("type", type)],
      as: ControlAPI.Query.self)
    if json { return StandardOutput.write(ControlAPI.line(octets)) }
    let message = query.message.flatMap { Data(base64Encoded: $0) }.flatMap {
      MessageText([UInt8]($0), received: WallClock.seconds(), milliseconds: UInt32(query.milliseconds))
    }
    if short {
      for data in message?.answerData ?? [] { StandardOutput.write(data) }
      return
    }
    StandardOutput.write(message?.text ?? ";; no answer: policy drops what unknown clients ask\n")
    for line in Self.lines(query) { StandardOutput.write(";; \(line)") }
  }

  private static func lines(_ query: ControlAPI.Query) -> [String] {
    let asked = query.server.map { "\($0), from \(query.client)" } ?? "\(query.client), which is no server's client"
    let verdict = query.rule.map { "\(query.verdict), by \($0)" } ?? query.verdict
    let cache = query.cache.map { "\($0.rcode), \($0.remaining) s left" } ?? "nothing"
    let open = query.grants.map { grant in
      "\(grant.address) \(grant.port.map { "\($0)/" } ?? "")\(grant.protocol) for \((grant.remainingMs + 999) / 1000) s"
    }
    return [
      "AS: \(asked)", "VERDICT: \(verdict)", "FROM: \(query.from)", "CACHE: \(cache)",
      "OPEN: \(open.isEmpty ? "nothing" : open.joined(separator: ", "))",
      "TIME: \(String(format: "%.1f", query.milliseconds)) ms",
    ]
  }
}
