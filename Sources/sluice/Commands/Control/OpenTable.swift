import Control
import ControlAPI
import EgressPolicy
import FirewallModel
import IPNetwork
import LinuxIO
import NFTables
import Serving
import Settings

/// Where what is open stands, and for whom: as the files say it or, while they have an error, as the running server does.
struct OpenTable {
  let mode: FirewallSettings.Mode
  /// Without its servers.
  let plan: FirewallPlan
  let servers: [String]
  /// The path of the names' journal.
  let journal: String
  /// What the running server has open; none where none answers.
  let granted: [ControlAPI.Grant]
  /// What is open without a name.
  let prefixes: [ControlAPI.OpenPrefix]

  init(_ settings: Settings) throws(SystemError) {
    mode = settings.firewall.mode
    plan = FirewallPlan(settings, [])
    servers = settings.policies.map(\.name.text)
    journal = GrantJournal.path(settings.audit)
    if let running = Self.running(settings.control) {
      (granted, prefixes) = (running.grants, running.prefixes)
    } else {
      (granted, prefixes) = ([], try Self.installed(settings))
    }
  }

  /// What the running server says.
  init(_ control: ControlOption, _ audit: AuditSettings) throws {
    let status = try control.call(.get, .status, as: ControlAPI.Status.self).answer
    let words = (status.bridge.table ?? "").split(separator: " ").map(String.init)
    mode = FirewallSettings.Mode(rawValue: status.bridge.mode) ?? .off
    plan = FirewallPlan(
      mode: mode == .sets ? .sets : .managed, family: Self.family(words.first), table: words.last ?? "", servers: [])
    servers = try control.call(.get, .servers, as: ControlAPI.ServerList.self).answer.servers.map(\.server)
    journal = GrantJournal.path(audit)
    let running = try control.call(.get, .grants, as: ControlAPI.GrantList.self).answer
    (granted, prefixes) = (running.grants, running.prefixes)
  }

  private static func family(_ word: String?) -> FirewallPlan.Family {
    [.ip, .ip6].first { $0.name == word } ?? .inet
  }

  /// What is open by the policy in force; nil where no server answers.
  private static func running(_ control: ControlSettings) -> ControlAPI.GrantList? {
    do {
      let response = try ControlClient(path: control.path).call(.get, ControlAPI.Call.grants.path)
      return try ControlAPI.decode(ControlAPI.GrantList.self, response.body)
    } catch {
      // None runs there, or it has no list to give, or is of another version: the kernel's chains tell what of the files is in force.
      return nil
    }
  }

  /// Prefixes of the files whose server has its chain in the kernel.
  private static func installed(_ settings: Settings) throws(SystemError) -> [ControlAPI.OpenPrefix] {
    let policies = settings.policies.inForceNow().filter { !$0.prefixes.isEmpty }
    guard settings.firewall.mode == .managed, !policies.isEmpty else { return [] }
    let plan = FirewallPlan(settings, [])
    let chains = try KernelSets().chains(family: plan.family, table: plan.table)
    return policies.filter { chains.contains($0.name.text) }.flatMap(\.openPrefixes)
  }
}

extension OpenTable {
  /// The prefixes of one server, or of all, with what the kernel counted.
  func countedPrefixes(of server: String?) throws(SystemError) -> [ControlAPI.OpenPrefix] {
    let shown = prefixes.filter { server == nil || $0.server == server }
    guard !shown.isEmpty else { return [] }
    let counters = try KernelSets().counters(family: plan.family, table: plan.table)
    // Of several entries with one prefix the kernel does not say by which one a packet went: the first has the count.
    var told: Set<String> = []
    return shown.map { shown in
      var counted = shown
      guard told.insert("\(shown.server) \(shown.prefix)").inserted else { return counted }
      let counts = IPPrefix(shown.prefix).flatMap { counters[Ruleset.counter(of: $0, server: shown.server)] }
      (counted.bytes, counted.packets) = (counts?.octets, counts?.packets)
      return counted
    }
  }
}

extension ControlAPI.OpenPrefix {
  /// As `OpenGrant.columns`.
  var columns: [String] {
    [
      server, prefix, ports.joined(separator: ", "), "address", "cidr: of \(rule)", "-",
      until.map { "until \($0)" } ?? "for ever",
      bytes.map { "\($0)" } ?? "-", packets.map { "\($0)" } ?? "-",
    ]
  }
}
