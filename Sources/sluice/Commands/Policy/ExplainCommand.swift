import ArgumentParser
import BridgeProcesses
import Control
import ControlAPI
import DNSWire
import EgressPolicy
import FirewallModel
import Foundation
import IPNetwork
import LinuxIO
import NFTables
import Resolver
import Serving
import Settings
import Zones

struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Say what a client or server would get for a name or an address, and which rule decides.",
    discussion: """
      Works on the configuration alone; nothing is asked and nothing opened. --live adds what the running server \
      remembers and has open: for a name also what is open for other names at its addresses. Of an address it says which \
      `cidr:` entry opens it without a name. While the files have an error, the policy that the running server has in \
      force is explained.

      Examples:
        sluice explain --config sluice.yaml 10.77.1.2 api.github.com
        sluice explain --config sluice.yaml github-mcp uploads.github.com AAAA
        sluice explain --config sluice.yaml --live 10.77.1.2 api.github.com
        sluice explain --config sluice.yaml --live github-mcp 192.0.2.7 443/tcp
      """)

  @OptionGroup var configuration: ConfigurationOption
  @Argument(help: "A client's address, or the name of a server.", completion: ServerNames.completion)
  var clientOrServer: String
  @Argument(help: "The name that would be asked for, or an address that would be connected to.") var destination: String
  @Argument(help: "The record type (a mnemonic, or TYPE123), A without it; of an address a port, any without it.")
  var detail: String?
  @Flag(help: "Ask the running server as well: its policy, cache and grants.") var live = false
  @Flag(help: "Print one JSON object.") var json = false

  func validate() throws { _ = try Subject(destination, detail) }

  func run() throws {
    let subject = try Subject(destination, detail)
    let loaded = ConfigurationOption.read(configuration.config)
    var explanation: ControlAPI.Explanation
    let caller: ControlCaller
    if let settings = loaded.settings {
      caller = ControlCaller(socket: settings.control.path)
      explanation = try explain(subject, settings)
      if !live { PolicyNotice.tell(settings) }
      if json { explanation = explanation.named }
    } else {
      caller = ControlCaller(socket: try ConfigurationOption.paths(configuration.config).control.path)
      ConfigurationOption.tellUnusable(
        loaded, instead: "what follows is by the policy that the running sluice has in force")
      explanation = try ask(subject, whose, caller)
    }
    if live { try addLive(to: &explanation, subject, loaded.settings, caller) }
    StandardOutput.write(
      json ? ControlAPI.line(ControlAPI.encode(explanation)) : ExplanationText(explanation).text)
  }

  /// What is explained.
  private enum Subject {
    case name(Name, RRType)
    case address(IPAddress, PortRule?)

    init(_ destination: String, _ detail: String?) throws {
      if let address = IPAddress(destination) {
        let port = try detail.map { text in
          guard let port = PortRule(text) else {
            throw ValidationError("'\(text)' is no port; expected one such as 443/tcp behind an address")
          }
          return port
        }
        self = .address(address.unmapped, port)
        return
      }
      try NameArgument.check(destination, behindAddress: true)
      guard let type = RRType(mnemonic: (detail ?? "A").uppercased()) else {
        throw ValidationError(
          "'\(detail ?? "")' is no record type; expected a mnemonic such as AAAA, or TYPE and a number")
      }
      do {
        self = .name(try Name(presentation: destination), type)
      } catch {
        throw ValidationError("'\(destination)' is no domain name: \(error)")
      }
    }

    /// As parameters of the control API.
    var parameters: [(String, String?)] {
      switch self {
      case .name(let name, let type): [("name", name.description), ("type", type.description)]
      case .address(let address, let port): [("address", address.description), ("port", port?.description)]
      }
    }
  }

  /// As a parameter of the control API.
  private var whose: (String, String?) { (IPAddress(clientOrServer) == nil ? "server" : "client", clientOrServer) }

  private func ask(
    _ subject: Subject, _ whose: (String, String?), _ caller: ControlCaller
  ) throws -> ControlAPI.Explanation {
    try caller.call(.get, .explanation, [whose] + subject.parameters, as: ControlAPI.Explanation.self).answer
  }

  private func explain(_ subject: Subject, _ settings: Settings) throws -> ControlAPI.Explanation {
    let policy = PolicySnapshot(settings.policies)
    var explainer = Explainer(
      policy, try ZoneFiles.load(settings), ResolverRules(settings),
      ExplainedHost(settings, closed: Self.closed(settings)), now: WallClock.seconds())
    explainer.withoutIPv6 = Self.withoutIPv6(settings)
    explainer.upstreams = settings.upstreams.map(\.description)
    explainer.forwards = settings.forwardZones
    let client = IPAddress(clientOrServer)
    let server = client.map { policy.clients.server(of: $0.unmapped) } ?? policy.server(named: clientOrServer)
    if client == nil, server == nil { try KnownServers.refuse(clientOrServer, settings.policies.map(\.name.text)) }
    var explanation =
      switch subject {
      case .name(let name, let type): explainer.explain(name, type, of: server, client: client?.unmapped)
      case .address(let address, let port): explainer.explain(address, port, of: server, client: client?.unmapped)
      }
    explanation.client = client?.description
    return explanation
  }

  /// Servers without a set for IPv6 addresses in the user's own table; none for a user who may not look, or without a table.
  private static func withoutIPv6(_ settings: Settings) -> Set<Int> {
    guard settings.firewall.mode == .sets else { return [] }
    let plan = FirewallPlan(settings, [])
    do throws(SystemError) {
      let sets = try KernelSets().sets(family: plan.family, table: plan.table)
      guard !sets.isEmpty else { return [] }
      return Set(
        settings.policies.indices.filter {
          sets[SetName(server: settings.policies[$0].name.text, family: .v6, kind: .ports).text] == nil
        })
    } catch {
      return []
    }
  }

  /// Networks of no server whose clients are refused; none for a user who may not read which.
  private static func closed(_ settings: Settings) -> [IPPrefix] {
    do throws(SystemError) {
      let plan = FirewallPlan(settings, settings.policies.inForceNow())
      let surroundings = try Ruleset.Surroundings(plan, state: settings.state)
      return surroundings.held.map(\.prefix) + surroundings.enclosure.links.flatMap(\.others)
    } catch {
      return []
    }
  }

  private func addLive(
    to explanation: inout ControlAPI.Explanation, _ subject: Subject, _ settings: Settings?, _ caller: ControlCaller
  ) throws {
    guard let server = explanation.server else { return }
    let own: [(String, String?)] = [("server", server)]
    let running = try caller.call(.get, .status, as: ControlAPI.Status.self).answer.policy.fingerprint
    var cache: [ControlAPI.CacheEntry] = []
    if case .name(let name, _) = subject {
      cache = try caller.call(.get, .cache, own + [("name", name.description)], as: ControlAPI.CacheList.self).answer
        .entries
    }
    let grants = try caller.call(.get, .grants, own, as: ControlAPI.GrantList.self).answer.grants
    let permits = try caller.call(.get, .permits, own, as: ControlAPI.PermitList.self).answer.permits
    var live = ControlAPI.Live(
      policy: running,
      asInFiles: settings.map { PolicySnapshot($0.policies.inForceNow()).fingerprint == running } ?? false,
      permits: Self.concerned(permits, subject), cache: cache, grants: Self.concerned(grants, subject))
    // Without usable files the explanation is the running server's already.
    if settings != nil, !live.asInFiles {
      var told = try ask(subject, ("server", server), caller)
      if case .address(_, let port) = subject { told.take(live.grants, port) }
      live.running = ControlAPI.Running(told)
    }
    switch subject {
    case .name(let name, _): live.sharedCaps = try sharedCaps(live.grants, beside: name.description, server, caller)
    case .address(_, let port): explanation.take(live.grants, port)
    }
    explanation.live = live
  }

  /// What is open for a name, and for others at its addresses; or at an address.
  private static func concerned(_ grants: [ControlAPI.Grant], _ subject: Subject) -> [ControlAPI.Grant] {
    switch subject {
    case .name(let name, _):
      let addresses = Set(grants.filter { $0.name == name.description }.map(\.address))
      return grants.filter { addresses.contains($0.address) }
    case .address(let address, _): return grants.filter { $0.address == address.description }
    }
  }

  /// The permits that allow a name; an address is open by none of them without one.
  private static func concerned(_ permits: [ControlAPI.Permit], _ subject: Subject) -> [ControlAPI.Permit] {
    switch subject {
    case .name(let name, _): permits.filter { $0.allows(name) }
    case .address: []
    }
  }

  /// The caps that other names at the same addresses have: they hold for every name there.
  private func sharedCaps(
    _ grants: [ControlAPI.Grant], beside name: String, _ server: String, _ caller: ControlCaller
  ) throws -> [ControlAPI.SharedCap] {
    var caps: [ControlAPI.SharedCap] = []
    for (other, shared) in Dictionary(grouping: grants.filter { $0.name != name }, by: \.name).sorted(by: {
      $0.key < $1.key
    }) {
      for (type, held) in Dictionary(grouping: shared, by: { $0.address.contains(":") ? RRType.AAAA : .A }) {
        let found = try ask(.name(try Name(presentation: other), type), ("server", server), caller)
        guard found.maxBytes != nil || found.maxBytesPerHour != nil else { continue }
        caps += Set(held.map(\.address)).sorted().map {
          ControlAPI.SharedCap(address: $0, of: found, named: other)
        }
      }
    }
    return caps
  }
}

