import FirewallModel
import BridgeProcesses
import AuditLog
import EgressPolicy
import IPNetwork
import LinuxIO
import Serving
import Settings

/// What this host's interfaces mean for a configuration: which network is enclosed by one, which is not, which stays closed
/// although nothing governs it.
struct EnclosureDiagnosis {
  private let settings: Settings
  private let surroundings: Ruleset.Surroundings

  init(_ settings: Settings, _ surroundings: Ruleset.Surroundings) {
    self.settings = settings
    self.surroundings = surroundings
  }

  /// Nil where rules are not Sluice's to write.
  ///
  /// - Throws: when interfaces and routes cannot be read.
  init?(_ settings: Settings) throws(SystemError) {
    guard settings.firewall.mode == .managed else { return nil }
    self.init(settings, try Ruleset.Surroundings(FirewallPlan(settings, settings.policies), state: settings.state))
  }

  /// What `check` says of the enclosure, also that it cannot be told.
  static func diagnose(_ settings: Settings) -> [Diagnostic] {
    do throws(SystemError) {
      return try Self(settings)?.diagnostics ?? []
    } catch {
      return [
        .warning(
          "which networks are enclosed is not known: interfaces and routes cannot be read: \(error)",
          at: whole(settings))
      ]
    }
  }

  /// For what stands in no line: the first policy's file, else the configuration.
  private static func whole(_ settings: Settings) -> SourceLocation {
    let file = settings.policies.first?.location.file ?? settings.listenLocations.first?.file
    return SourceLocation(file: file ?? "", line: 0, column: 0)
  }

  /// Warnings for `check`, each where the network stands.
  var diagnostics: [Diagnostic] {
    let report = EnclosureReport(surroundings.enclosure)
    var findings = report.exposures.map { exposure in
      let server = settings.policies[Int(exposure.server)]
      let location = server.networks.first { $0.prefix == exposure.network }?.location ?? server.location
      return Diagnostic.warning(EnclosureText.text(of: exposure, server: server.name.text), at: location)
    }
    for displacement in report.displacements {
      let server = settings.policies[Int(displacement.server)]
      findings.append(.warning(EnclosureText.text(of: displacement, server: server.name.text), at: server.location))
    }
    for link in report.links where !link.others.isEmpty {
      guard let server = link.servers.first.map({ settings.policies[Int($0)] }) else { continue }
      findings.append(.warning(EnclosureText.others(link.others, behind: link.interface), at: server.location))
    }
    let whole = Self.whole(settings)
    if let damage { findings.append(.warning(damage, at: whole)) }
    findings += surroundings.held.map { Diagnostic.warning(EnclosureText.held($0), at: whole) }
    return findings
  }

  /// The networks that stay closed; none where that cannot be read, which `diagnose` tells.
  static func held(_ settings: Settings) -> [IPPrefix] {
    do throws(SystemError) {
      return try Self(settings)?.held.map(\.prefix) ?? []
    } catch {
      return []
    }
  }

  /// What of the list of networks that were governed cannot be read.
  private var damage: String? {
    let table = settings.firewall.table
    let unread: [String]
    do throws(SystemError) {
      unread = try StateFolder.networks(of: table, at: settings.state).unread
    } catch {
      return "\(settings.state)/bridge/networks.\(table) cannot be read: \(error)"
    }
    guard let first = unread.first else { return nil }
    return "\(settings.state)/bridge/networks.\(table) has \(counted(unread.count, "line")) that hold no network, "
      + "the first of them \(JSONText.quoted(String(first.prefix(80))))"
  }

  /// Findings for `doctor`.
  var findings: [Finding] {
    let report = EnclosureReport(surroundings.enclosure)
    var findings = report.exposures.map { exposure in
      Finding.serious(
        .networkExposed, "enclosure",
        EnclosureText.text(of: exposure, server: settings.policies[Int(exposure.server)].name.text),
        "\(EnclosureText.remedy(exposure)) in the policy, or a bridge of its own for the network")
    }
    findings += report.displacements.map { displacement in
      .serious(
        .networkElsewhere, "enclosure",
        EnclosureText.text(of: displacement, server: settings.policies[Int(displacement.server)].name.text),
        "\(EnclosureText.remedy(displacement)) in the policy, or the network with that name: docker network create "
          + "-o com.docker.network.bridge.name=\(displacement.pinned) …")
    }
    for link in report.links where !link.others.isEmpty {
      findings.append(
        .warning(
          .networkOthers, "enclosure", EnclosureText.others(link.others, behind: link.interface),
          "add what should be governed to a policy's `networks:`, and move the rest behind another interface"))
    }
    if let damage {
      findings.append(
        .serious(
          .networkList, "enclosure", damage,
          "write the network and the server's name that should stand there, or take the line out"))
    }
    findings += surroundings.held.map {
      .warning(.networkHeld, "enclosure", EnclosureText.held($0), "give it a policy, or: \(EnclosureText.release($0))")
    }
    if !report.absent.isEmpty {
      findings.append(
        .warning(
          .networkAbsent, "enclosure", EnclosureText.absent(report.absent),
          "make the network, or name its interface in the policy, `interface: NAME`; it is enclosed as soon as it is there"
        ))
    }
    if findings.isEmpty {
      let links = report.links.map(\.interface)
      findings.append(
        .ok(
          "enclosure",
          links.isEmpty
            ? "no server's network lies behind an interface of this host yet"
            : "behind \(links.joined(separator: ", ")) lie servers' networks, and nothing else"))
    }
    return findings
  }

  /// Networks that no policy governs any more, and that stay closed.
  var held: [HeldNetwork] { surroundings.held }

  /// What lies behind enclosed interfaces and is no server's: nothing from there passes.
  var cutOff: [IPPrefix] { surroundings.enclosure.links.flatMap(\.others) }

  /// Each interface behind which servers' networks lie, enclosed or not, with the servers' names.
  var serversByInterface: [String: Set<String>] {
    let report = EnclosureReport(surroundings.enclosure)
    var servers: [String: Set<String>] = [:]
    for link in surroundings.enclosure.links {
      servers[link.interface, default: []].formUnion(link.servers.map { settings.policies[$0].name.text })
    }
    for exposure in report.exposures {
      servers[exposure.interface, default: []].insert(settings.policies[Int(exposure.server)].name.text)
    }
    return servers
  }
}
