import ArgumentParser
import Control
import ControlAPI
import LinuxIO

struct CacheCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cache", abstract: "Show or flush the answers that the running server remembers.",
    subcommands: [List.self, Show.self, Flush.self], defaultSubcommand: List.self)

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "List answers: type, code, remaining seconds, hits, addresses, chain.",
      discussion: """
        Examples:
          sluice cache list --server github-mcp
          sluice cache list --name api.github.com --json
        """)

    @OptionGroup var control: ControlOption
    @Option(help: "Only this server.", completion: ServerNames.completion) var server: String?
    @Option(help: "Only this name.") var name: String?
    @Flag(help: "Print one JSON object a line.") var json = false

    func validate() throws { try NameArgument.check(name, "--name") }

    func run() throws { try CacheCommand.list(control, server, name, json) }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Show what a server's cache holds for a name.")

    @OptionGroup var control: ControlOption
    @Argument(help: "The server.", completion: ServerNames.completion) var server: String
    @Argument(help: "The name.") var name: String
    @Flag(help: "Print one JSON object a line.") var json = false

    func validate() throws { try NameArgument.check(name) }

    func run() throws {
      guard try CacheCommand.list(control, server, name, json) > 0 else {
        StandardError.write("sluice: nothing in the cache of \(server) for \(name)")
        throw ExitCode.failure
      }
    }
  }

  struct Flush: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "flush", abstract: "Forget answers, and close what only they kept open.",
      discussion: """
        Of one server, or of every one with --all; where neither is given it asks, or ends with 64 where there is no \
        terminal. Connections to addresses that close are cut where `firewall.cut-flows` says so.

        Examples:
          sluice cache flush --server github-mcp
          sluice cache flush --all --name api.github.com
        """)

    @OptionGroup var control: ControlOption
    @OptionGroup var scope: ServerScope
    @Option(help: "Only this name's.") var name: String?
    @Flag(help: "Print one JSON object.") var json = false

    func validate() throws {
      try NameArgument.check(name, "--name")
      try scope.refuseUnattended()
    }

    func run() throws {
      try scope.confirm(name.map { "Forget the answers for \($0)" } ?? "Forget all answers")
      let (flushed, octets) = try control.call(
        .delete, .cache, [("server", scope.server), ("name", name)], as: ControlAPI.Flushed.self)
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
        entry.server, entry.name, entry.type, entry.rcode, "\((entry.remainingMs + 999) / 1000)s", "\(entry.hits)",
        entry.addresses.isEmpty ? "-" : entry.addresses.joined(separator: ", "),
        entry.chain.isEmpty ? "-" : entry.chain.joined(separator: " > "),
      ]
    }
    let heading = ["SERVER", "NAME", "TYPE", "RCODE", "TTL", "HITS", "ADDRESSES", "CHAIN"]
    for line in AlignedColumns.lines(heading, rows) { StandardOutput.write(line) }
    return entries.count
  }
}
