import ArgumentParser
import AuditLog
import Control
import ControlAPI
import DNSWire
import EgressPolicy
import FirewallBridge
import Foundation
import Glibc
import IPNetwork
import LinuxIO
import Serving
import Settings

struct GrantsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "grants", abstract: "Show which addresses are open for which server, or close them.",
    subcommands: [GrantsListCommand.self, GrantsRevokeCommand.self], defaultSubcommand: GrantsListCommand.self)
}

struct GrantsRevokeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke", abstract: "Close addresses now; answers that promised them are forgotten.",
    discussion: """
      A name that policy allows is opened again when it is asked for again; what must stay closed has to leave the policy. \
      Connections are cut where `firewall.cut-flows` says so.

      Examples:
        sluice grants revoke --server github-mcp --name api.github.com
        sluice grants revoke --address 192.0.2.7
      """)

  @OptionGroup var control: ControlOption
  @Option(help: "Only this server's.") var server: String?
  @Option(help: "What is open for this name.") var name: String?
  @Option(help: "This address.") var address: String?
  @Flag(help: "Print one JSON object.") var json = false

  func validate() throws {
    if server == nil, name == nil, address == nil {
      throw ValidationError("say what to close: --server, --name or --address")
    }
  }

  func run() throws {
    let (closed, octets) = try control.call(
      .delete, .grants, [("server", server), ("name", name), ("address", address)], as: ControlAPI.Flushed.self)
    StandardOutput.write(
      json
        ? ControlAPI.line(octets)
        : "\(counted(closed.addressesClosed, "address")) closed that \(counted(closed.entries, "answer")) held, "
          + "\(counted(closed.flowsCut, "connection")) cut")
  }
}

struct GrantsListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Show which addresses are open for which server, and for which name.",
    discussion: """
      As root it reads the kernel's own sets, of which the configuration tells: it shows what is open and not what should be, works without a \
      running server, and BYTES and PACKETS count what the server sent to the address since it was opened; names come from \
      the journal beside the audit log. Otherwise it asks the running server what it granted.

      --kernel compares the two, prints every difference, and exits with 1 if there is one.

      Examples:
        sluice grants --server github-mcp
        sluice grants --config /srv/sluice.yaml --json
        sluice grants --kernel
      """)

  @OptionGroup var control: ControlOption
  @Option(help: "Only this server.") var server: String?
  @Flag(help: "Compare what was granted with the kernel's sets.") var kernel = false
  @Flag(help: "Print one JSON object a line.") var json = false

  func validate() throws {
    if kernel, control.configuration == nil {
      throw ValidationError("--kernel needs --config: it says which table, and whose sets")
    }
  }

  func run() throws {
    guard kernel || control.control == nil || control.config != nil, let config = control.configuration else {
      return show(try granted())
    }
    let settings = try ConfigurationOption.load(config, quiet: true)
    guard settings.firewall.mode != .off else {
      StandardError.write("sluice: firewall.mode is off: no address is opened or closed")
      throw ExitCode.failure
    }
    if let server, !settings.policies.contains(where: { $0.name.text == server }) {
      StandardError.write("sluice: there is no server \(server) in \(config)")
      throw ExitCode.failure
    }
    if kernel { return try compare(settings) }
    do throws(SystemError) {
      show(try OpenGrant.all(settings, server: server))
    } catch {
      guard error.errno != EPERM else { return show(try granted()) }
      StandardError.write("sluice: the kernel's sets cannot be read: \(error)")
      throw ExitCode.failure
    }
  }

  private func show(_ rows: [OpenGrant]) {
    if json {
      for row in rows { StandardOutput.write(row.json) }
    } else {
      for line in AlignedColumns.lines(OpenGrant.heading, rows.map(\.columns)) { StandardOutput.write(line) }
    }
  }
}
/// An element of the kernel, and the names that it was opened for.
struct OpenGrant {
  static let heading = ["SERVER", "ADDRESS", "PORT", "NAME", "OPENED", "REMAINING", "BYTES", "PACKETS"]

  var server: String
  var address: IPAddress
  var transport: UInt8
  var port: UInt16
  var names: [String]
  /// Seconds since 1970; nil where no journal tells.
  var opened: UInt64?
  var remainingMilliseconds: UInt64?
  var octets: UInt64?
  var packets: UInt64?

  static func all(_ settings: Settings, server: String?) throws(SystemError) -> [OpenGrant] {
    let plan = FirewallPlan(settings, settings.policies)
    let kernel = try KernelSets()
    let sets = try kernel.sets(family: plan.family, table: plan.table)
    let path = settings.audit.path + ".grants"
    var status = stat()
    // Whoever serve ran as: names are only shown.
    let owner = unsafe lstat(path, &status) == 0 ? status.st_uid : nil
    let journal = Dictionary(grouping: GrantJournal.read(path, owner: owner), by: \.server)
    var rows: [OpenGrant] = []
    for owner in plan.servers where server == nil || owner.name == server {
      let entries = Dictionary(grouping: journal[owner.name] ?? [], by: \.address)
      for family in plan.addressFamilies {
        for kind in [SetName.Kind.ports, .anyPort] {
          let name = SetName(server: owner.name, family: family, kind: kind).text
          guard let set = sets[name] else { continue }
          let plain = SetShape(family: family, kind: .anyPort)
          let shape = set.fault(as: plain) == nil ? plain : SetShape(family: family, kind: kind)
          let found = try kernel.elements(
            KernelSet(family: plan.family, table: plan.table, name: name), shape: shape)
          rows += found.map { OpenGrant(owner.name, $0, entries[$0.address] ?? []) }
        }
      }
    }
    return rows.sorted {
      ($0.server, $0.names.first ?? "", $0.address, $0.port) < ($1.server, $1.names.first ?? "", $1.address, $1.port)
    }
  }

  private init(_ server: String, _ found: KernelSets.Found, _ entries: [JournalEntry]) {
    self.server = server
    address = found.address
    transport = found.transport
    port = found.port
    let own = entries.filter {
      found.transport == 0 || ($0.transport, $0.port) == (found.transport, found.port)
    }
    names = Set(own.map(\.name.description)).sorted()
    opened = own.map(\.opened).min()
    remainingMilliseconds = found.remainingMilliseconds
    octets = found.octets
    packets = found.packets
  }

  private var protocolName: String { TransportName.text(transport) }

  private var openedText: String? {
    opened.map { ISO8601DateFormatter().string(from: Date(timeIntervalSince1970: Double($0))) }
  }

  var columns: [String] {
    [
      server, address.description, transport == 0 ? "any" : "\(port)/\(protocolName)",
      names.isEmpty ? "-" : names.joined(separator: ", "), openedText ?? "-",
      remainingMilliseconds.map { "\(($0 + 999) / 1_000)s" } ?? "for ever", octets.map { "\($0)" } ?? "-",
      packets.map { "\($0)" } ?? "-",
    ]
  }

  var json: String {
    func number(_ value: UInt64?) -> String { value.map { "\($0)" } ?? "null" }
    let listed = names.map(JSONText.quoted).joined(separator: ",")
    return "{\"server\":\(JSONText.quoted(server)),\"address\":\"\(address)\",\"protocol\":\"\(protocolName)\""
      + ",\"port\":\(transport == 0 ? "null" : "\(port)"),\"names\":[\(listed)]"
      + ",\"opened\":\(openedText.map(JSONText.quoted) ?? "null")"
      + ",\"remaining_ms\":\(number(remainingMilliseconds)),\"bytes\":\(number(octets))"
      + ",\"packets\":\(number(packets))}"
  }
}
