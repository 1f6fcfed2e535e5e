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
      would be answered without asking. Exits with 1 where the answer is no success (NXDOMAIN, SERVFAIL, …), or there is none.

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
    try NameArgument.check(name)
  }

  func run() throws {
    let (query, octets) = try control.call(
      .post, .query, [("server", server), ("client", client), ("name", name), ("type", type)],
      as: ControlAPI.Query.self)
    try show(query, octets)
    if query.rcode != "NOERROR" { throw ExitCode.failure }
  }

  private func show(_ query: ControlAPI.Query, _ octets: [UInt8]) throws {
    if json { return StandardOutput.write(ControlAPI.line(octets)) }
    let message = query.message.flatMap { Data(base64Encoded: $0) }.flatMap {
      MessageText([UInt8]($0), received: WallClock.seconds(), milliseconds: UInt32(query.milliseconds))
    }
    if short {
      for data in message?.answerData ?? [] { StandardOutput.write(data) }
      return
    }
    // The message has no number of a client's, and its extended error is told in words.
    let text = message?.text.replacing(", id: 0", with: "").split(separator: "\n", omittingEmptySubsequences: false)
      .filter { query.extendedError == nil || !$0.hasPrefix("; EDE:") }.joined(separator: "\n")
    let without =
      query.message == nil ? "no answer: policy drops what unknown clients ask" : "the answer cannot be read"
    StandardOutput.write(text ?? ";; \(without)\n")
    for line in Self.lines(query) { StandardOutput.write(";; \(line)") }
  }

  private static func lines(_ query: ControlAPI.Query) -> [String] {
    let asked = query.server.map { "\($0), from \(query.client)" } ?? "\(query.client), which is no server's client"
    let origin = (query.list.map { " (list \($0))" } ?? "") + (query.layer.map { " (layer \($0))" } ?? "")
    let verdict = query.rule.map { "\(query.verdict), by \($0): \(query.pattern ?? "")\(origin)" } ?? query.verdict
    let error = query.extendedError.map { ", \(ExtendedErrorName.text($0.code)): \($0.text)" } ?? ""
    let cache = query.cache.map { "\($0.rcode), \(ExplanationText.seconds($0.remainingMs)) left" } ?? "nothing"
    let open = query.grants.map { grant in
      "\(grant.address) \(grant.portText) for \(ExplanationText.seconds(grant.remainingMs))"
    }
    return [
      "AS: \(asked)", "VERDICT: \(verdict)", "RESULT: \(query.rcode ?? "none")\(error)", "FROM: \(query.from)",
      "CACHE: \(cache)",
      "OPEN: \(open.isEmpty ? "nothing" : open.joined(separator: ", "))",
      "TIME: \(String(format: "%.1f", query.milliseconds)) ms",
    ]
  }
}
