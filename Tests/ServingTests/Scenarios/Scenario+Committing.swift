import AuditLog
import DNSWire
import FirewallModel

extension Scenario {
  /// Names under a pattern, each with an address of its own.
  private static func names(_ count: Int, ttl: Int) -> [Step] {
    (0..<count).flatMap { number in
      let name = "n\(number).githubusercontent.com"
      return [
        Step.upstream(answers: name, ["140.82.122.\(number)"], ttl: ttl), .ask("github-mcp", name),
        .expect(.answer(["140.82.122.\(number)"])),
      ]
    }
  }

  private static let narrow = Setting(configuration: "firewall: { max-elements-per-server: 16 }")
  private static let last = "last.githubusercontent.com"

  static let committing: [Scenario] = [
    Scenario(
      "an answer waits for the bridge",
      [
        .upstream(answers: api, [Address.first]), .bridge(.busy), .ask("github-mcp", api),
        .advance(.milliseconds(200)), .expect(.noAnswer), .bridge(.acknowledges), .expect(.answer([Address.first])),
      ]),
    Scenario(
      "a commit that is late is a failure",
      [
        .upstream(answers: api, [Address.first]), .bridge(.busy), .ask("github-mcp", api),
        .advance(.milliseconds(260)), .expect(.code(.SERVFAIL)), .expect(.events(.firewallUnavailable, 1)),
      ]),
    Scenario(
      "a commit that is late is asked for again with the next question, and no answer is remembered for it",
      [
        .upstream(answers: api, [Address.first]), .bridge(.busy), .ask("github-mcp", api),
        .advance(.milliseconds(260)), .expect(.code(.SERVFAIL)), .bridge(.acknowledges),
        .ask("github-mcp", api, as: "later"), .expect(.answer([Address.first])), .expect(.questions(2)),
      ]),
    Scenario(
      "all who wait for a commit are told that it is late",
      [
        .upstream(answers: api, [Address.first]), .bridge(.busy), .ask("github-mcp", api, as: "a"),
        .advance(.milliseconds(100)), .ask("github-mcp", api, as: "b"), .advance(.milliseconds(160)),
        .expect(.code(.SERVFAIL), for: "a"), .expect(.code(.SERVFAIL), for: "b"),
      ]),
    Scenario(
      "the deadline of a server's commit is not another server's",
      [
        .upstream(answers: api, [Address.first]), .bridge(.busy), .ask("github-mcp", api, as: "a"),
        .advance(.milliseconds(150)), .ask("db-tools", api, as: "b"), .advance(.milliseconds(120)),
        .expect(.code(.SERVFAIL), for: "a"), .expect(.noAnswer, for: "b"), .bridge(.acknowledges),
        .expect(.answer([Address.first]), for: "b"),
      ]),
    Scenario(
      "a commit that is refused is a failure, and nothing is open",
      [
        .upstream(answers: api, [Address.first]), .bridge(.refuses(.failed)), .ask("github-mcp", api),
        .expect(.code(.SERVFAIL)), .expect(.events(.firewallUnavailable, 1)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "a commit that the files do not allow is a failure",
      [
        .upstream(answers: api, [Address.first]), .bridge(.refuses(.outside)), .ask("github-mcp", api),
        .expect(.code(.SERVFAIL)), .expect(.events(.firewallUnavailable, 1)),
      ]),
    Scenario(
      "a set that is full is told as such",
      [
        .upstream(answers: api, [Address.first]), .bridge(.refuses(.setFull)), .ask("github-mcp", api),
        .expect(.code(.SERVFAIL)), .expect(.events(.setFull, 1)), .expect(.events(.firewallUnavailable, 0)),
      ]),
    Scenario(
      "a refusal is not remembered",
      [
        .upstream(answers: api, [Address.first]), .bridge(.refuses(.failed)), .ask("github-mcp", api),
        .bridge(.acknowledges), .ask("github-mcp", api, as: "later"), .expect(.answer([Address.first])),
      ]),
    Scenario(
      "what comes while a batch is under way goes with the next, and both are answered",
      [
        .upstream(answers: api, [Address.first]), .upstream(answers: last, [Address.second]), .bridge(.busy),
        .ask("github-mcp", api), .ask("github-mcp", last), .ask("db-tools", api, as: "other"),
        .bridge(.acknowledges), .expect(.answer([Address.first]), for: api),
        .expect(.answer([Address.second]), for: last), .expect(.answer([Address.first]), for: "other"),
      ]),
    Scenario(
      "an answer whose commit was under way when the epoch ended is committed again before it leaves",
      [
        .upstream(answers: api, [Address.first]), .bridge(.hangs), .ask("github-mcp", api), .othersFlush(),
        .expect(.noAnswer), .bridge(.acknowledges), .expect(.answer([Address.first])),
        .expect(.done(["open \(Address.first)", "open \(Address.first)"])),
      ]),
    Scenario(
      "room is made before it is used", narrow,
      names(16, ttl: 1) + [
        .advance(.seconds(2)), .upstream(answers: last, [Address.first]), .ask("github-mcp", last),
        .expect(.answer([Address.first])),
        .expect(
          .done((0..<16).map { "open 140.82.122.\($0)" } + ["close 140.82.122.0", "open \(Address.first)"])),
      ]),
    Scenario(
      "what live answers promise gives no room", narrow,
      names(16, ttl: 300) + [
        .upstream(answers: last, [Address.first]), .ask("github-mcp", last), .expect(.code(.SERVFAIL)),
        .expect(.events(.setFull, 1)), .expect(.open("github-mcp", "140.82.122.0")),
        .upstream(answers: api, [Address.first]), .ask("db-tools", api), .expect(.answer([Address.first])),
      ]),
    Scenario(
      "what could not be closed to make room is closed when it can be", narrow,
      names(16, ttl: 1) + [
        .advance(.seconds(2)), .bridge(.fails), .upstream(answers: last, [Address.first]), .ask("github-mcp", last),
        .expect(.answer([Address.first])), .expect(.open("github-mcp", "140.82.122.0")), .bridge(.acknowledges),
        .advance(.milliseconds(1_100)), .expect(.closed("github-mcp", "140.82.122.0")),
        .expect(.open("github-mcp", Address.first)),
      ]),
    Scenario(
      "an address that carries connections stays open for as long as it does, up to its bound",
      Setting(configuration: "firewall: { keep-in-use: 2m }"),
      [
        .upstream(answers: api, [Address.first], ttl: 60), .upstream(answers: last, [Address.second], ttl: 60),
        .ask("github-mcp", api), .ask("github-mcp", last), .connects("github-mcp", Address.first),
        .advance(.seconds(100)), .expect(.open("github-mcp", Address.first)),
        .expect(.closed("github-mcp", Address.second)), .advance(.seconds(30)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
  ]

  // MARK: - Closing early

  static let closing: [Scenario] = [
    Scenario(
      "a flush closes what only the cache kept open, and the next question goes to upstream",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .flush("github-mcp"), .expect(.call(200)),
        .expect(.closed("github-mcp", Address.first)), .expect(.events(.cacheFlushed, 1)),
        .ask("github-mcp", api, as: "later"), .expect(.questions(2)), .expect(.answer([Address.first])),
      ]),
    Scenario(
      "a flush of one server leaves another's",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .ask("db-tools", api, as: "other"),
        .flush("github-mcp"), .expect(.closed("github-mcp", Address.first)),
        .expect(.open("db-tools", Address.first)), .ask("db-tools", api, as: "later"), .expect(.questions(2)),
      ]),
    Scenario(
      "a flush while upstream is asked ends the question, and what it answers opens nothing",
      [
        .upstream(answers: api, [Address.first]), .upstream(.holds), .ask("github-mcp", api), .flush("github-mcp"),
        .upstream(.answers), .expect(.code(.SERVFAIL)), .expect(.done([])),
      ]),
    Scenario(
      "a flush while the address is being opened ends the question, and the address is closed after it was opened",
      [
        .upstream(answers: api, [Address.first]), .bridge(.busy), .ask("github-mcp", api), .flush("github-mcp"),
        .expect(.code(.SERVFAIL)), .bridge(.acknowledges), .expect(.closed("github-mcp", Address.first)),
        .expect(.done(["open \(Address.first)", "close \(Address.first)"])), .expect(.call(200)),
      ]),
    Scenario(
      "who asks after a flush does not join a question from before it",
      [
        .upstream(answers: api, [Address.first]), .bridge(.busy), .ask("github-mcp", api, as: "before"),
        .flush("github-mcp"), .ask("github-mcp", api, as: "after"), .bridge(.acknowledges),
        .expect(.code(.SERVFAIL), for: "before"), .expect(.answer([Address.first]), for: "after"),
        .expect(.open("github-mcp", Address.first)),
      ]),
    Scenario(
      "an address that another name stands for stays open until that one is flushed too",
      [
        .upstream(answers: api, [Address.first]), .upstream(answers: last, [Address.first]),
        .ask("github-mcp", api), .ask("github-mcp", last), .flush("github-mcp", api),
        .expect(.open("github-mcp", Address.first)), .flush("github-mcp", last),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "an address that another name stands for ends with that one",
      [
        .upstream(answers: api, [Address.first], ttl: 3_000), .upstream(answers: last, [Address.first], ttl: 300),
        .ask("github-mcp", api), .ask("github-mcp", last), .flush("github-mcp", api), .advance(.seconds(300)),
        .expect(.open("github-mcp", Address.first)), .advance(.seconds(31)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "what the kernel would keep for too long is an incident until it does not",
      [
        .upstream(answers: api, [Address.first], ttl: 3_000), .upstream(answers: last, [Address.first], ttl: 300),
        .ask("github-mcp", api), .ask("github-mcp", last), .bridge(.refuses(.failed)), .flush("github-mcp", api),
        .expect(.degraded(true)), .expect(.event(.enforcementDegraded, "not-shortened")), .bridge(.acknowledges),
        .advance(.milliseconds(1_100)), .expect(.degraded(false)), .advance(.seconds(331)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "an address that is revoked is closed for every name that stands for it",
      [
        .upstream(answers: api, [Address.first]), .upstream(answers: last, [Address.first]),
        .ask("github-mcp", api), .ask("github-mcp", last), .revoke("github-mcp", address: Address.first),
        .expect(.closed("github-mcp", Address.first)), .ask("github-mcp", api, as: "later"), .expect(.questions(3)),
      ]),
    Scenario(
      "connections through a closed address are cut, and told",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .connects("github-mcp", Address.first),
        .flush("github-mcp"), .expect(.event(.revoked, "\"flows_cut\":1")),
      ]),
    Scenario(
      "what could not be closed is closed when it can be",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .bridge(.fails), .flush("github-mcp"),
        .expect(.open("github-mcp", Address.first)), .bridge(.acknowledges), .advance(.milliseconds(1_100)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "an address that becomes the host's own is closed, and its answer leaves the cache",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .hostHas(Address.first),
        .expect(.closed("github-mcp", Address.first)), .expect(.event(.revoked, "address-refused")),
        .ask("github-mcp", api, as: "later"), .expect(.nodata), .expect(.questions(2)),
      ]),
    Scenario(
      "an address that becomes the host's own while it is being opened is closed, and its answer does not leave",
      [
        .upstream(answers: api, [Address.first]), .bridge(.busy), .ask("github-mcp", api), .hostHas(Address.first),
        .bridge(.acknowledges), .expect(.nodata), .expect(.events(.answerNotPublic, 1)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
  ]
}
