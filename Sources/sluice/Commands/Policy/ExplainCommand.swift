import ArgumentParser
import Control
import ControlAPI
import DNSWire
import EgressPolicy
import Foundation
import IPNetwork
import LinuxIO
import Resolver
import Serving
import Settings
import Zones

struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Say what a client or server would get for a name, and which rule decides.",
    discussion: """
      Works on the configuration alone; nothing is asked and nothing opened. --live adds what the running server \
      remembers and has open for the name.

      Examples:
        sluice explain --config sluice.yaml 10.77.1.2 api.github.com
        sluice explain --config sluice.yaml github-mcp uploads.github.com AAAA
        sluice explain --config sluice.yaml --live 10.77.1.2 api.github.com
      """)

  @OptionGroup var configuration: ConfigurationOption
  @Argument(help: "A client's address, or the name of a server.", completion: ServerNames.completion)
  var clientOrServer: String
  @Argument(help: "The name that would be asked for.") var name: String
  @Argument(help: "The record type (a mnemonic, or TYPE123).") var type: String = "A"
  @Flag(help: "Ask the running server as well: its policy, cache and grants.") var live = false
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let settings = try configuration.load(quiet: true)
    guard let type = RRType(mnemonic: type.uppercased()) else {
      throw ValidationError(
        "'\(type)' is no record type; expected a mnemonic such as AAAA, or TYPE and a number")
    }
    let wire: Name
    do {
      wire = try Name(presentation: name)
    } catch {
      throw ValidationError("'\(name)' is no domain name: \(error)")
    }
    var explanation = try explain(wire, type, settings)
    if live { try addLive(to: &explanation, wire, settings) }
    print(json ? explanation.json : explanation.text)
  }

  private func addLive(to explanation: inout Explanation, _ name: Name, _ settings: Settings) throws {
    let caller = ControlCaller(socket: settings.control.path)
    let status = try caller.call(.get, .status, as: ControlAPI.Status.self).answer
    let own = PolicySnapshot(settings.policies.inForceNow()).fingerprint
    let other = "another one, \(status.policy.fingerprint): see `sluice reload`"
    let withPermits = "with \(counted(status.permits, "permit")) beside it, or another one: see `sluice allow list`"
    explanation.add(
      "running policy", status.policy.fingerprint == own ? "the same" : status.permits > 0 ? withPermits : other)
    guard let server = explanation.server else { return }
    let permits = try caller.call(.get, .permits, [("server", server)], as: ControlAPI.PermitList.self).answer.permits
    for permit in permits {
      explanation.add(
        "permit \(permit.id)",
        "\(permit.name) on \(permit.ports.joined(separator: ", ")) for \(permit.remaining) s more: \(permit.justification)"
      )
    }
    let entries = try caller.call(
      .get, .cache, [("server", server), ("name", name.description)], as: ControlAPI.CacheList.self
    ).answer.entries
    for entry in entries {
      let addresses = entry.addresses.isEmpty ? "" : ": " + entry.addresses.joined(separator: ", ")
      explanation.add(
        "cached \(entry.type)", "\(entry.rcode), \(entry.remaining) s left, \(entry.hits) hits\(addresses)")
    }
    if entries.isEmpty { explanation.add("cached", "nothing") }
    let grants = try caller.call(.get, .grants, [("server", server)], as: ControlAPI.GrantList.self).answer.grants
      .filter { $0.name == name.description }
    let open = grants.map { grant in
      "\(grant.address) \(grant.port.map { "\($0)/" } ?? "")\(grant.protocol) for \((grant.remainingMs + 999) / 1000) s"
    }
    explanation.add("open", open.isEmpty ? "nothing" : open.joined(separator: ", "))
  }

  private func explain(_ wire: Name, _ type: RRType, _ settings: Settings) throws -> Explanation {
    let zones = try ZoneFiles.load(settings)
    let policy = PolicySnapshot(settings.policies)
    let server: Int?
    if let address = IPAddress(clientOrServer) {
      server = policy.clients.server(of: address)
    } else {
      server = settings.policies.firstIndex { $0.name.text == clientOrServer }
      guard server != nil else {
        throw ValidationError(
          "'\(clientOrServer)' is neither an address nor a server; servers: "
            + settings.policies.map(\.name.text).joined(separator: ", "))
      }
    }
    let configuration = Explanation.Configuration(policy, zones, ResolverRules(settings), now: WallClock.seconds())
    return Explanation(wire, type, of: server, in: configuration)
  }
}
