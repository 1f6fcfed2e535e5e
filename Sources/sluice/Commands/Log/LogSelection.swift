import ArgumentParser
import AuditLog
import AuditStore
import DNSWire
import IPNetwork

/// Whose events are meant.
struct LogServer: ParsableArguments {
  @Option(help: "Only events of this server.", completion: ServerNames.completion) var server: String?
}

/// Which events are meant. Options together mean events to which all of them apply.
struct LogSelection: ParsableArguments {
  @OptionGroup var about: LogServer
  @Option(help: "Only this decision: block, allow, observe or error.", completion: .list(LogSelection.decisions))
  var decision: String?
  @Option(
    help: """
      Only destinations that match, names or addresses, and answers that opened such an address; * stands for anything.
      """)
  var name: String?
  @Option(help: "Only what this client did: an address, a network, or * for lines of several clients.")
  var client: String?
  @Option(
    help: "Only this code, such as not-listed or raw-address; more than one if it is given again.",
    completion: .list(LogSelection.codes))
  var code: [String] = []
  @Option(help: "Only questions of this type, such as A or HTTPS.") var type: String?
  @Option(help: "Only what this entry of the policy decided: FILE:LINE, or FILE for all of its entries.")
  var rule: String?

  private static let decisions = AuditDecision.allCases.map(\.rawValue)
  private static let codes = AuditCode.registered.map(\.token.description)

  func validate() throws {
    if let decision, !Self.decisions.contains(decision) {
      throw ValidationError("--decision is '\(decision)'; expected block, allow, observe or error")
    }
    if let client, Self.client(client) == nil {
      throw ValidationError("--client is '\(client)'; expected an address, a network such as 10.77.1.0/24, or *")
    }
    for code in code where AuditCode(token: Array(code.utf8)[...]) == nil {
      throw ValidationError("--code is '\(code)'; expected one of \(Self.codes.joined(separator: ", "))")
    }
    if let type, RRType(mnemonic: type.uppercased()) == nil {
      throw ValidationError("--type is '\(type)'; expected a type of record such as A, HTTPS or TYPE65")
    }
  }

  var server: String? { about.server }

  /// The options that are there.
  var given: [String] {
    let all = [
      ("--server", server != nil), ("--decision", decision != nil), ("--name", name != nil),
      ("--client", client != nil), ("--code", !code.isEmpty), ("--type", type != nil), ("--rule", rule != nil),
    ]
    return all.filter(\.1).map(\.0)
  }

  var filter: LogFilter {
    var filter = LogFilter(server: server, decision: decision, name: name)
    filter.client = client.flatMap(Self.client)
    filter.codes = code.compactMap { AuditCode(token: Array($0.utf8)[...]) }
    filter.type = type.flatMap { RRType(mnemonic: $0.uppercased()) }?.description
    filter.rule = rule
    return filter
  }

  private static func client(_ text: String) -> LogFilter.Client? {
    text == "*" ? .several : IPPrefix(text).map(LogFilter.Client.of)
  }
}
