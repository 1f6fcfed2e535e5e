import ArgumentParser
import Control
import ControlAPI
import EgressPolicy
import Foundation
import LinuxIO
import Settings

/// Where the running server is asked.
struct ControlOption: ParsableArguments {
  @Option(
    name: [.long, .short],
    help: "The configuration file, for its control socket. (default: /etc/sluice/sluice.yaml, if there is one)",
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String?
  @Option(help: "The control socket itself.", completion: .file()) var control: String?

  /// The configuration that is named, or the one that is installed.
  var configuration: String? {
    config ?? ConfigurationOption.installedIfReadable
  }

  private func path() throws -> String {
    if let control { return control }
    guard let config = configuration else { return ControlSettings.default.path }
    return try ConfigurationOption.places(config).control.path
  }

  /// As `ControlCaller.call`.
  func call<Answer: Decodable>(
    _ method: ControlRequest.Method, _ call: ControlAPI.Call, _ query: [(String, String?)] = [], as type: Answer.Type
  ) throws -> (answer: Answer, octets: [UInt8]) {
    try ControlCaller(socket: try self.path()).call(method, call, query, as: type)
  }
}

/// Calls the running server for a command.
struct ControlCaller {
  let socket: String

  /// Prints why not, and exits with 1, where the call comes to nothing.
  ///
  /// - Parameter query: without those that are nil.
  func call<Answer: Decodable>(
    _ method: ControlRequest.Method, _ call: ControlAPI.Call, _ query: [(String, String?)] = [], as type: Answer.Type
  ) throws -> (answer: Answer, octets: [UInt8]) {
    let response = try respond(method, call, query)
    guard response.status < 300 else {
      let failure = try? ControlAPI.decode(ControlAPI.Failure.self, response.body)
      for finding in failure?.findings ?? [] { StandardError.write(finding) }
      StandardError.write("sluice: \(failure?.error ?? "the server answered with status \(response.status)")")
      throw ExitCode.failure
    }
    do {
      return (try ControlAPI.decode(type, response.body), response.body)
    } catch {
      StandardError.write("sluice: the answer is not what this version expects: \(error)")
      throw ExitCode.failure
    }
  }

  private func respond(
    _ method: ControlRequest.Method, _ call: ControlAPI.Call, _ query: [(String, String?)]
  ) throws -> ControlResponse {
    var target = call.path
    let pairs = query.compactMap { key, value in value.map { "\(key)=\(Self.escaped($0))" } }
    if !pairs.isEmpty { target += "?" + pairs.joined(separator: "&") }
    do {
      return try Progress.during("waiting for sluice") {
        try ControlClient(path: socket).call(method, target)
      }
    } catch let error as SystemError {
      let hint =
        switch error.errno {
        case ENOENT, ECONNREFUSED: "no sluice is serving there; --config or --control names another place"
        case EACCES, EPERM: "this user may not; root or the group of the socket may"
        default: "\(error)"
        }
      StandardError.write("sluice: \(socket): \(hint)")
    } catch {
      StandardError.write("sluice: \(socket): \(error)")
    }
    throw ExitCode.failure
  }

