import AuditLog
import DNSWire

/// Names that have upstreams of their own, and what their answers may hold. Upstream 0 is the general one.
extension Scenario {
  private static let wiki = "wiki.corp.example"
  private static let apex = "corp.example"
  private static let lab = "db.lab.corp.example"

  private static let policies = """
    server: github-mcp
    networks: [ 10.77.1.0/24 ]
    egress: [ api.github.com, corp.example, "**.corp.example", notcorp.example ]
    ---
    server: db-tools
    networks: [ 10.77.2.0/24 ]
    egress: [ api.github.com ]
    """

  private static func setting(_ forwards: String...) -> Setting {
    Setting(policies: policies, upstreams: 1 + forwards.count, forwards: forwards)
  }

  private static let corp = setting("zone: corp.example, private: [ 10.0.0.0/8 ]")
  private static let nested = setting("zone: corp.example", "zone: lab.corp.example")

  static let forwarding: [Scenario] = routing + admitting + changing + intercepting

  private static let routing: [Scenario] = [
    Scenario(
      "the apex of a zone and all below it go to the zone's upstream, every other name to the general one", corp,
      [
        .upstream(answers: wiki, [Address.first]), .upstream(answers: apex, [Address.second]),
        .upstream(answers: "a.b.corp.example", [Address.third]), .ask("github-mcp", wiki),
        .expect(.answer([Address.first])), .ask("github-mcp", apex), .expect(.answer([Address.second])),
        .ask("github-mcp", "a.b.corp.example"), .expect(.answer([Address.third])), .expect(.questionsTo(0, 0)),
        .expect(.questionsTo(1, 3)), .ask("github-mcp", api), .ask("github-mcp", "notcorp.example"),
        .expect(.questionsTo(0, 2)), .expect(.questionsTo(1, 3)),
      ]),
    Scenario(
      "the longest zone decides", nested,
      [
        .upstream(answers: lab, [Address.first]), .ask("github-mcp", lab), .ask("github-mcp", "lab.corp.example"),
        .ask("github-mcp", wiki), .expect(.questionsTo(0, 0)), .expect(.questionsTo(1, 1)),
        .expect(.questionsTo(2, 2)),
      ]),
    Scenario(
      "a dead zone is SERVFAIL with its upstream in the event, is asked of no other, and takes no other name along",
      corp,
      [
        .upstream(answers: wiki, [Address.first]), .upstream(answers: api, [Address.second]), .upstream(.silent, 1),
        .ask("github-mcp", wiki), .advance(.seconds(4)), .expect(.code(.SERVFAIL)), .expect(.questionsTo(0, 0)),
        .expect(.event(.upstreamUnreachable, "udp://127.0.0.1")), .ask("github-mcp", api),
        .expect(.answer([Address.second])), .readiness(), .expect(.call(200)), .look("status", nil),
        .expect(.body(#""zone":"corp.example""#)),
      ]),
    Scenario(
      "what a zone's upstream refuses is asked of no other", corp,
      [
        .upstream(answers: wiki, [Address.first]), .upstream(.fails(.REFUSED), 1), .ask("github-mcp", wiki),
        .expect(.code(.SERVFAIL)), .expect(.questionsTo(0, 0)), .expect(.events(.upstreamRefused, 1)),
      ]),
    Scenario(
      "what a zone's upstream knows no name for is asked of no other", corp,
      [.ask("github-mcp", wiki), .expect(.code(.NXDOMAIN)), .expect(.questionsTo(0, 0)), .expect(.questionsTo(1, 1))]),
    Scenario(
      "a chain is what one upstream says: names of the other side that it leads through are asked nowhere", corp,
      [
        .upstream(answers: api, [Address.first], alias: wiki), .ask("github-mcp", api),
        .expect(.answer([Address.first])), .expect(.questionsTo(1, 0)),
        .upstream(answers: wiki, [Address.second], alias: "cdn.example.net"), .ask("github-mcp", wiki),
        .expect(.answer([Address.second])), .expect(.questionsTo(0, 1)), .expect(.questionsTo(1, 1)),
      ]),
    Scenario(
      "explained is whom a name goes to", corp,
      [
        .look("explanation", "github-mcp", ["name": wiki]), .expect(.body(#""forward":"corp.example""#)),
        .expect(.body(#""private":["10.0.0.0/8"]"#)), .look("explanation", "github-mcp", ["name": api]),
        .expect(.body(#""upstreams":["udp:"#)),
      ]),
  ]

  private static let admitting: [Scenario] = [
    Scenario(
      "a zone's prefixes admit private addresses of its own names, and of no others", corp,
      [
        .upstream(answers: wiki, ["10.1.2.3"]), .upstream(answers: api, ["10.1.2.3"]),
        .upstream(answers: apex, ["192.168.1.1"]), .ask("github-mcp", wiki), .expect(.answer(["10.1.2.3"])),
        .expect(.open("github-mcp", "10.1.2.3")), .ask("github-mcp", api), .expect(.nodata),
        .expect(.events(.answerNotPublic, 1)), .ask("github-mcp", apex), .expect(.nodata),
      ]),
    Scenario(
      "never a neighbour's address, nor the host's own", corp,
      [
        .hostHas("10.9.9.9"), .upstream(answers: wiki, ["10.77.2.9"]), .ask("github-mcp", wiki), .expect(.nodata),
        .expect(.event(.answerNotPublic, "server-network")), .upstream(answers: apex, ["10.9.9.9"]),
        .ask("github-mcp", apex), .expect(.nodata), .expect(.event(.answerNotPublic, "host-address")),
      ]),
    Scenario(
      "a chain that leaves the zone takes nothing private along, wherever it ends", corp,
      [
        .upstream(answers: wiki, ["10.1.2.3"], alias: "app.example.net"), .ask("github-mcp", wiki), .expect(.nodata),
        .expect(.closed("github-mcp", "10.1.2.3")),
        .upstream(answers: apex, ["10.1.2.4"], alias: "www.corp.example"), .ask("github-mcp", apex),
        .expect(.answer(["10.1.2.4"])),
      ]),
    Scenario(
      "a name outside does not lead into the zone", corp,
      [
        .upstream(answers: api, ["10.1.2.3"], alias: wiki), .ask("github-mcp", api), .expect(.nodata),
        .expect(.closed("github-mcp", "10.1.2.3")),
      ]),
    Scenario(
      "what is private for a whole server, entries say otherwise, and others inherit",
      Setting(
        policies: """
          server: github-mcp
          networks: [ 10.77.1.0/24 ]
          private: [ 10.5.0.0/16 ]
          egress: [ api.github.com, { host: db.example.com, private: [ 10.6.0.0/16 ] } ]
          ---
          server: db-tools
          networks: [ 10.77.2.0/24 ]
          egress: [ api.github.com ]
          """),
      [
        .upstream(answers: api, ["10.5.0.1"]), .ask("github-mcp", api), .expect(.answer(["10.5.0.1"])),
        .ask("db-tools", api, as: "other"), .expect(.nodata), .upstream(answers: "db.example.com", ["10.5.0.1"]),
        .ask("github-mcp", "db.example.com"), .expect(.nodata),
      ]),
    Scenario(
      "what is private for all servers holds where a document says nothing of it",
      Setting(
        configuration: "private: [ 10.5.0.0/16 ]",
        policies: """
          server: github-mcp
          networks: [ 10.77.1.0/24 ]
          egress: [ api.github.com ]
          ---
          server: db-tools
          networks: [ 10.77.2.0/24 ]
          private: []
          egress: [ api.github.com ]
          """),
      [
        .upstream(answers: api, ["10.5.0.1"]), .ask("github-mcp", api), .expect(.answer(["10.5.0.1"])),
        .ask("db-tools", api, as: "other"), .expect(.nodata),
        .permit("github-mcp", "db.example.com", seconds: 60), .upstream(answers: "db.example.com", ["10.5.0.2"]),
        .ask("github-mcp", "db.example.com"), .expect(.answer(["10.5.0.2"])),
      ]),
  ]

  private static let changing: [Scenario] = [
    Scenario(
      "a reload turns a zone to its upstream: what is cached goes, and what is open stays until its end", corp,
      [
        .reload(forwards: []), .expect(.reload(.inForce)), .upstream(answers: wiki, [Address.first]),
        .ask("github-mcp", wiki), .expect(.questionsTo(0, 1)),
        .reload(forwards: ["zone: corp.example"]), .expect(.reload(.inForce)),
        .expect(.event(.policyReloaded, "forward")), .expect(.open("github-mcp", Address.first)),
        .ask("github-mcp", wiki, as: "again"), .expect(.answer([Address.first])), .expect(.questionsTo(0, 1)),
        .expect(.questionsTo(1, 1)),
      ]),
    Scenario(
      "a reload that narrows what a zone admits closes what it admitted", corp,
      [
        .upstream(answers: wiki, ["10.1.2.3"]), .ask("github-mcp", wiki), .expect(.open("github-mcp", "10.1.2.3")),
        .reload(forwards: ["zone: corp.example, private: [ 10.2.0.0/16 ]"]), .expect(.reload(.inForce)),
        .expect(.closed("github-mcp", "10.1.2.3")), .ask("github-mcp", wiki, as: "again"), .expect(.nodata),
      ]),
    Scenario(
      "a question in flight to an upstream that a reload takes away opens nothing, and is joined by none", corp,
      [
        .upstream(answers: wiki, [Address.first]), .upstream(.holds, 1), .ask("github-mcp", wiki),
        .reload(forwards: []), .expect(.reload(.inForce)), .ask("github-mcp", wiki, as: "after"),
        .expect(.answer([Address.first]), for: "after"), .expect(.questionsTo(0, 1)), .upstream(.answers, 1),
        .expect(.code(.SERVFAIL), for: wiki),
      ]),
    Scenario(
      "what no reload touched stays cached", corp,
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .reload(forwards: []),
        .ask("github-mcp", api, as: "again"), .expect(.answer([Address.first])), .expect(.questions(1)),
      ]),
  ]

  private static let names =
    "server: github-mcp\nnetworks: [ 10.77.1.0/24 ]\negress: [ \"*.example.com\", \"*.example.org\", api.github.com ]\n"
  private static let many = Setting(policies: names)

  /// Names that upstream answers from a proxy's network are asked, one after the other; of two domains, or of one.
  private static func asking(_ count: Int, ofOne: Bool = false) -> [Step] {
    var steps: [Step] = []
    for number in 1...count {
      let name = "n\(number).example.\(ofOne || number % 2 == 1 ? "com" : "org")"
      steps += [
        .upstream(answers: name, ["198.18.0.\(number)"], ttl: 60), .ask("github-mcp", name), .expect(.nodata),
      ]
    }
    return steps
  }

  /// The same with a public answer between them.
  private static var mixing: [Step] {
    var steps: [Step] = []
    for number in 1...9 {
      let (own, other) = ("n\(number).example.com", "p\(number).example.com")
      steps += [
        .upstream(answers: own, ["198.18.0.\(number)"]), .upstream(answers: other, [Address.first]),
        .ask("github-mcp", own), .ask("github-mcp", other),
      ]
    }
    return steps
  }

  private static let intercepting: [Scenario] = [
    Scenario(
      "an upstream that answers every name from a proxy's network is told once, not once for each name", many,
      asking(9) + told),
    Scenario("the line that it is told with mends it", many, asking(4) + mended),
    Scenario(
      "what the owner of one domain answers is said of no upstream", many,
      asking(9, ofOne: true) + [Step.expect(.events(.upstreamIntercepted, 0))]),
    Scenario(
      "private names among public ones are no such thing", many,
      mixing + [Step.expect(.events(.upstreamIntercepted, 0))]),
  ]

  private static let told: [Step] = [
    .expect(.events(.answerNotPublic, 9)), .expect(.events(.upstreamIntercepted, 1)),
    .expect(.event(.upstreamIntercepted, "private: [ 198.18.0.0/15 ]")), .look("status", nil),
    .expect(.body(#""intercepted":"198.18.0.0/15""#)), .upstream(answers: api, [Address.first]),
    .ask("github-mcp", api), .expect(.answer([Address.first])), .look("status", nil),
    .expect(.notBody("intercepted")),
  ]

  private static let mended: [Step] = [
    .expect(.events(.upstreamIntercepted, 1)), .reload(names + "private: [ 198.18.0.0/15 ]\n"),
    .expect(.reload(.inForce)), .ask("github-mcp", "n1.example.com", as: "mended"),
    .expect(.answer(["198.18.0.1"])), .look("status", nil), .expect(.notBody("intercepted")),
  ]
}
