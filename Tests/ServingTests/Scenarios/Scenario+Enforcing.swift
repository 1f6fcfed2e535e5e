import AuditLog
import DNSWire
import FirewallModel

extension Scenario {
  private static let user = "avatars.githubusercontent.com"
  private static let withOther =
    Setting.policies + "\n---\nserver: other\nnetworks: [ 10.77.3.0/24 ]\negress: [ api.github.com ]\n"
  private static let open: [Step] = [.upstream(answers: api, [Address.first]), .ask("github-mcp", api)]

  static let dying: [Scenario] = [
    Scenario(
      "a bridge that is gone ends serve, and nothing that is cached leaves any more",
      open + [
        .bridgeDies(), .expect(.failed(true)), .expect(.bridgeUp(false)), .expect(.degraded(true)),
        .ask("github-mcp", api, as: "later"), .expect(.code(.SERVFAIL)), .expect(.questions(1)),
      ]),
    Scenario(
      "a bridge that is gone while upstream is asked: the answer does not leave",
      [
        .upstream(answers: api, [Address.first]), .upstream(.holds), .ask("github-mcp", api), .bridgeDies(),
        .upstream(.answers), .expect(.code(.SERVFAIL)), .expect(.events(.firewallUnavailable, 1)),
      ]),
    Scenario(
      "a bridge that is gone while an address is being opened: the client is told at once",
      [
        .upstream(answers: api, [Address.first]), .bridge(.hangs), .ask("github-mcp", api),
        .ask("github-mcp", user), .bridgeDies(), .expect(.code(.SERVFAIL), for: api), .expect(.inFlight(0)),
      ]),
    Scenario(
      "a bridge that is gone while an address is being closed: the caller is told at once",
      open + [.bridge(.hangs), .flush("github-mcp"), .expect(.calls(0)), .bridgeDies(), .expect(.call(200))]),
    Scenario(
      "a bridge that is gone while a plan is on its way: the former policy stays",
      [
        .compilesAtOnce(false), .reload(withOther), .bridge(.hangs), .compile(), .expect(.reloadWaits),
        .bridgeDies(), .expect(.reload(.refused)), .expect(.failed(true)),
      ]),
    Scenario(
      "a bridge that is gone while it reads the files: the reload goes on",
      [
        .bridge(.hangs), .reload(Setting.policies), .expect(.reloadWaits), .bridgeDies(), .expect(.reload(.inForce)),
      ]),
    Scenario(
      "a bridge that is gone while everything is committed again: the incident stays",
      open + [
        .bridge(.hangs), .othersFlush(), .expect(.degraded(true)), .bridgeDies(), .advance(.seconds(3)),
        .expect(.degraded(true)), .expect(.failed(true)), .expect(.events(.enforcementRestored, 0)),
      ]),
    Scenario(
      "a bridge that is gone while sets are searched: the incident stays",
      open + [
        .bridge(.hangs), .othersOpen("github-mcp", Address.second), .bridgeDies(), .advance(.seconds(3)),
        .expect(.degraded(true)), .expect(.failed(true)), .expect(.events(.enforcementRestored, 0)),
      ]),
    Scenario(
      "a bridge that is gone when serve is to end keeps it no longer",
      [.bridge(.hangs), .stop(), .expect(.stopped(false)), .bridgeDies(), .expect(.stopped(true))]),
    Scenario(
      "a new worker: what is promised is committed again, and the incident is told and over",
      open + [
        .workerDies(), .expect(.degraded(false)), .expect(.event(.enforcementDegraded, "bridge-restarted")),
        .expect(.events(.enforcementRestored, 1)), .expect(.done(["open \(Address.first)", "open \(Address.first)"])),
        .expect(.failed(false)),
      ]),
    Scenario(
      "a new worker: nothing that is cached leaves before it is committed again",
      open + [
        .bridge(.busy), .workerDies(), .ask("github-mcp", api, as: "later"), .expect(.noAnswer),
        .bridge(.acknowledges), .expect(.answer([Address.first])), .expect(.questions(1)),
      ]),
    Scenario(
      "a new worker: what its predecessor took along is asked for again",
      [
        .upstream(answers: api, [Address.first]), .bridge(.busy), .ask("github-mcp", api),
        .workerDies(losing: true), .expect(.noAnswer), .bridge(.acknowledges), .expect(.answer([Address.first])),
      ]),
    Scenario(
      "a new worker: what its predecessor left is done twice, and no disorder",
      [
        .upstream(answers: api, [Address.first]), .bridge(.busy), .ask("github-mcp", api), .workerDies(),
        .bridge(.acknowledges), .expect(.answer([Address.first])), .expect(.events(.enforcementDegraded, 1)),
        .expect(.degraded(false)),
      ]),
    Scenario(
      "a new worker: a revocation that its predecessor took along is asked for again",
      open + [
        .bridge(.busy), .flush("github-mcp"), .workerDies(losing: true), .expect(.open("github-mcp", Address.first)),
        .bridge(.acknowledges), .expect(.closed("github-mcp", Address.first)), .expect(.call(200)),
      ]),
    Scenario(
      "a new worker: a plan that its predecessor took along is installed",
      [
        .compilesAtOnce(false), .reload(withOther), .bridge(.busy), .compile(), .workerDies(losing: true),
        .expect(.reloadWaits), .bridge(.acknowledges), .expect(.reload(.inForce)),
        .upstream(answers: api, [Address.first]), .ask("other", api), .expect(.open("other", Address.first)),
      ]),
    Scenario(
      "a new worker: a commit whose deadline is over is not asked for again",
      [
        .upstream(answers: api, [Address.first]), .bridge(.hangs), .ask("github-mcp", api),
        .advance(.milliseconds(260)), .expect(.code(.SERVFAIL)), .workerDies(losing: true), .bridge(.acknowledges),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "a worker that is replaced again and again is one incident",
      open + [
        .bridge(.busy), .workerDies(), .workerDies(), .workerDies(), .bridge(.acknowledges), .advance(.seconds(1)),
        .expect(.degraded(false)), .expect(.events(.enforcementDegraded, 1)),
        .expect(.event(.enforcementRestored, "\"disturbances\":3")),
      ]),
    Scenario(
      "a bridge that stands still is silent, nothing leaves the caches, and it is over when it is heard",
      open + [
        .bridge(.hangs), .advance(.milliseconds(2_100)), .expect(.bridgeUp(false)),
        .expect(.event(.enforcementDegraded, "bridge-silent")), .ask("github-mcp", api, as: "meanwhile"),
        .expect(.code(.SERVFAIL)), .bridge(.acknowledges), .advance(.milliseconds(100)), .expect(.bridgeUp(true)),
        .expect(.degraded(false)), .ask("github-mcp", api, as: "later"), .expect(.answer([Address.first])),
        .expect(.failed(false)),
      ]),
    Scenario(
      "a bridge that holds a batch for too long is silent sooner",
      [
        .upstream(answers: api, [Address.first]), .bridge(.hangs), .ask("github-mcp", api),
        .advance(.milliseconds(900)), .expect(.code(.SERVFAIL)), .expect(.bridgeUp(false)),
      ]),
    Scenario(
      "a bridge that shows that it runs is not silent",
      [
        .upstream(answers: api, [Address.first]), .bridge(.busy), .ask("github-mcp", api), .advance(.seconds(5)),
        .expect(.bridgeUp(true)), .expect(.degraded(false)),
      ]),
    Scenario(
      "a bridge that is silent for fifteen seconds is gone",
      [
        .bridge(.hangs), .advance(.seconds(14)), .expect(.failed(false)), .advance(.seconds(4)),
        .expect(.failed(true)),
      ]),
    Scenario(
      "a bridge that cannot feed is down until it greets",
      open + [
        .bridge(says: .broken(incarnation: 1, text: "no nft")), .expect(.bridgeUp(false)), .expect(.degraded(true)),
        .expect(.failed(false)), .workerDies(), .expect(.bridgeUp(true)), .advance(.milliseconds(100)),
        .expect(.degraded(false)),
      ]),
  ]

  // MARK: - Others

  static let disturbing: [Scenario] = [
    Scenario(
      "what others take out is committed again before anything leaves",
      open + [
        .bridge(.busy), .othersFlush(), .ask("github-mcp", api, as: "later"), .expect(.noAnswer),
        .bridge(.acknowledges), .expect(.answer([Address.first])), .expect(.open("github-mcp", Address.first)),
        .expect(.degraded(false)), .expect(.event(.enforcementDegraded, "elements-removed")),
      ]),
    Scenario(
      "what is promised is open again without being asked for",
      open + [.othersFlush(), .expect(.open("github-mcp", Address.first)), .expect(.degraded(false))]),
    Scenario(
      "what is over is not committed again",
      [
        .upstream(answers: api, [Address.first], ttl: 5), .ask("github-mcp", api), .advance(.seconds(61)),
        .othersFlush(), .expect(.done(["open \(Address.first)"])), .expect(.degraded(false)),
      ]),
    Scenario(
      "what was flushed meanwhile is not committed again",
      open + [
        .bridge(.busy), .othersFlush(), .flush("github-mcp"), .bridge(.acknowledges), .advance(.milliseconds(1_100)),
        .expect(.closed("github-mcp", Address.first)), .expect(.degraded(false)),
      ]),
    Scenario(
      "what others open is closed",
      open + [
        .othersOpen("github-mcp", Address.second), .expect(.closed("github-mcp", Address.second)),
        .expect(.open("github-mcp", Address.first)), .expect(.event(.enforcementDegraded, "elements-added")),
        .advance(.milliseconds(100)), .expect(.degraded(false)),
      ]),
    Scenario(
      "what others open is closed when the sets can be read",
      open + [
        .bridge(.fails), .othersOpen("github-mcp", Address.second), .expect(.open("github-mcp", Address.second)),
        .expect(.degraded(true)), .bridge(.acknowledges), .advance(.milliseconds(1_100)),
        .expect(.closed("github-mcp", Address.second)), .expect(.degraded(false)),
      ]),
    Scenario(
      "a table that others remove is an incident until it is put back and filled",
      open + [
        .othersFlush(.tableRemoved), .expect(.degraded(true)), .advance(.seconds(1)), .expect(.degraded(true)),
        .bridge(says: .foreignChange(.reinstalled, servers: [])), .advance(.milliseconds(100)),
        .expect(.degraded(false)), .expect(.open("github-mcp", Address.first)),
        .expect(.event(.enforcementRestored, "table-removed")),
      ]),
    Scenario(
      "an incident lasts until what is promised is committed again",
      open + [
        .bridge(.refuses(.failed)), .othersFlush(), .advance(.seconds(3)), .expect(.degraded(true)),
        .bridge(.acknowledges), .advance(.milliseconds(1_100)), .expect(.degraded(false)),
        .expect(.open("github-mcp", Address.first)), .expect(.events(.enforcementDegraded, 1)),
      ]),
    Scenario(
      "an alarm that nothing follows costs cached answers a commit, and is no incident",
      open + [
        .bridge(.busy), .bridge(says: .alarm), .ask("github-mcp", api, as: "later"), .expect(.noAnswer),
        .bridge(.acknowledges), .expect(.answer([Address.first])), .expect(.events(.enforcementDegraded, 0)),
      ]),
    Scenario(
      "what an earlier run opened stays open where policy and journal have it, and is closed where not",
      Setting(
        earlier: [(0, Address.first, 200), (0, Address.second, 200), (1, Address.third, 200)],
        journal: [("github-mcp", api, Address.first), ("db-tools", "gone.example.com", Address.third)]),
      [
        .expect(.open("github-mcp", Address.first)), .expect(.closed("github-mcp", Address.second)),
        .expect(.closed("db-tools", Address.third)), .othersFlush(), .expect(.open("github-mcp", Address.first)),
      ]),
  ]

  // MARK: - Order

  private static let uncut = Setting(configuration: "firewall: { cut-flows: off }")

  static let ordering: [Scenario] = [
    Scenario(
      "an opening that is done after the revocation that came after it is noticed, and closed",
      [
        .upstream(answers: api, [Address.first]), .bridge(.hangs), .ask("github-mcp", api), .flush("github-mcp"),
        .bridge(.backwards), .advance(.milliseconds(100)), .expect(.closed("github-mcp", Address.first)),
        .expect(.event(.enforcementDegraded, "bridge-disordered")), .expect(.degraded(false)),
      ]),
    Scenario(
      "an opening that is done before the revocation that came before it is noticed, and done again before its answer leaves",
      uncut,
      open + [
        .bridge(.hangs), .flush("github-mcp"), .ask("github-mcp", api, as: "later"), .bridge(.backwards),
        .expect(.answer([Address.first])), .expect(.open("github-mcp", Address.first)),
        .expect(.event(.enforcementDegraded, "bridge-disordered")), .advance(.milliseconds(100)),
        .expect(.degraded(false)),
      ]),
    Scenario(
      "a search that ends before what was asked before it is no search",
      [
        .upstream(answers: api, [Address.first]), .bridge(.hangs), .ask("github-mcp", api),
        .othersOpen("db-tools", Address.second), .bridge(.backwards), .advance(.milliseconds(100)),
        .expect(.answer([Address.first])), .expect(.closed("db-tools", Address.second)), .expect(.degraded(false)),
        .expect(.event(.enforcementRestored, "elements-added")),
      ]),
    Scenario(
      "an acknowledgement that was not asked for is an incident, and what is promised is committed again",
      open + [
        .bridge(says: .outcome(batch: 99, refused: [])), .advance(.milliseconds(100)), .expect(.degraded(false)),
        .expect(.event(.enforcementDegraded, "bridge-disordered")),
        .expect(.done(["open \(Address.first)", "open \(Address.first)"])),
      ]),
    Scenario(
      "an acknowledgement that comes twice is an incident",
      open + [
        .bridge(says: .outcome(batch: 1, refused: [])), .expect(.events(.enforcementDegraded, 1)),
        .advance(.milliseconds(100)), .expect(.degraded(false)),
      ]),
    Scenario(
      "an acknowledgement for another batch gives no client an answer",
      [
        .upstream(answers: api, [Address.first]), .bridge(.hangs), .ask("github-mcp", api),
        .bridge(says: .outcome(batch: 99, refused: [])), .expect(.noAnswer), .bridge(.acknowledges),
        .expect(.answer([Address.first])),
      ]),
    Scenario(
      "connections take their time to be cut, and that is no disorder",
      open + [
        .upstream(answers: user, [Address.second]), .bridge(.hangs), .flush("github-mcp"), .ask("github-mcp", user),
        .bridge(.cutsLate), .expect(.answer([Address.second])), .expect(.call(200)),
        .expect(.events(.enforcementDegraded, 0)),
      ]),
    Scenario(
      "everything that serve asks of a bridge that does it in order is acknowledged, and nothing is an incident",
      open + [
        .bridge(.busy), .ask("db-tools", api, as: "other"), .flush("github-mcp"), .ask("github-mcp", api, as: "again"),
        .reload(withOther), .bridge(.acknowledges), .expect(.reload(.inForce)),
        .expect(.answer([Address.first]), for: "again"), .expect(.events(.enforcementDegraded, 0)),
      ]),
  ]
}
