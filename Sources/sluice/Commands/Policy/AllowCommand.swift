import ArgumentParser
import Control
import ControlAPI
import EgressPolicy
import Foundation
import LinuxIO
import Settings

struct AllowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "allow", abstract: "Allow a server one more name for a time; show or withdraw what is so allowed.",
    subcommands: [Give.self, List.self, Withdraw.self], defaultSubcommand: Give.self)

  struct Give: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "give", abstract: "Allow a server a name for a time.",
      discussion: """
        The name is allowed at once, beside what the server's policy says. When the time is over it is denied again, its \
        addresses close and connections are cut. A permit does not outlive the running serve; what it opened closes in the \
        kernel by the same time, whatever becomes of serve. Who gave it and why is in the audit log. What is needed for longer than `permits: max` of the configuration (24h) belongs into the policy, with `until:`.

        Examples:
          sluice allow --server github-mcp --name status.example.com --for 30m --reason 'incident 4711'
          sluice allow --server db-mcp --name db.example.com --for 1h30m --ports 5432/tcp --reason 'migration'
        """)

    @OptionGroup var control: ControlOption
    @Option(help: "The server.", completion: ServerNames.completion) var server: String
    @Option(help: "A name, or a pattern such as *.example.com, as behind `host:` in a policy.") var name: String
    @Option(
      name: .customLong("for"),
      help: ArgumentHelp("For how long: 30m, 2h, 1h30m, 1d; `permits: max` at most.", valueName: "time"))
    var duration: String
    @Option(help: "Why: for those who read the audit log.") var reason: String
    @Option(help: "Ports to open, such as 443/tcp,22/tcp, or any.") var ports: String?
    @Option(help: "Record types to answer, such as A,AAAA,HTTPS.") var types: String?
    @Flag(help: "Print one JSON object.") var json = false
    @OptionGroup var times: TimeOption

    func validate() throws {
      if let fault = Self.fault(ofDuration: duration) { throw ValidationError("--for is '\(duration)'\(fault)") }
      if reason.allSatisfy(\.isWhitespace) { throw ValidationError("--reason is empty; say why the name is allowed") }
    }

    /// What is wrong with a time, and what was expected; nil where nothing is. `permits: max` is the server's to know.
    private static func fault(ofDuration text: String) -> String? {
      if text.allSatisfy({ $0.isASCII && $0.isNumber }), !text.isEmpty {
        return ", without a unit; expected \(text)s, \(text)m, \(text)h or \(text)d"
      }
      guard let seconds = Quantity.seconds(text) else {
        return "; expected whole seconds as numbers with s, m, h or d, such as 90s, 30m, 1h30m, 1d"
      }
      if seconds == 0 { return ", which is no time; expected one such as 30m" }
      guard seconds > mostSeconds else { return nil }
      return "; expected 7d at most, whatever `permits: max` says (24h without it): what is needed for longer belongs "
        + "into the policy, with `until:`"
    }

    /// What `permits: max` may be at most.
    private static let mostSeconds: UInt64 = 7 * 86_400

    func run() throws {
      let (permit, octets) = try control.call(
        .post, .permits,
        [
          ("server", server), ("name", name), ("seconds", Quantity.seconds(duration).map { "\($0)" }),
          ("justification", reason), ("ports", ports), ("types", types),
        ], as: ControlAPI.Permit.self)
      for warning in permit.warnings ?? [] { StandardError.write("sluice: warning: \(warning)") }
      StandardOutput.write(
        json
          ? ControlAPI.line(octets)
          : "permit \(permit.id): \(permit.server) may reach \(permit.name) on \(permit.ports.joined(separator: ", ")) "
            + "until \(times.text(permit.until))")
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Show what is allowed for a time, by whom, and why.")

    @OptionGroup var control: ControlOption
    @Option(help: "Only this server.", completion: ServerNames.completion) var server: String?
    @Flag(help: "Print one JSON object a line.") var json = false

    func run() throws {
      let permits = try control.call(.get, .permits, [("server", server)], as: ControlAPI.PermitList.self).answer
        .permits
      if json {
        for permit in permits { StandardOutput.write(ControlAPI.line(ControlAPI.encode(permit))) }
        return
      }
      let rows = permits.map { permit in
        [
          "\(permit.id)", permit.server, permit.name, permit.ports.joined(separator: ", "),
          permit.types.joined(separator: ", "), "\((permit.remainingMs + 999) / 1000)s", "\(permit.uid)",
          permit.justification,
        ]
      }
      let heading = ["ID", "SERVER", "NAME", "PORTS", "TYPES", "REMAINING", "BY UID", "REASON"]
      for line in AlignedColumns.lines(heading, rows) { StandardOutput.write(line) }
    }
  }

  struct Withdraw: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "withdraw", abstract: "End permits before their time; what only they kept open closes.",
      discussion: """
        Examples:
          sluice allow withdraw 3
          sluice allow withdraw --server github-mcp
        """)

    @OptionGroup var control: ControlOption
    @Argument(help: "The permit's number.") var id: UInt64?
    @Option(help: "All of this server's.", completion: ServerNames.completion) var server: String?
    @Flag(help: "Print one JSON object.") var json = false

    func validate() throws {
      if id == nil, server == nil { throw ValidationError("say what to withdraw: a permit's number, or --server") }
    }

    func run() throws {
      let (withdrawn, octets) = try control.call(
        .delete, .permits, [("id", id.map { "\($0)" }), ("server", server)], as: ControlAPI.Withdrawn.self)
      StandardOutput.write(
        json
          ? ControlAPI.line(octets)
          : "\(counted(withdrawn.permits, "permit")) ended, \(counted(withdrawn.addressesClosed, "address")) closed, "
            + "\(counted(withdrawn.flowsCut, "connection")) cut")
    }
  }
}