extension ControlAPI.Permit {
  /// Whether its pattern matches a name.
  func allows(_ asked: Name) -> Bool {
    do {
      return try NamePattern(name).matches(asked)
    } catch {
      // No pattern of this version: a permit of a server of another one.
      return false
    }
  }
}

extension ControlAPI.Explanation {
  /// What is open now decides where nothing else opened the address.
  mutating func take(_ grants: [ControlAPI.Grant], _ port: PortRule?) {
    guard !grants.isEmpty, decision == .block, code == .rawAddress || code == .wrongPort || code == .notEnforced else {
      return
    }
    let isOpen = grants.contains { grant in
      grant.port == nil || port.map { grant.portText == $0.description } ?? true
    }
    if isOpen {
      (decision, code, rule, pattern) = (.allow, .granted, nil, nil)
    } else if code != .notEnforced {
      code = .wrongPort
      ports = Set((ports ?? []) + grants.map(\.portText)).sorted()
    }
  }

  /// With the places of entries as events name them, whatever folder the configuration was named from.
  fileprivate var named: Self {
    var named = self
    named.rule = rule.map(ConfigurationOption.absolute)
    named.prefixes = prefixes?.map { prefix in
      var prefix = prefix
      prefix.rule = ConfigurationOption.absolute(prefix.rule)
      return prefix
    }
    return named
  }
}