  private static func escaped(_ text: String) -> String {
    var allowed = CharacterSet.alphanumerics
    allowed.insert(charactersIn: "-._~*:")
    return text.addingPercentEncoding(withAllowedCharacters: allowed) ?? text
  }
}

struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show how the running server is: policy, queries, upstreams, firewall, audit log.",
    discussion: """
      Exits with 1 when no server answers, when the firewall does not hold what was granted, or when the audit log cannot \
      be written.
      """)

  @OptionGroup var server: ControlOption
  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    let (status, octets) = try server.call(.get, .status, as: ControlAPI.Status.self)
    if json {
      StandardOutput.write(ControlAPI.line(octets))
    } else {
      for line in Self.lines(status) { StandardOutput.write(line) }
    }
    if status.bridge.degraded || status.bridge.state == "down" || status.audit.blocked { throw ExitCode.failure }
  }

  private static func lines(_ status: ControlAPI.Status) -> [String] {
    let queries = status.queries
    let upstreams = status.upstreams.map { upstream in
      let latency = upstream.latencyMs.map { String(format: "%.1f ms", $0) } ?? "not asked yet"
      return
        "\(upstream.address) \(upstream.healthy ? "healthy" : "unhealthy after \(upstream.failures) failures"), \(latency)"
        + (upstream.byTcp ? TerminalStyle.bad("; by TCP alone: answers came that were not its own") : "")
    }
    let bridge = status.bridge
    let firewall =
      bridge.state == "off"
      ? "off: no address is opened or closed"
      : "\(bridge.mode), \(bridge.table ?? ""), bridge \(bridge.state), \(counted(bridge.grants, "address")) open"
        + (bridge.degraded ? TerminalStyle.bad("; DEGRADED: the kernel does not hold what was granted") : "")
    let audit = status.audit
    let rows: [(String, String)] =
      [
        ("sluice", "\(status.version), pid \(status.pid), up \(duration(status.uptime)), since \(status.since)"),
        ("listen", status.listen.map { listen(status, $0) }.joined(separator: ", ")),
        (
          "policy",
          "\(status.policy.fingerprint), \(counted(status.policy.servers, "server")), \(counted(status.policy.names, "name")), since \(status.policy.since)"
        ),
        (
          "queries",
          "\(queries.total): \(queries.cached) cached, \(queries.resolved) resolved, \(queries.denied) denied, "
            + "\(queries.special) special, \(queries.failed) failed, \(queries.malformed) malformed"
        ),
        ("cache", "\(counted(status.cacheEntries, "answer")); \(counted(status.inFlight, "question")) in flight"),
      ] + upstreams.map { ("upstream", $0) } + [
        ("firewall", firewall)
      ] + Self.enclosure(bridge) + [
        (
          "audit",
          "\(audit.path), \(counted(audit.events, "event")), \(audit.suppressed) counted in others"
            + ", \(audit.pending) of \(audit.room) octets waiting"
            + (audit.blocked ? TerminalStyle.bad("; BLOCKED: the log cannot be written") : "")
            + (audit.rotationFault.map { TerminalStyle.bad("; NOT ROTATED: \($0)") } ?? "")
            + (audit.replaced > 0 ? "; taken away \(audit.replaced) times" : "")
        ),
        ("promises", promises(status.violations)),
      ] + Self.lost(status) + (status.permits == 0 ? [] : [("permits", "\(status.permits): see `sluice allow list`")])
    return rows.map { TerminalStyle.heading($0.padding(toLength: 10, withPad: " ", startingAt: 0)) + $1 }
  }

  private static func enclosure(_ bridge: ControlAPI.Status.Bridge) -> [(String, String)] {
    (bridge.enclosed.isEmpty ? [] : [("enclosed", bridge.enclosed.joined(separator: ", "))])
      + bridge.others.map {
        (
          "others",
          TerminalStyle.doubtful("\($0.prefixes.joined(separator: ", ")) behind \($0.interface): of no server, cut off")
        )
      } + bridge.exposed.map { ("exposed", TerminalStyle.bad($0)) }
      + (bridge.absent.isEmpty ? [] : [("absent", "\(bridge.absent.joined(separator: ", ")): behind no interface now")])
      + bridge.held.map {
        ("held", "\($0.network) (\($0.server)): open it with `sluice firewall release \($0.network)`")
      }
  }

  private static func listen(_ status: ControlAPI.Status, _ address: String) -> String {
    guard status.listenAbsent?.contains(address) == true else { return address }
    return "\(address) \(TerminalStyle.doubtful("(not there yet)"))"
  }

  private static func lost(_ status: ControlAPI.Status) -> [(String, String)] {
    let kinds = status.lost.kinds.filter { $0.count > 0 }.map { "\($0.kind): \($0.count)" }
    return (kinds.isEmpty ? [] : [("lost", TerminalStyle.bad(kinds.joined(separator: ", ")))])
      + (status.refusalLogRead
        ? []
        : [("refusals", TerminalStyle.bad("not recorded: another program reads the group of the kernel's log"))])
  }

  private static func promises(_ violations: PromiseViolations) -> String {
    let seen = violations.kinds.filter { $0.count > 0 }
    return seen.isEmpty
      ? "no violation seen"
      : TerminalStyle.bad(seen.map { "\($0.promise) \($0.kind): \($0.count)" }.joined(separator: ", "))
  }

  static func duration(_ seconds: UInt64) -> String {
    switch seconds {
    case ..<120: "\(seconds) s"
    case ..<7200: "\(seconds / 60) min"
    case ..<172_800: "\(seconds / 3600) h \(seconds % 3600 / 60) min"
    default: "\(seconds / 86_400) d \(seconds % 86_400 / 3600) h"
    }
  }
}

