import AuditLog
import DNSWire

/// Addresses that `ForbiddenAddresses` admits.
enum Address {
  static let first = "140.82.121.5"
  static let second = "140.82.121.6"
  static let third = "140.82.121.7"
}

extension Scenario {
  static let api = "api.github.com"

  static let resolving: [Scenario] = [
    Scenario(
      "an answer leaves when its address is open",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .expect(.answer([Address.first])),
        .expect(.ttl(300)), .expect(.open("github-mcp", Address.first)), .expect(.events(.granted, 1)),
        .expect(.done(["open \(Address.first)"])),
      ]),
    Scenario(
      "an address is open for the server that asked, and for no other",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api),
        .expect(.open("github-mcp", Address.first)), .expect(.closed("db-tools", Address.first)),
      ]),
    Scenario(
      "all addresses of an answer are open before it leaves",
      [
        .upstream(answers: api, [Address.first, Address.second]), .bridge(.busy), .ask("github-mcp", api),
        .expect(.noAnswer), .bridge(.acknowledges), .expect(.answer([Address.first, Address.second])),
        .expect(.open("github-mcp", Address.first)), .expect(.open("github-mcp", Address.second)),
      ]),
    Scenario(
      "a second client is answered from the cache, without upstream and bridge",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .ask("github-mcp", api, as: "second"),
        .expect(.answer([Address.first])), .expect(.questions(1)), .expect(.done(["open \(Address.first)"])),
      ]),
    Scenario(
      "a cache is one server's alone",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .bridge(.busy),
        .ask("db-tools", api, as: "other"), .expect(.noAnswer), .expect(.questions(2)),
        .bridge(.acknowledges), .expect(.answer([Address.first])), .expect(.open("db-tools", Address.first)),
      ]),
    Scenario(
      "the TTL of a cached answer is what is left of it",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .advance(.seconds(100)),
        .ask("github-mcp", api, as: "later"), .expect(.ttl(200)), .expect(.questions(1)),
      ]),
    Scenario(
      "an answer whose TTL is over is asked for again",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .advance(.seconds(301)),
        .ask("github-mcp", api, as: "later"), .expect(.ttl(300)), .expect(.questions(2)),
        .expect(.open("github-mcp", Address.first)),
      ]),
    Scenario(
      "an address closes by itself when TTL and grace are over, and not before",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .advance(.seconds(320)),
        .expect(.open("github-mcp", Address.first)), .advance(.seconds(11)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "an address stays open for min-lifetime at least, and its answer no longer than its TTL",
      [
        .upstream(answers: api, [Address.first], ttl: 5), .ask("github-mcp", api), .advance(.seconds(50)),
        .expect(.open("github-mcp", Address.first)), .ask("github-mcp", api, as: "later"), .expect(.questions(2)),
        .advance(.seconds(61)), .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "no TTL is longer than its address stays open",
      [
        .upstream(answers: api, [Address.first], ttl: 86_400), .ask("github-mcp", api), .expect(.ttl(3_600)),
        .advance(.seconds(3_590)), .expect(.open("github-mcp", Address.first)), .advance(.seconds(11)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "an answer without a TTL is no cache's",
      [
        .upstream(answers: api, [Address.first], ttl: 0), .ask("github-mcp", api),
        .ask("github-mcp", api, as: "second"), .expect(.answer([Address.first])), .expect(.questions(2)),
      ]),
    Scenario(
      "other addresses of a name open, and the former ones close at their own end",
      [
        .upstream(answers: api, [Address.first], ttl: 60), .ask("github-mcp", api), .advance(.seconds(61)),
        .upstream(answers: api, [Address.second], ttl: 60), .ask("github-mcp", api, as: "later"),
        .expect(.answer([Address.second])), .expect(.open("github-mcp", Address.first)), .advance(.seconds(30)),
        .expect(.closed("github-mcp", Address.first)), .expect(.open("github-mcp", Address.second)),
      ]),
    Scenario(
      "a name that policy does not list is asked of no upstream",
      [
        .upstream(answers: "evil.example.org", [Address.first]), .ask("github-mcp", "evil.example.org"),
        .expect(.code(.NXDOMAIN)), .expect(.questions(0)), .expect(.events(.notListed, 1)), .expect(.done([])),
      ]),
    Scenario(
      "a name that is listed for another server is asked of no upstream",
      [.ask("github-mcp", "db.example.com"), .expect(.code(.NXDOMAIN)), .expect(.questions(0))]),
    Scenario(
      "a name that does not exist opens nothing, and is remembered",
      [
        .ask("github-mcp", api), .expect(.code(.NXDOMAIN)), .ask("github-mcp", api, as: "second"),
        .expect(.code(.NXDOMAIN)), .expect(.questions(1)), .expect(.done([])),
      ]),
    Scenario(
      "what an alias leads to is open for the name that was asked for",
      [
        .upstream(answers: api, [Address.first], alias: "glb.github.com"), .ask("github-mcp", api),
        .expect(.answer([Address.first])), .expect(.event(.granted, "glb.github.com")),
        .ask("github-mcp", "glb.github.com"), .expect(.code(.NXDOMAIN)),
      ]),
    Scenario(
      "IPv6 addresses are opened like others",
      [
        .upstream(answers: api, ["2606:50c0:8000::154"]), .ask("github-mcp", api, .AAAA),
        .expect(.answer(["2606:50c0:8000::154"])), .expect(.open("github-mcp", "2606:50c0:8000::154")),
      ]),
    Scenario(
      "an address of the inside is neither opened nor answered",
      [
        .upstream(answers: api, ["10.0.0.5"]), .ask("github-mcp", api), .expect(.nodata),
        .expect(.events(.answerNotPublic, 1)), .expect(.done([])),
      ]),
    Scenario(
      "while the log is blocked nothing is asked and nothing opened",
      [
        .upstream(answers: api, [Address.first]), .log(blocked: true), .ask("github-mcp", api),
        .expect(.code(.SERVFAIL)), .expect(.questions(0)), .log(blocked: false),
        .ask("github-mcp", api, as: "later"), .expect(.answer([Address.first])),
      ]),
    Scenario(
      "an answer that cannot be recorded does not leave, nor from the cache",
      [
        .upstream(answers: api, [Address.first]), .upstream(.holds), .ask("github-mcp", api), .log(blocked: true),
        .upstream(.answers), .expect(.code(.SERVFAIL)), .expect(.events(.granted, 0)), .log(blocked: false),
        .ask("github-mcp", api, as: "later"), .expect(.questions(2)), .expect(.answer([Address.first])),
      ]),
    Scenario(
      "who asks while serve ends is answered, and serve ends then",
      [
        .upstream(answers: api, [Address.first]), .upstream(.holds), .ask("github-mcp", api), .stop(),
        .expect(.stopped(false)), .upstream(.answers), .expect(.answer([Address.first])), .expect(.stopped(true)),
      ]),
    Scenario(
      "who asks after serve was to end is turned away",
      [
        .upstream(answers: api, [Address.first]), .upstream(.holds), .ask("github-mcp", api), .stop(),
        .ask("db-tools", api, as: "late"), .expect(.code(.SERVFAIL)), .expect(.events(.interrupted, 1)),
        .expect(.events(.notListed, 0)), .expect(.noAnswer, for: api),
        .upstream(.answers), .expect(.answer([Address.first]), for: api),
      ]),
    Scenario(
      "serve ends although its bridge says nothing",
      [
        .bridge(.hangs), .stop(), .expect(.stopped(false)), .advance(.milliseconds(1_100)), .expect(.stopped(true)),
      ]),
  ]

  // MARK: - Upstreams

  private static let two = Setting(upstreams: 2)

  static let failingOver: [Scenario] = [
    Scenario(
      "questions for one name and type that are in flight are one, and all who asked are answered",
      [
        .upstream(answers: api, [Address.first]), .upstream(.holds), .ask("github-mcp", api, as: "a"),
        .ask("github-mcp", api, as: "b"), .ask("github-mcp", api, as: "c"), .expect(.questions(1)),
        .expect(.inFlight(1)), .upstream(.answers), .expect(.answer([Address.first]), for: "a"),
        .expect(.answer([Address.first]), for: "b"), .expect(.answer([Address.first]), for: "c"),
        .expect(.done(["open \(Address.first)"])), .expect(.events(.granted, 1)),
      ]),
    Scenario(
      "two servers that ask for one name share the question and nothing else",
      [
        .upstream(answers: api, [Address.first]), .upstream(.holds), .ask("github-mcp", api, as: "a"),
        .ask("db-tools", api, as: "b"), .expect(.questions(1)), .expect(.inFlight(2)), .upstream(.answers),
        .expect(.answer([Address.first]), for: "a"), .expect(.answer([Address.first]), for: "b"),
        .expect(.open("github-mcp", Address.first)), .expect(.open("db-tools", Address.first)),
      ]),
    Scenario(
      "A and AAAA are two questions",
      [
        .upstream(.holds), .ask("github-mcp", api, as: "a"), .ask("github-mcp", api, .AAAA, as: "b"),
        .expect(.questions(2)), .expect(.inFlight(2)),
      ]),
    Scenario(
      "who asks while the address is being opened waits for it too, and asks no upstream",
      [
        .upstream(answers: api, [Address.first]), .bridge(.busy), .ask("github-mcp", api, as: "a"),
        .ask("github-mcp", api, as: "b"), .expect(.noAnswer, for: "a"), .expect(.noAnswer, for: "b"),
        .expect(.questions(1)), .bridge(.acknowledges), .expect(.answer([Address.first]), for: "a"),
        .expect(.answer([Address.first]), for: "b"), .expect(.done(["open \(Address.first)"])),
      ]),
    Scenario(
      "all who wait for one answer are told of its failure",
      [
        .upstream(.holds), .ask("github-mcp", api, as: "a"), .ask("github-mcp", api, as: "b"),
        .upstream(.fails(.SERVFAIL)), .expect(.code(.SERVFAIL), for: "a"), .expect(.code(.SERVFAIL), for: "b"),
        .expect(.events(.upstreamRefused, 2)), .expect(.inFlight(0)),
      ]),
    Scenario(
      "an upstream that says nothing costs one wait, and the other one answers", two,
      [
        .upstream(answers: api, [Address.first]), .upstream(.silent, 0), .ask("github-mcp", api),
        .advance(.milliseconds(650)), .expect(.noAnswer), .expect(.questionsTo(1, 0)), .advance(.milliseconds(60)),
        .expect(.answer([Address.first])), .expect(.questionsTo(0, 1)), .expect(.questionsTo(1, 1)),
      ]),
    Scenario(
      "an upstream that said nothing is asked after the other one", two,
      [
        .upstream(answers: api, [Address.first]), .upstream(.silent, 0), .ask("github-mcp", api),
        .advance(.milliseconds(710)), .expect(.answer([Address.first])), .ask("github-mcp", "a.githubusercontent.com"),
        .expect(.code(.NXDOMAIN)), .expect(.questionsTo(0, 1)), .expect(.questionsTo(1, 2)),
      ]),
    Scenario(
      "an upstream that fails costs no wait", two,
      [
        .upstream(answers: api, [Address.first]), .upstream(.fails(.SERVFAIL), 0), .ask("github-mcp", api),
        .expect(.answer([Address.first])), .expect(.questionsTo(0, 1)), .expect(.questionsTo(1, 1)),
      ]),
    Scenario(
      "that a name does not exist is an answer, and no other upstream is asked", two,
      [.ask("github-mcp", api), .expect(.code(.NXDOMAIN)), .expect(.questionsTo(1, 0))]),
    Scenario(
      "an answer with another id is none", two,
      [
        .upstream(answers: api, [Address.first]), .upstream(.forges, 0), .ask("github-mcp", api), .expect(.noAnswer),
        .expect(.done([])), .advance(.milliseconds(710)), .expect(.answer([Address.first])),
        .expect(.questionsTo(1, 1)),
      ]),
    Scenario(
      "where no upstream answers the client is told after three and a half seconds", two,
      [
        .upstream(.silent, 0), .upstream(.silent, 1), .ask("github-mcp", api), .advance(.milliseconds(3_400)),
        .expect(.noAnswer), .advance(.milliseconds(150)), .expect(.code(.SERVFAIL)),
        .expect(.events(.upstreamUnreachable, 1)),
      ]),
    Scenario(
      "a failure is remembered for five seconds",
      [
        .upstream(answers: api, [Address.first]), .upstream(.fails(.SERVFAIL)), .ask("github-mcp", api),
        .expect(.code(.SERVFAIL)), .upstream(.answers), .ask("github-mcp", api, as: "soon"),
        .expect(.code(.SERVFAIL)), .expect(.questions(1)), .advance(.seconds(6)), .ask("github-mcp", api, as: "later"),
        .expect(.answer([Address.first])),
      ]),
    Scenario(
      "an answer that comes when the client was told already opens nothing",
      [
        .upstream(answers: api, [Address.first]), .upstream(.holds), .ask("github-mcp", api), .advance(.seconds(4)),
        .expect(.code(.SERVFAIL)), .upstream(.answers), .expect(.done([])), .expect(.inFlight(0)),
      ]),
    Scenario(
      "what is cached is answered while no upstream is there",
      [
        .upstream(answers: api, [Address.first]), .ask("github-mcp", api), .upstream(.silent),
        .ask("github-mcp", api, as: "later"), .expect(.answer([Address.first])),
      ]),
  ]
}
