import AuditLog
import DNSWire

/// Which chains of CNAMEs a rule allows.
extension Scenario {
  private static let server = "agent"
  private static let name = "www.shop.example"
  private static let target = "shop.cdn.example"
  private static let records = ["www.shop.example 60 CNAME shop.cdn.example", "shop.cdn.example 60 A 45.11.0.10"]
  private static let answers: Step = .upstream(of: name, .A, records)

  private static func policies(_ cname: String, _ entries: String..., document: String = "") -> String {
    let list = entries.map { "  - \($0)\n" }.joined()
    return "server: agent\nnetworks: [ 10.77.1.0/24 ]\n\(document)egress:\n"
      + "  - { host: www.shop.example, cname: \(cname) }\n\(list)"
  }

  private static func setting(_ cname: String, _ entries: String...) -> Setting {
    let list = entries.map { "  - \($0)\n" }.joined()
    return Setting(policies: policies(cname) + list)
  }

  static let chained: [Scenario] = [
    Scenario(
      "a strict rule answers no chain: NODATA, told with the name, and nothing opens", setting("strict", target),
      [
        answers, .ask(server, name), .expect(.nodata), .expect(.error(15, "agent: chain-refused")),
        .expect(.event(.chainRefused, #""chain":["shop.cdn.example"],"cname":"strict","upstream":"udp://"#)),
        .expect(.done([])), .ask(server, name, as: "again"), .expect(.error(15, "agent: chain-refused")),
        .expect(.questions(1)), .expect(.events(.chainRefused, 2)),
      ]),
    Scenario(
      "a rule for listed chains answers those, and no other one", setting("listed", target),
      [
        answers, .ask(server, name), .expect(.answer(["45.11.0.10"])), .reload(policies("listed")),
        .expect(.closed(server, "45.11.0.10")), .ask(server, name, as: "unlisted"), .expect(.nodata),
        .expect(.event(.chainRefused, #""cname":"listed""#)), .expect(.closed(server, "45.11.0.10")),
      ]),
    Scenario(
      "a change that leaves the names of a chain listed leaves it open", setting("listed", target, "other.example"),
      [
        answers, .ask(server, name), .expect(.answer(["45.11.0.10"])), .reload(policies("listed", target)),
        .expect(.open(server, "45.11.0.10")), .expect(.cut([])), .ask(server, name, as: "again"),
        .expect(.answer(["45.11.0.10"])), .expect(.questions(1)),
      ]),
    Scenario(
      "a rule that becomes stricter closes what it opened, one that becomes wider leaves it open", setting("follow"),
      [
        answers, .ask(server, name), .expect(.answer(["45.11.0.10"])), .reload(policies("strict")),
        .expect(.closed(server, "45.11.0.10")), .ask(server, name, as: "strict"), .expect(.nodata),
        .reload(policies("follow")), .ask(server, name, as: "follow"), .advance(.seconds(6)),
        .ask(server, name, as: "later"), .expect(.answer(["45.11.0.10"])), .expect(.open(server, "45.11.0.10")),
      ]),
    Scenario(
      "a denial wins over the entry, at once and at a reload: NXDOMAIN, told with the entry, and nothing stays open",
      setting("follow"),
      [
        answers, .ask(server, name), .expect(.answer(["45.11.0.10"])),
        .reload(policies("follow", document: "deny: [ \"*.shop.example\" ]\n")),
        .expect(.closed(server, "45.11.0.10")), .ask(server, name, as: "denied"), .expect(.code(.NXDOMAIN)),
        .expect(.error(15, "agent: denied")), .expect(.event(.denied, #""rule":"#)), .expect(.questions(1)),
      ]),
    Scenario(
      "a chain through a denied name is NODATA, and closed where a reload denies one of its names", setting("follow"),
      [
        answers, .ask(server, name), .expect(.answer(["45.11.0.10"])),
        .reload(policies("follow", document: "deny: [ other.example ]\n")), .expect(.open(server, "45.11.0.10")),
        .reload(policies("follow", document: "deny: [ .cdn.example ]\n")), .expect(.closed(server, "45.11.0.10")),
        .ask(server, name, as: "denied"), .expect(.nodata), .expect(.error(15, "agent: denied")),
        .expect(.event(.denied, #""chain":["shop.cdn.example"]"#)), .expect(.closed(server, "45.11.0.10")),
      ]),
    Scenario(
      "an answer in a denied network is NODATA, and a reload that denies one closes what is open there, and only that",
      setting("follow", target),
      [
        answers, .upstream(of: target, .A, ["shop.cdn.example 60 A 45.12.0.10"]),
        .ask(server, name), .expect(.answer(["45.11.0.10"])), .ask(server, target, as: "other"),
        .expect(.answer(["45.12.0.10"])),
        .reload(policies("follow", target, document: "deny: [ { cidr: 45.11.0.0/16 } ]\n")),
        .expect(.closed(server, "45.11.0.10")), .expect(.open(server, "45.12.0.10")),
        .ask(server, target, as: "kept"), .expect(.answer(["45.12.0.10"])), .expect(.questions(2)),
        .ask(server, name, as: "denied"), .expect(.nodata), .expect(.error(15, "agent: denied")),
        .expect(.event(.denied, #""addresses":["45.11.0.10"]"#)), .expect(.closed(server, "45.11.0.10")),
        .reload(policies("follow", target)), .advance(.seconds(6)),
        .ask(server, name, as: "again"), .expect(.answer(["45.11.0.10"])),
      ]),
    Scenario(
      "an answer that is on its way for the next client when a reload denies where it leads opens nothing",
      setting("follow"),
      [
        answers, .ask(server, name), .expect(.answer(["45.11.0.10"])), .advance(.seconds(56)),
        .upstream(
          of: name, .A, ["www.shop.example 60 CNAME bad.cdn.example", "bad.cdn.example 60 A 45.11.0.11"]),
        .upstream(.holds), .ask(server, name, as: "refreshes"), .expect(.answer(["45.11.0.10"])),
        .expect(.questions(2)), .reload(policies("follow", document: "deny: [ bad.cdn.example ]\n")),
        .upstream(.answers), .expect(.inFlight(0)), .expect(.closed(server, "45.11.0.11")),
        .expect(.open(server, "45.11.0.10")), .ask(server, name, as: "later"), .expect(.answer(["45.11.0.10"])),
      ]),
    Scenario(
      "what an earlier answer opened through a name that is denied now is closed, and what the later one opened stays",
      setting("follow"),
      [
        .upstream(of: name, .A, ["www.shop.example 3 CNAME bad.cdn.example", "bad.cdn.example 3 A 45.11.0.34"]),
        .ask(server, name), .expect(.answer(["45.11.0.34"])), .advance(.seconds(4)),
        .upstream(of: name, .A, ["www.shop.example 60 CNAME good.cdn.example", "good.cdn.example 60 A 45.11.0.35"]),
        .ask(server, name, as: "later"), .expect(.answer(["45.11.0.35"])), .expect(.open(server, "45.11.0.34")),
        .reload(policies("follow", document: "deny: [ bad.cdn.example ]\n")),
        .expect(.closed(server, "45.11.0.34")), .expect(.open(server, "45.11.0.35")),
        .ask(server, name, as: "again"), .expect(.answer(["45.11.0.35"])), .expect(.questions(2)),
      ]),
    Scenario(
      "what an answer opened that led through a name which is denied now is closed, though the name has no address since",
      setting("follow"),
      [
        .upstream(of: name, .A, ["www.shop.example 3 CNAME bad.cdn.example", "bad.cdn.example 3 A 45.11.0.34"]),
        .ask(server, name), .expect(.answer(["45.11.0.34"])), .advance(.seconds(4)),
        .upstream(of: name, .A, ["shop.example 60 SOA ns.shop.example host.shop.example 1 2 3 4 5"]),
        .ask(server, name, as: "none"),
        .expect(.nodata), .expect(.open(server, "45.11.0.34")),
        .reload(policies("follow", document: "deny: [ bad.cdn.example ]\n")),
        .expect(.closed(server, "45.11.0.34")),
      ]),
    Scenario(
      "what an earlier answer opened through a name that is listed no more is closed",
      setting("listed", "bad.cdn.example", target),
      [
        .upstream(of: name, .A, ["www.shop.example 3 CNAME bad.cdn.example", "bad.cdn.example 3 A 45.11.0.34"]),
        .ask(server, name), .expect(.answer(["45.11.0.34"])), .advance(.seconds(4)), answers,
        .ask(server, name, as: "later"), .expect(.answer(["45.11.0.10"])),
        .reload(policies("listed", target)), .expect(.closed(server, "45.11.0.34")),
        .expect(.open(server, "45.11.0.10")),
      ]),
    Scenario(
      "a DNAME is followed as the CNAME that it stands for", setting("follow"),
      [
        .upstream(of: name, .A, ["shop.example 60 DNAME cdn.example", "www.cdn.example 60 A 45.11.0.10"]),
        .ask(server, name), .expect(.answer(["45.11.0.10"])), .expect(.types([.CNAME, .A])),
        .expect(.event(.granted, #""chain":["www.cdn.example"]"#)),
      ]),
  ]
}