struct ReloadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reload", abstract: "Read the policies again, put them in force, and show what changed.",
    discussion:
      "Does what SIGHUP does. A file that is not right changes nothing: every error is printed, and the exit code is 1."
  )

  @OptionGroup var server: ControlOption
  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    let (reload, octets) = try server.call(.post, .reload, as: ControlAPI.Reload.self)
    if json { return StandardOutput.write(ControlAPI.line(octets)) }
    for change in reload.changes {
      StandardOutput.write(
        "\(change.server): \(change.kind)\(change.elsewhere ? "; networks, interface or prefixes differ" : "")")
      for (sign, patterns) in [("+", change.added), ("-", change.removed), ("~", change.altered)] {
        for pattern in patterns.prefix(Self.shown) { StandardOutput.write("  \(sign) \(pattern)") }
        if patterns.count > Self.shown { StandardOutput.write("  \(sign) … and \(patterns.count - Self.shown) more") }
      }
    }
    for gone in reload.letGo {
      StandardOutput.write(
        reload.held
          ? "\(gone.network) (\(gone.server)) stays closed although no policy governs it: "
            + "`sluice firewall release \(gone.network)` opens it"
          : "\(gone.network) (\(gone.server)) is governed by no policy now, and open")
    }
    let same = reload.changes.isEmpty ? "nothing changed" : "\(counted(reload.changes.count, "server")) changed"
    StandardOutput.write(
      "policy \(reload.policy) is in force: \(same); \(counted(reload.addressesClosed, "address")) closed, \(counted(reload.flowsCut, "connection")) cut"
    )
  }

  /// Names of a kind that are shown for a server.
  private static let shown = 50
}

struct CacheCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cache", abstract: "Show or flush the answers that the running server remembers.",
    subcommands: [List.self, Show.self, Flush.self], defaultSubcommand: List.self)

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List answers: type, code, remaining seconds, hits, addresses, chain.",
      discussion: """
        Examples:
          sluice cache list --server github-mcp
          sluice cache list --name api.github.com --json
        """)

    @OptionGroup var control: ControlOption
    @Option(help: "Only this server.") var server: String?
    @Option(help: "Only this name.") var name: String?
    @Flag(help: "Print one JSON object a line.") var json = false

    func run() throws { try CacheCommand.list(control, server, name, json) }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show what a server's cache holds for a name.")

    @OptionGroup var control: ControlOption
    @Argument(help: "The server.") var server: String
    @Argument(help: "The name.") var name: String
    @Flag(help: "Print one JSON object a line.") var json = false

    func run() throws {
      guard try CacheCommand.list(control, server, name, json) > 0 else {
        StandardError.write("sluice: nothing in the cache of \(server) for \(name)")
        throw ExitCode.failure
      }
    }
  }

  struct Flush: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Forget answers, and close what only they kept open.",
      discussion: """
        Without options everything. Connections to addresses that close are cut where `firewall.cut-flows` says so.

        Examples:
          sluice cache flush --server github-mcp
          sluice cache flush --name api.github.com
        """)

    @OptionGroup var control: ControlOption
    @Option(help: "Only this server's.") var server: String?
    @Option(help: "Only this name's.") var name: String?
    @Flag(help: "Print one JSON object.") var json = false

    func run() throws {
      let (flushed, octets) = try control.call(
        .delete, .cache, [("server", server), ("name", name)], as: ControlAPI.Flushed.self)
      StandardOutput.write(
        json
          ? ControlAPI.line(octets)
          : "\(counted(flushed.entries, "answer")) forgotten, \(counted(flushed.addressesClosed, "address")) closed, \(counted(flushed.flowsCut, "connection")) cut"
      )
    }
  }

  @discardableResult
  private static func list(_ control: ControlOption, _ server: String?, _ name: String?, _ json: Bool) throws -> Int {
    let entries = try control.call(.get, .cache, [("server", server), ("name", name)], as: ControlAPI.CacheList.self)
      .answer.entries
    if json {
      for entry in entries {
        StandardOutput.write(ControlAPI.line(ControlAPI.encode(entry)))
      }
      return entries.count
    }
    let rows = entries.map { entry in
      [
        entry.server, entry.name, entry.type, entry.rcode, "\(entry.remaining)s", "\(entry.hits)",
        entry.addresses.isEmpty ? "-" : entry.addresses.joined(separator: ", "),
        entry.chain.isEmpty ? "-" : entry.chain.joined(separator: " > "),
      ]
    }
    let heading = ["SERVER", "NAME", "TYPE", "RCODE", "TTL", "HITS", "ADDRESSES", "CHAIN"]
    for line in AlignedColumns.lines(heading, rows) { StandardOutput.write(line) }
    return entries.count
  }
}
