import ArgumentParser
import DNSWire
import EgressPolicy
import IPNetwork
import Settings
import Zones

struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Say what a client or server would get for a name, and which rule decides.",
    discussion: """
      Works on the configuration alone; nothing is asked and nothing opened.

      Examples:
        sluice explain --config sluice.yaml 10.77.1.2 api.github.com
        sluice explain --config sluice.yaml github-mcp uploads.github.com AAAA
      """)

  @OptionGroup var configuration: ConfigurationOption
  @Argument(help: "A client's address, or the name of a server.") var clientOrServer: String
  @Argument(help: "The name that would be asked for.") var name: String
  @Argument(help: "The record type (a mnemonic, or TYPE123).") var type: String = "A"
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
    let explanation = try explain(wire, type, settings)
    print(json ? explanation.json : explanation.text)
  }

  private func explain(_ wire: Name, _ type: RRType, _ settings: Settings) throws -> Explanation {
    let zones = try ZoneFiles.load(settings)
    let policy = PolicySnapshot(settings.policies)
    let server: Int?
    if let address = IPAddress(clientOrServer) {
      server = policy.server(for: address.unmapped)
    } else {
      server = settings.policies.firstIndex { $0.name.text == clientOrServer }
      guard server != nil else {
        throw ValidationError(
          "'\(clientOrServer)' is neither an address nor a server; servers: "
            + settings.policies.map(\.name.text).joined(separator: ", "))
      }
    }
    return Explanation(server: server, name: wire, type: type, policy: policy, zones: zones, settings: settings)
  }
}
