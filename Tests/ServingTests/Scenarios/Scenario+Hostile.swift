import AuditLog
import DNSWire

/// What upstreams, or those who forge their answers, try: each is called as Documentation/threats.md calls it, and shows what the
/// client gets, what the cache keeps, what the kernel opens and what is recorded.
extension Scenario {
  static let hostile: [Scenario] = forging + unseen + records + chains + codes + several + often

  private static let server = "github-mcp"
  private static let good = Address.first
  private static let evil = "45.11.6.66"
  private static let outsider = "evil.example.org"

  /// The true address was answered and opened, is in the cache, and nothing else is.
  private static func unharmed(questions: Int, answered label: String = "again") -> [Step] {
    [
      .expect(.answer([good])), .expect(.done(["open \(good)"])), .expect(.closed(server, evil)),
      .expect(.events(.granted, 1)), .ask(server, api, as: label), .expect(.answer([good])), .expect(.ttl(300)),
      .expect(.questions(questions)), .expect(.done(["open \(good)"])),
    ]
  }

  /// The client was told that there is no answer, which is remembered, recorded and opens nothing.
  private static func refused(_ code: AuditCode, _ error: Int, questions: Int = 1) -> [Step] {
    [
      .expect(.code(.SERVFAIL)), .expect(.error(error, "\(server): \(code.token)")), .expect(.done([])),
      .expect(.closed(server, evil)), .expect(.events(code, 1)), .expect(.events(.granted, 0)),
      .ask(server, api, as: "again"), .expect(.code(.SERVFAIL)), .expect(.questions(questions)), .expect(.done([])),
    ]
  }

  /// There is nothing of the asked type, as far as the answer shows.
  private static let nothing: [Step] = [
    .expect(.nodata), .expect(.done([])), .expect(.closed(server, evil)), .expect(.events(.granted, 0)),
  ]

  private static let truth: Step = .upstream(answers: api, [good])

  private static let forging: [Scenario] = [
    Scenario(
      "U1: forged answers before the true one are heard and not believed",
      [truth, .upstream(.forgesBefore(evil)), .ask(server, api)] + unharmed(questions: 1)),
    Scenario(
      "U4: an answer in other letters than were asked is not taken, and TCP has the true one",
      [truth, .upstream(.folds(evil)), .ask(server, api)] + unharmed(questions: 2)),
    Scenario(
      "U5: after a flood the question goes out by another port, where the true answer is taken at once",
      [truth, .upstream(.floods(100, evil)), .ask(server, api)] + unharmed(questions: 2)),
    Scenario(
      "U8: what stands in a truncated answer is not read, and TCP has the true one",
      [truth, .upstream(.truncates(evil, forges: false)), .ask(server, api)] + unharmed(questions: 2)),
    Scenario(
      "U9: an id by TCP that was not asked with ends the connection, and no answer behind it is waited for",
      [truth, .upstream(.truncates(evil, forges: true)), .ask(server, api)]
        + refused(.upstreamUnreachable, 23, questions: 2)),
    Scenario(
      "U28: an upstream that chokes on EDNS is asked without, and without from then on",
      [truth, .upstream(.refusesEDNS), .ask(server, api)] + unharmed(questions: 2) + [
        .ask(server, "raw.githubusercontent.com"), .expect(.code(.NXDOMAIN)), .expect(.questions(3)),
      ]),
  ]

  private static let names = (0..<8).map { ("n\($0).githubusercontent.com", "45.11.2.\($0)") }

  private static let unseen: [Scenario] = [
    Scenario(
      "U2: port and id of a question say nothing of the next one's, and what comes behind an answer is too late",
      [truth, .upstream(.guesses(evil)), .ask(server, api)] + unharmed(questions: 1)
        + names.flatMap { name, address -> [Step] in
          [.upstream(answers: name, [address]), .ask(server, name), .expect(.answer([address]))]
        } + names.flatMap { [.ask(server, $0, as: "\($0) again"), .expect(.answer([$1]))] } + [
          .expect(.scattered(1 + names.count)), .expect(.closed(server, evil)), .expect(.events(.upstreamMismatch, 0)),
          .expect(.events(.granted, 1 + names.count)),
        ]),
    Scenario(
      "U6: that a port is closed, as ICMP says, is not believed: who asked waits on, and gets the answer",
      [
        truth, .upstream(.gone), .ask(server, api), .expect(.noAnswer), .advance(.milliseconds(300)),
        .expect(.noAnswer),
        .upstream(.answers), .expect(.noAnswer), .advance(.milliseconds(410)),
      ] + unharmed(questions: 1)),
    Scenario(
      "U6: nor is it for as long as a question may last: it ends as of an upstream that says nothing",
      [
        truth, .upstream(.gone), .ask(server, api), .advance(.milliseconds(2_000)), .expect(.noAnswer),
        .advance(.milliseconds(1_600)),
      ] + refused(.upstreamUnreachable, 22, questions: 0)),
    Scenario(
      "U7: a datagram of more octets than were asked for, which may be another's in part, is not read, and TCP has the answer",
      [truth, .upstream(.swells(evil)), .ask(server, api)] + unharmed(questions: 2)),
    Scenario(
      "U21: names of a hundred labels, in a chain and beside it, are answered as any others",
      [
        .upstream(of: api, .A, chainOfLabels), .ask(server, api), .expect(.answer([good])),
        .expect(.types([.CNAME, .CNAME, .CNAME, .A])),
      ] + unharmed(questions: 2)),
  ]

