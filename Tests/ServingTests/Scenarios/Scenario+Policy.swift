import AuditLog
import DNSWire
import FirewallModel
import IPNetwork

extension Scenario {
  private static func volume(_ prefix: String, _ octets: UInt64) -> PrefixVolume {
    PrefixVolume(server: 0, prefix: IPPrefix(prefix)!, octets: octets, packets: 1)
  }

  private static let user = "avatars.githubusercontent.com"
  private static let status = "status.github.com"

  /// What the two servers may ask, and a third one where it is asked for.
  private static func policies(
    _ github: String, tools: String? = "api.github.com, db.example.com", other: String? = nil
  ) -> String {
    var documents = ["server: github-mcp\nnetworks: [ 10.77.1.0/24 ]\negress: [ \(github) ]\n"]
    if let tools { documents.append("server: db-tools\nnetworks: [ 10.77.2.0/24 ]\negress: [ \(tools) ]\n") }
    if let other { documents.append("server: other\nnetworks: [ 10.77.3.0/24 ]\negress: [ \(other) ]\n") }
    return documents.joined(separator: "---\n")
  }

  private static let withoutAPI = policies("\"*.githubusercontent.com\"")
  private static let withOther = policies("api.github.com, \"*.githubusercontent.com\"", other: "api.github.com")

