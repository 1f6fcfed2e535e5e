import AuditLog
import ControlAPI
import DNSWire
import GateModel
import GrantLedger
import Testing

@testable import Serving

extension Step {
  private static func at(_ stage: Stage, _ server: String, _ name: String, _ address: String) throws -> (
    gate: ScriptedGate, name: Name, element: GrantElement
  ) {
    guard let gate = stage.gate else { throw Stage.Failure(description: "there is no gate") }
    return (gate, try Name(presentation: name), try Stage.element(try stage.index(of: server), address))
  }

  /// A connection that says a name comes to the gate, and passes.
  static func passes(
    _ server: String, _ name: String, _ address: String, _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("\(name) passes", file, line) { stage in
      let (gate, name, element) = try Self.at(stage, server, name, address)
      guard gate.stands(name, for: element) else { throw Stage.Failure(description: "the gate does not know it") }
      gate.pass(name, at: element)
    }
  }

  /// The gate tells what became of a connection.
  static func judged(
    _ verdict: GateVerdict, _ server: String, _ name: String, _ address: String, _ file: String = #filePath,
    _ line: Int = #line
  ) -> Step {
    Step("\(name) is \(verdict)", file, line) { stage in
      let (gate, name, element) = try Self.at(stage, server, name, address)
      gate.judge(verdict, name, at: element)
      stage.settle()
    }
  }

  static func gate(isSilent: Bool, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("the gate", file, line) { stage in
      stage.gate?.isSilent = isSilent
      stage.settle()
    }
  }

  // MARK: - What must hold

  /// The gate lets who says a name to an address pass, or not.
  static func knows(
    _ knows: Bool, _ server: String, _ name: String, _ address: String, _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("the gate knows \(name)", file, line) { stage in
      let (gate, name, element) = try Self.at(stage, server, name, address)
      guard gate.stands(name, for: element) == knows else { throw Stage.Failure(description: "it is \(!knows)") }
    }
  }

  /// The names of the connections that live, in order.
  static func live(_ names: [String], _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("connections live", file, line) { stage in
      let found = stage.gate?.passing.map(\.name.description) ?? []
      guard found == names else { throw Stage.Failure(description: "\(found) instead of \(names)") }
    }
  }

  /// So many connections were cut by the last reload, as its answer says.
  static func cut(byReload count: Int, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("the reload cuts", file, line) { stage in
      guard case .inForce(let applied) = stage.reloads.last else {
        throw Stage.Failure(description: "it is not in force")
      }
      guard applied.flowsCut == count else { throw Stage.Failure(description: "\(applied.flowsCut), not \(count)") }
    }
  }

  /// What serve said of the connections that waited for a record, and how many have none.
  static func records(
    _ records: [Bool], lost: UInt64, _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("records", file, line) { stage in
      let found = stage.gate?.records ?? []
      guard found == records else { throw Stage.Failure(description: "\(found) instead of \(records)") }
      let count = stage.service.lost.connections
      guard count == lost else { throw Stage.Failure(description: "\(count) are lost, not \(lost)") }
    }
  }
}

extension Scenario {
  private static func withGate(_ egress: String) -> Setting {
    var setting = Setting(policies: policy(egress))
    setting.hasGate = true
    return setting
  }

  private static func policy(_ egress: String) -> String {
    "server: github-mcp\nnetworks: [ 10.77.1.0/24 ]\negress: [ \(egress) ]\n"
  }

  private static let uploads = "uploads.github.com"
  private static let server = "github-mcp"

  static let gated: [Scenario] = [
    Scenario(
      "a name that another holds the address with is cut when it is withdrawn, though it had lapsed; the other's lives on",
      withGate("\(api), \(uploads)"),
      [
        .upstream(answers: api, [Address.first], ttl: 20), .upstream(answers: uploads, [Address.first], ttl: 3_000),
        .ask(server, api), .ask(server, uploads), .passes(server, api, Address.first),
        .passes(server, uploads, Address.first), .passes(server, api, Address.first), .advance(.seconds(100)),
        .knows(false, server, api, Address.first), .live([api, uploads, api]), .reload(policy(uploads)),
        .expect(.reload(.inForce)), .live([uploads]), .cut(byReload: 2), .expect(.open(server, Address.first)),
      ]),
    Scenario(
      "what lapsed and is listed as before lives on, and nothing is counted", withGate("\(api), \(uploads)"),
      [
        .upstream(answers: api, [Address.first], ttl: 20), .ask(server, api), .passes(server, api, Address.first),
        .advance(.seconds(100)), .reload(policy(api)), .expect(.reload(.inForce)), .live([api]), .cut(byReload: 0),
      ]),
    Scenario(
      "what is withdrawn while it is open is cut and counted", withGate("\(api), \(uploads)"),
      [
        .upstream(answers: api, [Address.first]), .ask(server, api), .passes(server, api, Address.first),
        .reload(policy(uploads)), .expect(.reload(.inForce)), .live([]), .cut(byReload: 1),
        .knows(false, server, api, Address.first), .expect(.closed(server, Address.first)),
      ]),
    Scenario(
      "what was withdrawn while the gate stood still is cut when it goes on, and the reload has its end before",
      withGate("\(api), \(uploads)"),
      [
        .upstream(answers: api, [Address.first], ttl: 20), .ask(server, api), .passes(server, api, Address.first),
        .advance(.seconds(100)), .gate(isSilent: true), .reload(policy(uploads)), .expect(.reloadWaits),
        .advance(.seconds(3)), .expect(.reload(.inForce)), .cut(byReload: 0), .live([api]), .gate(isSilent: false),
        .live([]),
      ]),
    Scenario(
      "a name that questions of two types hold at an address ends there with the later of those that are left",
      withGate("{ host: \(api), types: [ A, HTTPS ] }"),
      [
        .upstream(answers: api, [Address.first], ttl: 300),
        .upstream(of: api, .HTTPS, ["\(api) 3000 HTTPS 1 . ipv4hint=\(Address.first)"]), .ask(server, api),
        .ask(server, api, .HTTPS, as: "hints"), .expect(.types([.HTTPS])), .passes(server, api, Address.first),
        // The one that held it for longer goes.
        .reload(policy("{ host: \(api), types: [ A ] }")), .expect(.reload(.inForce)), .live([api]),
        .cut(byReload: 0), .knows(true, server, api, Address.first), .advance(.seconds(320)),
        .knows(true, server, api, Address.first), .advance(.seconds(20)), .knows(false, server, api, Address.first),
        .live([api]),
      ]),
    Scenario(
      "while the log is blocked none passes, which is counted; what is refused is told", withGate(api),
      [
        .upstream(answers: api, [Address.first]), .ask(server, api), .judged(.verified, server, api, Address.first),
        .records([true], lost: 0), .expect(.events(.nameVerified, 1)), .log(blocked: true),
        .judged(.verified, server, api, Address.first), .judged(.toldHour, server, api, Address.first),
        .records([true, false, false], lost: 2), .judged(.mismatch, server, uploads, Address.first),
        .records([true, false, false], lost: 2), .expect(.events(.sniMismatch, 1)), .expect(.events(.nameVerified, 1)),
      ]),
  ]
}