  /// Three links over names of which each has a hundred labels of its own, and as many records of others as one message holds.
  private static let chainOfLabels: [String] = {
    let deep = ["x", "y", "z"].map { [String](repeating: $0, count: 100).joined(separator: ".") + ".example.org" }
    let chain = zip([api] + deep, deep).map { "\($0) 300 CNAME \($1)" } + ["\(deep[2]) 300 A \(good)"]
    let other = [String](repeating: "w", count: 90).joined(separator: ".")
    return chain + (0..<250).map { "\(other).n\($0).example.org 300 A \(evil)" }
  }()

  private static func says(_ records: String..., code: ResponseCode = .NOERROR) -> [Step] {
    [.upstream(says: code, of: api, .A, records), .ask(server, api)]
  }

  private static let soa = "github.com 60 SOA ns.github.com h.github.com 1 3600 600 86400 60"

  private static let records: [Scenario] = [
    Scenario(
      "U10: records of other names in the answer are no one's",
      says("\(api) 300 A \(good)", "\(outsider) 300 A \(evil)") + unharmed(questions: 1) + [
        .ask(server, outsider), .expect(.code(.NXDOMAIN)), .expect(.questions(1)), .expect(.events(.notListed, 1)),
      ]),
    Scenario(
      "U11: addresses and name servers beside the answer are neither used nor kept",
      says(
        "\(api) 300 A \(good)", "authority: github.com 300 NS ns.\(outsider)",
        "additional: ns.\(outsider) 300 A \(evil)",
        "additional: \(api) 300 A \(evil)", "additional: raw.githubusercontent.com 300 A \(evil)")
        + unharmed(questions: 1) + [
          .ask(server, "raw.githubusercontent.com"), .expect(.code(.NXDOMAIN)), .expect(.questions(2)),
          .expect(.closed(server, evil)),
        ]),
    Scenario(
      "U11: name servers and their addresses instead of an answer are a refusal",
      says("authority: github.com 300 NS ns.\(outsider)", "additional: ns.\(outsider) 300 A \(evil)")
        + refused(.upstreamRefused, 22)),
    Scenario(
      "U11: the name's own address beside a denial is none",
      says(soa, "additional: \(api) 300 A \(evil)") + nothing),
    Scenario(
      "U16: one public and one private address refuse each other",
      says("\(api) 300 A \(evil)", "\(api) 300 A 169.254.169.254") + nothing + [
        .expect(.error(15, "\(server): answer-not-public")), .expect(.events(.answerNotPublic, 1)),
        .ask(server, api, as: "again"), .expect(.nodata), .expect(.questions(1)),
      ]),
    Scenario(
      "U18: records of another class or type are not the answer",
      says("\(api) 300 CH A \(evil)", "\(api) 300 AAAA 2a00:1450::5", soa) + nothing),
    Scenario(
      "U22: a TTL of more than half of what there is counts as none: answered, and not kept",
      says("\(api) 4294967295 A \(good)") + [
        .expect(.answer([good])), .expect(.ttl(0)), .expect(.done(["open \(good)"])), .ask(server, api, as: "again"),
        .expect(.answer([good])), .expect(.questions(2)), .advance(.seconds(61)), .expect(.closed(server, good)),
      ]),
    Scenario(
      "U22: of two TTLs the smaller one holds",
      says("\(api) 300 A \(good)", "\(api) 20 A \(Address.second)") + [
        .expect(.answer([good, Address.second])), .expect(.ttl(20)), .advance(.seconds(21)),
        .ask(server, api, as: "again"), .expect(.questions(2)),
      ]),
  ]

