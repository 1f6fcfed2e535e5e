import AuditLog
import DNSWire

/// What clients see of upstreams that fail, answers that end, and clocks that jump.
extension Scenario {
  static let resilient: [Scenario] = prefetching + stale + jumping

  private static let answers: Step = .upstream(answers: api, [Address.first])
  private static let withoutAPI = """
    server: github-mcp
    networks: [ 10.77.1.0/24 ]
    egress: [ "*.githubusercontent.com" ]
    """

  private static let prefetching: [Scenario] = [
    Scenario(
      "an answer that is asked for in the last tenth of its time is asked for anew, once, and no client waits for that",
      [
        answers, .ask("github-mcp", api), .advance(.seconds(269)), .ask("github-mcp", api, as: "before"),
        .expect(.questions(1)), .advance(.seconds(2)), .upstream(answers: api, [Address.second]), .upstream(.holds),
        .ask("github-mcp", api, as: "in it"), .expect(.answer([Address.first])), .expect(.questions(2)),
        .ask("github-mcp", api, as: "again"), .expect(.answer([Address.first])), .expect(.questions(2)),
        .upstream(.answers), .expect(.open("github-mcp", Address.second)), .expect(.events(.granted, 2)),
        .advance(.seconds(60)), .ask("github-mcp", api, as: "after"), .expect(.answer([Address.second])),
        .expect(.questions(2)),
      ]),
    Scenario(
      "a name that nobody asks for ends",
      [
        answers, .ask("github-mcp", api), .advance(.seconds(331)), .expect(.questions(1)),
        .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "where an answer cannot be had anew, the one that is there holds until its end, and nothing is told",
      [
        answers, .ask("github-mcp", api), .advance(.seconds(280)), .upstream(.fails(.SERVFAIL)),
        .ask("github-mcp", api, as: "in it"), .expect(.answer([Address.first])), .expect(.questions(2)),
        .ask("github-mcp", api, as: "again"), .expect(.answer([Address.first])), .expect(.questions(2)),
        .expect(.events(.upstreamRefused, 0)), .expect(.inFlight(0)), .advance(.seconds(21)),
        .ask("github-mcp", api, as: "after"), .expect(.code(.SERVFAIL)), .expect(.events(.upstreamRefused, 1)),
      ]),
    Scenario(
      "what a reload takes off the list is not asked for anew",
      [
        answers, .ask("github-mcp", api), .advance(.seconds(280)), .upstream(.holds),
        .ask("github-mcp", api, as: "in it"), .expect(.questions(2)), .reload(withoutAPI),
        .expect(.closed("github-mcp", Address.first)), .upstream(.answers), .expect(.inFlight(0)),
        .expect(.closed("github-mcp", Address.first)), .ask("github-mcp", api, as: "after"),
        .expect(.code(.NXDOMAIN)),
      ]),
    Scenario(
      "a client that asks after the end waits for what is on its way",
      [
        answers, .ask("github-mcp", api), .advance(.milliseconds(299_800)), .upstream(.holds),
        .ask("github-mcp", api, as: "in it"), .advance(.milliseconds(400)), .ask("github-mcp", api, as: "after"),
        .expect(.noAnswer), .expect(.questions(2)), .upstream(.answers),
        .expect(.answer([Address.first]), for: "after"),
      ]),
    Scenario(
      "an answer of less than ten seconds is not asked for anew",
      [
        .upstream(answers: api, [Address.first], ttl: 9), .ask("github-mcp", api), .advance(.milliseconds(8_900)),
        .ask("github-mcp", api, as: "at its end"), .expect(.answer([Address.first])), .expect(.questions(1)),
      ]),
    Scenario(
      "with `prefetch: off` none is",
      Setting(configuration: "cache: { prefetch: off }"),
      [
        answers, .ask("github-mcp", api), .advance(.seconds(299)), .ask("github-mcp", api, as: "in it"),
        .expect(.questions(1)),
      ]),
  ]

  private static func staleFor(_ time: String) -> Setting {
    Setting(configuration: "serve-stale: { max-stale: \(time) }")
  }

  private static let stale: [Scenario] = [
    Scenario(
      "where no upstream answers, the answer from before is given while its address is open, told each time",
      staleFor("1h"),
      [
        answers, .ask("github-mcp", api), .advance(.seconds(301)), .upstream(.fails(.SERVFAIL)),
        .ask("github-mcp", api, as: "stale"), .expect(.answer([Address.first])),
        .expect(.error(3, "github-mcp: answered-stale")), .expect(.events(.answeredStale, 1)),
        .expect(.event(.answeredStale, #""upstream_rcode":"SERVFAIL","cause":"upstream-refused""#)),
        .expect(.events(.upstreamRefused, 0)), .expect(.questions(2)), .ask("github-mcp", api, as: "again"),
        .expect(.answer([Address.first])), .expect(.questions(2)), .expect(.events(.answeredStale, 2)),
        .expect(.done(["open \(Address.first)"])), .advance(.seconds(30)), .ask("github-mcp", api, as: "closed"),
        .expect(.code(.SERVFAIL)), .expect(.closed("github-mcp", Address.first)),
      ]),
    Scenario(
      "who waits is given it after 1.8 s, and what upstream says later is for those who ask next", staleFor("1h"),
      [
        answers, .ask("github-mcp", api), .advance(.seconds(301)), .upstream(answers: api, [Address.second]),
        .upstream(.slow(2_500)), .ask("github-mcp", api, as: "first"), .advance(.milliseconds(900)),
        .ask("github-mcp", api, as: "second"), .advance(.milliseconds(850)), .expect(.noAnswer, for: "first"),
        .advance(.milliseconds(100)), .expect(.answer([Address.first]), for: "first"),
        .expect(.answer([Address.first]), for: "second"), .expect(.error(3, "github-mcp: answered-stale")),
        .expect(.events(.answeredStale, 2)), .expect(.event(.answeredStale, #""cause":"late""#)), .expect(.inFlight(1)),
        .expect(.closed("github-mcp", Address.second)), .advance(.seconds(1)), .expect(.inFlight(0)),
        .expect(.open("github-mcp", Address.second)), .ask("github-mcp", api, as: "next"),
        .expect(.answer([Address.second])), .expect(.events(.answeredStale, 2)),
      ]),
    Scenario(
      "where what upstream says later is refused, that is told, and what was said before is not given on",
      staleFor("1h"),
      [
        answers, .ask("github-mcp", api), .advance(.seconds(301)), .upstream(answers: api, ["10.0.0.1"]),
        .upstream(.slow(2_500)), .ask("github-mcp", api, as: "waits"), .advance(.milliseconds(1_900)),
        .expect(.answer([Address.first])), .expect(.events(.answerNotPublic, 0)), .advance(.seconds(1)),
        .expect(.inFlight(0)), .expect(.events(.answerNotPublic, 1)), .ask("github-mcp", api, as: "next"),
        .expect(.nodata), .expect(.error(15, "github-mcp: answer-not-public")), .expect(.events(.answeredStale, 1)),
      ]),
    Scenario(
      "where upstream does not answer after that either, it stays, and nothing else is told", staleFor("1h"),
      [
        answers, .ask("github-mcp", api), .advance(.seconds(301)), .upstream(.silent),
        .ask("github-mcp", api, as: "stale"), .advance(.seconds(4)), .expect(.answer([Address.first])),
        .expect(.inFlight(0)), .expect(.events(.upstreamUnreachable, 0)), .ask("github-mcp", api, as: "again"),
        .expect(.answer([Address.first])), .expect(.events(.answeredStale, 2)),
      ]),
    Scenario(
      "what a reload takes off the list meanwhile is not given", staleFor("1h"),
      [
        answers, .ask("github-mcp", api), .advance(.seconds(301)), .upstream(.silent),
        .ask("github-mcp", api, as: "waits"), .advance(.seconds(1)), .reload(withoutAPI), .advance(.seconds(1)),
        .expect(.noAnswer), .advance(.seconds(2)), .expect(.code(.SERVFAIL)), .expect(.events(.answeredStale, 0)),
      ]),
    Scenario(
      "it is given for as long as policy says, and is the upstream's again when that answers", staleFor("10s"),
      [
        answers, .ask("github-mcp", api), .advance(.seconds(301)), .upstream(.silent),
        .ask("github-mcp", api, as: "stale"), .advance(.milliseconds(3_600)), .expect(.answer([Address.first])),
        .advance(.seconds(6)), .upstream(.fails(.REFUSED)), .ask("github-mcp", api, as: "over"),
        .expect(.code(.SERVFAIL)), .upstream(.answers), .advance(.seconds(6)), .ask("github-mcp", api, as: "back"),
        .expect(.answer([Address.first])), .expect(.events(.answeredStale, 1)),
      ]),
    Scenario(
      "it is not given where the firewall changed since, for its grant is not renewed", staleFor("1h"),
      [
        answers, .ask("github-mcp", api), .advance(.seconds(301)), .othersFlush(),
        .upstream(.fails(.SERVFAIL)), .ask("github-mcp", api, as: "stale"), .expect(.code(.SERVFAIL)),
        .expect(.events(.answeredStale, 0)),
      ]),
    Scenario(
      "without `serve-stale` an answer ends with its time",
      [
        answers, .ask("github-mcp", api), .advance(.seconds(301)), .upstream(.fails(.SERVFAIL)),
        .ask("github-mcp", api, as: "after"), .expect(.code(.SERVFAIL)), .expect(.events(.upstreamRefused, 1)),
      ]),
  ]

  private static let jumping: [Scenario] = [
    Scenario(
      "where the wall clock is set, ahead or back, answers end as they would have",
      [
        answers, .ask("github-mcp", api), .setClock(by: 86_400), .ask("github-mcp", api, as: "ahead"),
        .expect(.answer([Address.first])), .setClock(by: -2 * 86_400), .ask("github-mcp", api, as: "back"),
        .expect(.answer([Address.first])), .expect(.ttl(300)), .expect(.questions(1)), .advance(.seconds(301)),
        .ask("github-mcp", api, as: "after"), .expect(.questions(2)),
      ]),
    Scenario(
      "while the host sleeps answers grow old",
      [
        answers, .ask("github-mcp", api), .hostSleeps(200), .ask("github-mcp", api, as: "within"),
        .expect(.answer([Address.first])), .expect(.ttl(100)), .expect(.questions(1)), .hostSleeps(200),
        .ask("github-mcp", api, as: "after"), .expect(.questions(2)), .expect(.answer([Address.first])),
      ]),
    Scenario(
      "while all upstreams are down names fail, each once in five seconds; the first answer counts when one is back",
      Setting(upstreams: 2),
      [
        answers, .upstream(.silent, 0), .upstream(.silent, 1), .ask("github-mcp", api), .advance(.milliseconds(3_600)),
        .expect(.code(.SERVFAIL)), .expect(.error(22, "github-mcp: upstream-unreachable")), .upstream(.answers, 1),
        .ask("github-mcp", api, as: "remembered"), .expect(.code(.SERVFAIL)), .expect(.events(.upstreamUnreachable, 2)),
        .advance(.seconds(5)), .ask("github-mcp", api, as: "back"), .advance(.milliseconds(1_600)),
        .expect(.answer([Address.first])),
      ]),
  ]
}
