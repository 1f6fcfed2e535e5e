import AuditLog
import DNSWire
import FirewallModel

/// What the next run makes of ends: each name holds an address until its own end, whatever the kernel was asked for by others.
extension Scenario {
  private static let user = "avatars.githubusercontent.com"
  private static let gone = "gone.example.com"

  /// One address of two names, open for an hour in the kernel.
  private static func shared(_ ends: [String: Int], configuration: String = "") -> Setting {
    Setting(
      configuration: configuration, earlier: [(0, Address.first, 3_600)],
      journal: [("github-mcp", gone, Address.first), ("github-mcp", api, Address.first)], ends: ends)
  }

  private static let withoutAPI = """
    server: github-mcp
    networks: [ 10.77.1.0/24 ]
    egress: [ "*.githubusercontent.com" ]
    ---
    server: db-tools
    networks: [ 10.77.2.0/24 ]
    egress: [ api.github.com, db.example.com ]
    """

  static let inheriting: [Scenario] = [
    Scenario(
      "an address that a name which is gone had open for longer ends with the name that is listed",
      shared([gone: 3_600, api: 90]),
      [
        .expect(.journal("github-mcp", gone, Address.first, 0)),
        .expect(.journal("github-mcp", api, Address.first, 90)),
        .expect(.open("github-mcp", Address.first)), .advance(.seconds(89)),
        .expect(.open("github-mcp", Address.first)),
        .advance(.seconds(2)), .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "the same where the wall clock is set ahead, or back",
      shared([gone: 3_600, api: 90]),
      [
        .setClock(by: 86_400), .advance(.seconds(45)), .setClock(by: -2 * 86_400), .advance(.seconds(44)),
        .expect(.open("github-mcp", Address.first)), .advance(.seconds(2)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "what others take out is committed again until the name's own end, and no longer",
      Setting(
        earlier: [(0, Address.first, 3_600)], journal: [("github-mcp", api, Address.first)], ends: [api: 90]),
      [.advance(.seconds(89)), .othersFlush(), .advance(.seconds(2)), .expect(.closed("github-mcp", Address.first))]),
    Scenario(
      "an address of an earlier run in a network that is denied now is closed",
      Setting(
        configuration: "always-deny: [ { cidr: \(Address.first)/32 } ]", earlier: [(0, Address.first, 3_600)],
        journal: [("github-mcp", api, Address.first)], ends: [api: 90]),
      [.expect(.closed("github-mcp", Address.first)), .expect(.cut([Address.first]))]),
    Scenario(
      "an address of an earlier run whose name is denied now is closed",
      Setting(
        configuration: "always-deny: [ \(api) ]", earlier: [(0, Address.first, 3_600)],
        journal: [("github-mcp", api, Address.first)], ends: [api: 90]),
      [.expect(.closed("github-mcp", Address.first)), .expect(.cut([Address.first]))]),
    Scenario(
      "an address whose listed name was over before is closed, whoever had it open for longer",
      shared([gone: 3_600, api: -5]),
      [.expect(.closed("github-mcp", Address.first)), .expect(.cut([Address.first]))]),
    Scenario(
      "an address of names that were all over before is closed, and its connections live on",
      shared([gone: -10, api: -5]),
      [.expect(.closed("github-mcp", Address.first)), .expect(.cut([]))]),
    Scenario(
      "an address that nothing else had open for longer is left to the kernel",
      Setting(
        earlier: [(0, Address.first, 91)], journal: [("github-mcp", api, Address.first)], ends: [api: 90]),
      [.expect(.open("github-mcp", Address.first)), .expect(.done([]))]),
    Scenario(
      "what a journal has no end of ends as the kernel has it", shared([:]),
      [
        .advance(.seconds(3_590)), .expect(.open("github-mcp", Address.first)), .advance(.seconds(11)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "a name that needs no commit has its end in the journal, and one that goes ends there",
      [
        .upstream(answers: api, [Address.first], ttl: 900), .upstream(answers: user, [Address.first], ttl: 100),
        .ask("github-mcp", api), .expect(.journal("github-mcp", api, Address.first, 930)),
        .ask("github-mcp", user), .expect(.done(["open \(Address.first)"])),
        .expect(.journal("github-mcp", user, Address.first, 130)), .advance(.seconds(10)), .reload(withoutAPI),
        .expect(.open("github-mcp", Address.first)), .expect(.journal("github-mcp", api, Address.first, 0)),
        .expect(.journal("github-mcp", user, Address.first, 120)), .advance(.seconds(121)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "what an operator revoked ends in the journal",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api),
        .expect(.journal("github-mcp", api, Address.first, 330)), .revoke("github-mcp", address: Address.first),
        .expect(.journal("github-mcp", api, Address.first, 0)),
      ]),
    Scenario(
      "what is kept open because it is in use is in the journal for as long",
      Setting(configuration: "firewall: { keep-in-use: 10m }"),
      [
        .upstream(answers: api, [Address.first], ttl: 30), .ask("github-mcp", api),
        .expect(.journal("github-mcp", api, Address.first, 60)), .connects("github-mcp", Address.first),
        .advance(.seconds(55)), .expect(.open("github-mcp", Address.first)), .advance(.seconds(20)),
        .expect(.open("github-mcp", Address.first)), .expect(.held("github-mcp", api, Address.first)),
      ]),
  ]
}