  private static let chains: [Scenario] = [
    Scenario(
      "U12: a chain that leads back to its beginning is no answer",
      says("\(api) 300 CNAME a.\(outsider)", "a.\(outsider) 300 CNAME \(api)", "\(api) 300 A \(evil)")
        + refused(.answerInvalid, 24)),
    Scenario(
      "U12: a name with two targets is no answer",
      says("\(api) 300 CNAME a.\(outsider)", "\(api) 300 CNAME b.\(outsider)", "b.\(outsider) 300 A \(evil)")
        + refused(.answerInvalid, 24)),
    Scenario(
      "U12: a chain that does not begin at the name leads nowhere",
      says("\(outsider) 300 CNAME a.\(outsider)", "a.\(outsider) 300 A \(evil)", soa) + nothing),
    Scenario(
      "U13: the address behind an unlisted name is the listed one's alone",
      says("\(api) 300 CNAME \(outsider)", "\(outsider) 300 A \(good)") + unharmed(questions: 1) + [
        .ask(server, outsider), .expect(.code(.NXDOMAIN)), .expect(.questions(1)),
      ]),
    Scenario(
      "U14: a chain through a name that is answered here is refused whole",
      says("\(api) 300 CNAME printer.local", "printer.local 300 A \(evil)") + nothing + [
        .expect(.events(.answerNotPublic, 1))
      ]),
  ]

  private static let codes: [Scenario] = [
    Scenario(
      "U17: an address under NXDOMAIN is not used",
      says("\(api) 300 A \(evil)", soa, code: .NXDOMAIN) + refused(.answerInvalid, 24)),
    Scenario(
      "U17: an address under SERVFAIL is not used",
      says("\(api) 300 A \(evil)", code: .SERVFAIL) + refused(.upstreamRefused, 22)),
  ]

  private static let two = Setting(upstreams: 2)

  private static let often: [Scenario] = [
    Scenario(
      "U3: however often a name is asked for, one question is there to be guessed at",
      [
        truth, .upstream(.holds), .ask(server, api, as: "one"), .ask(server, api, as: "two"),
        .ask(server, api, as: "three"), .expect(.questions(1)), .upstream(.answers),
        .expect(.answer([good]), for: "one"), .expect(.answer([good]), for: "two"),
      ] + unharmed(questions: 1)),
    Scenario(
      "U23: however often it is asked for, an answer gets no older than it is, and a name that is gone is gone",
      [
        truth, .ask(server, api), .advance(.seconds(200)), .ask(server, api, as: "later"), .expect(.answer([good])),
        .expect(.ttl(100)), .upstream(says: .NXDOMAIN, of: api, .A, [soa]), .ask(server, api, as: "still"),
        .expect(.ttl(100)), .advance(.seconds(75)), .ask(server, api, as: "at its end"), .expect(.answer([good])),
        .expect(.ttl(25)), .expect(.questions(2)), .ask(server, api, as: "gone"), .expect(.code(.NXDOMAIN)),
        .expect(.questions(2)), .advance(.seconds(56)), .expect(.closed(server, good)), .expect(.events(.granted, 1)),
        .expect(.done(["open \(good)"])),
      ]),
    Scenario(
      "U25: a question makes two datagrams to each upstream and no more, and the next ones none", two,
      [truth, .upstream(.silent, 0), .upstream(.silent, 1), .ask(server, api), .advance(.milliseconds(3_600))]
        + refused(.upstreamUnreachable, 22, questions: 4) + [
          .expect(.questionsTo(0, 2)), .expect(.questionsTo(1, 2)),
        ]),
  ]

  private static let several: [Scenario] = [
    Scenario(
      "U29: a lie that is late changes neither answer, cache nor kernel", two,
      [
        truth, .upstream(.lies(evil, after: 1_500), 0), .ask(server, api), .advance(.milliseconds(710)),
        .expect(.answer([good])), .advance(.seconds(3)), .expect(.closed(server, evil)),
        .expect(.done(["open \(good)"])), .ask(server, api, as: "again"), .expect(.answer([good])),
        .expect(.questions(2)), .expect(.events(.granted, 1)),
      ]),
    Scenario(
      "U29: an upstream that lies later does not override an answer inside its TTL", two,
      [
        truth, .ask(server, api), .expect(.answer([good])), .upstream(.lies(evil, after: 0), 0),
        .upstream(.lies(evil, after: 0), 1), .advance(.seconds(200)), .ask(server, api, as: "again"),
        .expect(.answer([good])), .expect(.ttl(100)), .expect(.closed(server, evil)), .expect(.questions(1)),
      ]),
  ]
}