  static let reloading: [Scenario] = [
    Scenario(
      "what is not listed any more is closed, and denied from then on",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .reload(withoutAPI),
        .expect(.reload(.inForce)), .expect(.closed("github-mcp", Address.first)), .expect(.events(.revoked, 1)),
        .ask("github-mcp", api, as: "later"), .expect(.code(.NXDOMAIN)),
      ]),
    Scenario(
      "what is listed as before stays open, and cached",
      [
        .upstream(answers: api, [Address.first]), .upstream(answers: user, [Address.second]),
        .ask("github-mcp", api), .ask("github-mcp", user), .ask("db-tools", api, as: "other"), .reload(withoutAPI),
        .expect(.open("github-mcp", Address.second)), .expect(.open("db-tools", Address.first)),
        .ask("github-mcp", user, as: "later"), .ask("db-tools", api, as: "other later"),
        .expect(.answer([Address.first])), .expect(.questions(3)),
      ]),
    Scenario(
      "until a policy is compiled the former one decides",
      [
        .upstream(answers: api, [Address.first]), .compilesAtOnce(false), .reload(withoutAPI), .expect(.reloadWaits),
        .ask("github-mcp", api), .expect(.answer([Address.first])), .compile(), .expect(.reload(.inForce)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "a question that upstream is asked when its name goes is not answered, and opens nothing",
      [
        .upstream(answers: api, [Address.first]), .upstream(.holds), .ask("github-mcp", api), .reload(withoutAPI),
        .expect(.reload(.inForce)), .upstream(.answers), .expect(.code(.SERVFAIL)), .expect(.done([])),
        .expect(.events(.interrupted, 1)), .expect(.events(.notListed, 0)),
      ]),
    Scenario(
      "a question whose address is being opened when its name goes is not answered, and the address is closed",
      [
        .upstream(answers: api, [Address.first]), .compilesAtOnce(false), .reload(withoutAPI), .bridge(.busy),
        .ask("github-mcp", api), .compile(), .expect(.code(.SERVFAIL)), .bridge(.acknowledges),
        .expect(.closed("github-mcp", Address.first)), .expect(.reload(.inForce)),
      ]),
    Scenario(
      "a question that was decided before its name went is turned away",
      [
        .upstream(answers: api, [Address.first]), .decide("github-mcp", api), .reload(withoutAPI), .deliver(api),
        .expect(.code(.SERVFAIL)), .expect(.questions(0)), .expect(.events(.interrupted, 1)),
        .expect(.events(.notListed, 0)),
      ]),
    Scenario(
      "a question that was decided before a change that does not touch it is answered",
      [
        .upstream(answers: user, [Address.first]), .decide("github-mcp", user), .reload(withoutAPI), .deliver(user),
        .expect(.answer([Address.first])),
      ]),
    Scenario(
      "a question that comes after a change does not join one from before it",
      [
        .upstream(answers: api, [Address.first]), .upstream(.holds), .ask("github-mcp", api, as: "before"),
        .reload(withoutAPI), .reload(Setting.policies), .ask("github-mcp", api, as: "after"), .upstream(.answers),
        .expect(.code(.SERVFAIL), for: "before"), .expect(.answer([Address.first]), for: "after"),
      ]),
    Scenario(
      "a server that is taken away leaves nothing in the firewall once nothing of it is open, and one event tells of it",
      [
        .upstream(answers: api, [Address.first]), .ask("db-tools", api), .reload(policies(api, tools: nil)),
        .expect(.reload(.inForce)), .expect(.gone("db-tools", true)), .expect(.gone("github-mcp", false)),
        .expect(.done(["open \(Address.first)", "install", "close \(Address.first)", "install"])),
        .expect(.events(.policyReloaded, 1)), .expect(.event(.policyReloaded, "entries_removed")),
      ]),
    Scenario(
      "while a question of such a server is in flight its sets stay, and they go when it is over",
      [
        .upstream(answers: api, [Address.first]), .upstream(.holds), .ask("db-tools", api),
        .reload(policies(api, tools: nil)), .expect(.reload(.inForce)), .expect(.gone("db-tools", false)),
        .upstream(.answers), .expect(.code(.SERVFAIL)), .advance(.seconds(6)), .expect(.gone("db-tools", true)),
      ]),
    Scenario(
      "what is open without a name is told with its entry, and which entry opens an address",
      [
        .reload(policies("api.github.com, { cidr: 45.11.0.0/24, ports: [ 443/tcp ] }")), .expect(.reload(.inForce)),
        .expect(.event(.policyReloaded, "github-mcp: cidr: 45.11.0.0/24")), .look("grants", "github-mcp"),
        .expect(.body(#""prefix":"45.11.0.0/24""#)), .look("grants", "db-tools"),
        .expect(.body(#""prefixes":[]"#)), .look("explanation", "github-mcp", ["address": "45.11.0.9"]),
        .expect(.body(#""code":"cidr","decision":"allow""#)),
        .look("explanation", "db-tools", ["address": "45.11.0.9"]), .expect(.body(#""code":"raw-address""#)),
        .look("explanation", "github-mcp", ["name": "api.github.com"]), .expect(.body(#""answer":"upstream""#)),
        .look("explanation", "github-mcp"), .expect(.call(400)),
      ]),
    Scenario(
      "what goes to addresses that are open without a name is told with their entry, and their sum of an interval",
      Setting(
        policies: "server: agent\nnetworks: [ 10.77.1.0/24 ]\negress:\n  - { cidr: 45.11.0.0/24, ports: any }\n",
        audit: ", volume: 10s"),
      [
        .bridge(says: .prefixVolumes([volume("45.11.0.0/24", 1_000)])),
        .bridge(says: .prefixVolumes([volume("45.11.0.0/24", 500)])),
        .expect(.events(.egressVolume, 0)), .advance(.seconds(10)), .expect(.events(.egressVolume, 1)),
        .expect(.event(.egressVolume, #""bytes":1500,"packets":2,"interval":10,"rule":"#)),
        // One that no entry of the policy in force opens any more.
        .bridge(says: .prefixVolumes([volume("45.12.0.0/24", 7)])), .advance(.seconds(10)),
        .expect(.event(.egressVolume, #""bytes":7,"packets":1,"interval":10"#)), .advance(.seconds(10)),
        .expect(.events(.egressVolume, 2)),
      ]),
    Scenario(
      "before an upstream has answered serve is not ready, and says so",
      [
        .look("status", nil), .expect(.body(#""faults":["no-upstream"]"#)), .expect(.body(#""ready":false"#)),
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .look("status", nil),
        .expect(.body(#""faults":[]"#)), .expect(.body(#""ready":true"#)),
      ]),
    Scenario(
      "files that cannot be used change nothing",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api),
        .reload("server: github-mcp\nnetworks: [ nonsense ]\negress: []\n"), .expect(.reload(.unusable)),
        .expect(.open("github-mcp", Address.first)), .ask("github-mcp", api, as: "later"),
        .expect(.answer([Address.first])), .expect(.questions(1)), .expect(.events(.policyRefused, 1)),
      ]),
    Scenario(
      "a policy that the firewall does not take changes nothing",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .plans(refused: "no room"),
        .reload(policies("\"*.githubusercontent.com\"", other: api)), .expect(.reload(.refused)),
        .expect(.open("github-mcp", Address.first)), .ask("github-mcp", api, as: "later"),
        .expect(.answer([Address.first])), .expect(.questions(1)),
        .ask("github-mcp", user), .expect(.code(.NXDOMAIN)),
      ]),
    Scenario(
      "after a plan was refused serve and bridge speak of the former one",
      [
        .upstream(answers: api, [Address.first]), .plans(refused: "no room"), .reload(withOther),
        .expect(.reload(.refused)), .ask("github-mcp", api), .expect(.answer([Address.first])),
      ]),
    Scenario(
      "another server's rules are there before its first answer",
      [
        .upstream(answers: api, [Address.first]), .reload(withOther), .expect(.reload(.inForce)),
        .ask("other", api), .expect(.answer([Address.first])), .expect(.open("other", Address.first)),
        .expect(.done(["install", "open \(Address.first)"])),
      ]),
    Scenario(
      "the rules of another plan cost no answer its place in the cache",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .reload(withOther),
        .ask("github-mcp", api, as: "later"), .expect(.answer([Address.first])), .expect(.questions(1)),
        .expect(.done(["open \(Address.first)", "install"])), .expect(.events(.enforcementDegraded, 0)),
      ]),
    Scenario(
      "a commit that waits when another plan comes is refused, and no address opens for another server",
      [
        .upstream(answers: api, [Address.first]), .upstream(answers: user, [Address.second]),
        .compilesAtOnce(false), .reload(withOther), .bridge(.busy), .ask("github-mcp", api),
        .ask("github-mcp", user), .compile(), .expect(.code(.SERVFAIL), for: user), .bridge(.acknowledges),
        .expect(.answer([Address.first]), for: api), .expect(.closed("github-mcp", Address.second)),
        .expect(.reload(.inForce)),
      ]),
    Scenario(
      "a server that is gone has nothing open, and its number is no other's while it had something",
      [
        .upstream(answers: api, [Address.first]), .ask("db-tools", api),
        .reload(policies("api.github.com", tools: nil, other: "api.github.com")), .expect(.reload(.inForce)),
        .expect(.closed("db-tools", Address.first)), .ask("other", api, as: "new"),
        .expect(.open("other", Address.first)), .expect(.closed("db-tools", Address.first)),
      ]),
    Scenario(
      "a name that opens other ports is asked for again",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api),
        .reload(policies("{ host: api.github.com, ports: [ 443/tcp, 22/tcp ] }")), .expect(.reload(.inForce)),
        .expect(.open("github-mcp", Address.first)), .ask("github-mcp", api, as: "later"), .expect(.questions(2)),
      ]),
    Scenario(
      "reloads that are asked for while one is under way are one more, and each has its end",
      [
        .compilesAtOnce(false), .reload(withoutAPI), .reload(withOther), .reload(withOther), .expect(.reloadWaits),
        .compile(), .expect(.reloadWaits), .compile(), .expect(.reload(.inForce)),
        .expect(.events(.policyReloaded, 2)),
      ]),
    Scenario(
      "a bridge that stands still keeps no name in force that is gone",
      [
        .bridge(.hangs), .reload(withoutAPI), .expect(.reloadWaits), .advance(.milliseconds(1_100)),
        .expect(.reload(.inForce)), .ask("github-mcp", api), .expect(.code(.NXDOMAIN)),
      ]),
    Scenario(
      "a policy that ends at a time closes what it opened then",
      Setting(policies: policies("{ host: api.github.com, until: \"2027-01-15T08:01:00Z\" }")),
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .expect(.ttl(60)), .advance(.seconds(59)),
        .expect(.open("github-mcp", Address.first)), .advance(.seconds(2)),
        .expect(.closed("github-mcp", Address.first)), .ask("github-mcp", api, as: "later"),
        .expect(.code(.NXDOMAIN)),
      ]),
  ]

  // MARK: - Permits

  static let permitting: [Scenario] = [
    Scenario(
      "what is permitted is answered, for no longer than the permit, and closed at its end",
      [
        .upstream(answers: status, [Address.first]), .ask("github-mcp", status), .expect(.code(.NXDOMAIN)),
        .permit("github-mcp", status, seconds: 60), .expect(.call(201)), .expect(.permits(1)),
        .ask("github-mcp", status, as: "then"), .expect(.answer([Address.first])), .expect(.ttl(60)),
        .advance(.seconds(59)), .expect(.open("github-mcp", Address.first)), .advance(.seconds(2)),
        .expect(.permits(0)), .expect(.closed("github-mcp", Address.first)), .expect(.events(.allowanceEnded, 1)),
        .ask("github-mcp", status, as: "later"), .expect(.code(.NXDOMAIN)),
      ]),
    Scenario(
      "a permit is one server's",
      [
        .permit("github-mcp", status, seconds: 60), .ask("db-tools", status), .expect(.code(.NXDOMAIN)),
        .expect(.questions(0)),
      ]),
    Scenario(
      "a permit that is withdrawn closes what it opened",
      [
        .upstream(answers: status, [Address.first]), .permit("github-mcp", status, seconds: 60),
        .ask("github-mcp", status), .withdraw("github-mcp"), .expect(.call(200)),
        .expect(.closed("github-mcp", Address.first)), .expect(.permits(0)), .ask("github-mcp", status, as: "later"),
        .expect(.code(.NXDOMAIN)),
      ]),
    Scenario(
      "a permit that cannot be recorded is not given",
      [
        .log(blocked: true), .permit("github-mcp", status, seconds: 60), .expect(.call(503)), .expect(.permits(0)),
        .log(blocked: false), .ask("github-mcp", status), .expect(.code(.NXDOMAIN)),
      ]),
    Scenario(
      "a permit is withdrawn although the log is blocked",
      [
        .upstream(answers: status, [Address.first]), .permit("github-mcp", status, seconds: 60),
        .ask("github-mcp", status), .log(blocked: true), .withdraw("github-mcp"), .expect(.call(200)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "a question that is in flight when its permit ends is not answered",
      [
        .upstream(answers: status, [Address.first]), .permit("github-mcp", status, seconds: 60),
        .advance(.seconds(58)), .upstream(.holds), .ask("github-mcp", status), .advance(.milliseconds(2_500)),
        .expect(.permits(0)), .upstream(.answers), .expect(.code(.SERVFAIL)), .expect(.done([])),
      ]),
    Scenario(
      "an address that is being opened when its permit ends is closed after it was opened",
      [
        .upstream(answers: status, [Address.first]), .permit("github-mcp", status, seconds: 60),
        .advance(.milliseconds(59_900)), .bridge(.busy), .ask("github-mcp", status), .advance(.milliseconds(200)),
        .expect(.code(.SERVFAIL)), .expect(.events(.interrupted, 1)), .bridge(.acknowledges), .expect(.permits(0)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "the kernel ends what a permit opened where the bridge stands still",
      [
        .upstream(answers: status, [Address.first], ttl: 3_000), .permit("github-mcp", status, seconds: 60),
        .ask("github-mcp", status), .bridge(.hangs), .advance(.seconds(61)), .ask("github-mcp", status, as: "later"),
        .expect(.code(.NXDOMAIN)), .expect(.open("github-mcp", Address.first)), .advance(.seconds(3)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "a clock that is set ahead ends a permit at once",
      [
        .upstream(answers: status, [Address.first]), .permit("github-mcp", status, seconds: 60),
        .ask("github-mcp", status), .setClock(by: 100), .advance(.milliseconds(10)), .expect(.permits(0)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "a clock that is set back prolongs no permit",
      [
        .upstream(answers: status, [Address.first]), .permit("github-mcp", status, seconds: 60),
        .ask("github-mcp", status), .setClock(by: -3_600), .advance(.seconds(59)), .expect(.permits(1)),
        .advance(.seconds(2)), .expect(.permits(0)), .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "a reload keeps what is permitted, and one without its server ends it",
      [
        .upstream(answers: status, [Address.first]), .permit("github-mcp", status, seconds: 600),
        .ask("github-mcp", status), .reload(withOther), .expect(.permits(1)),
        .expect(.open("github-mcp", Address.first)),
        .reload("server: other\nnetworks: [ 10.77.3.0/24 ]\negress: [ api.github.com ]\n"), .expect(.permits(0)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "a permit that is asked for while a reload is under way waits for it",
      [
        .upstream(answers: status, [Address.first]), .compilesAtOnce(false), .reload(withOther),
        .permit("github-mcp", status, seconds: 60), .expect(.calls(0)), .compile(), .expect(.reload(.inForce)),
        .compile(), .expect(.call(201)), .ask("github-mcp", status), .expect(.answer([Address.first])),
      ]),
  ]
}
