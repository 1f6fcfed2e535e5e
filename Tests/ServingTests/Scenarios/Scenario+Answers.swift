import AuditLog
import DNSWire

/// Shapes of answers that people met in the field. Each keeps its name there: C01, C02 and so on.
extension Scenario {
  private static let server = "agent"

  /// A server that may ask for these entries, in YAML.
  private static func policy(_ entries: String...) -> Setting {
    let list = entries.map { "  - \($0)\n" }.joined()
    return Setting(policies: "server: agent\nnetworks: [ 10.77.1.0/24 ]\negress:\n" + list)
  }

  private static func addresses(_ count: Int) -> [String] { (0..<count).map { "45.11.\($0 >> 8).\($0 & 255)" } }

  /// A chain of so many links from a name, with an address at its end.
  private static func chain(_ name: String, _ links: Int, to address: String, link: (Int) -> String) -> [String] {
    let names = [name] + (1...links).map(link)
    return zip(names, names.dropFirst()).map { "\($0) 60 CNAME \($1)" } + ["\(names[links]) 60 A \(address)"]
  }

  private static func answer(_ name: String, _ count: Int) -> Step {
    .upstream(of: name, .A, addresses(count).map { "\(name) 5 A \($0)" })
  }

  /// C01 to C03: one family is refused, fails or does not exist, and the other one is there.
  static let families: [Scenario] = [
    Scenario(
      "C01: where AAAA is not public and A is, AAAA is NODATA and A stays", policy("api.minimax.io"),
      [
        .upstream(of: "api.minimax.io", .A, ["api.minimax.io 60 A 45.11.0.10"]),
        .upstream(of: "api.minimax.io", .AAAA, ["api.minimax.io 60 AAAA 64:ff9b::2d0b:a"]),
        .ask(server, "api.minimax.io", .AAAA, as: "six"), .expect(.nodata),
        .expect(.error(15, "agent: answer-not-public")), .expect(.events(.answerNotPublic, 1)),
        .expect(.event(.answerNotPublic, #""remedy":"private: [ \"64:ff9b::2d0b:a/128\" ]""#)), .expect(.done([])),
        .ask(server, "api.minimax.io", as: "four"), .expect(.answer(["45.11.0.10"])),
        .expect(.events(.familiesDiffer, 0)), .ask(server, "api.minimax.io", .AAAA, as: "again"), .expect(.nodata),
        .expect(.error(15, "agent: answer-not-public")), .expect(.questions(2)),
        .expect(.events(.answerNotPublic, 2)), .advance(.seconds(6)),
        .ask(server, "api.minimax.io", .AAAA, as: "later"), .expect(.questions(3)),
      ]),
    Scenario(
      "C01b: unspecified addresses are a block of the upstream's, and no failure", policy("statsig.com"),
      [
        .upstream(of: "statsig.com", .A, ["statsig.com 2 A 0.0.0.0"]),
        .upstream(of: "statsig.com", .AAAA, ["statsig.com 2 AAAA ::"]), .ask(server, "statsig.com"),
        .expect(.nodata), .expect(.error(15, "agent: upstream-blocked")),
        .expect(.event(.upstreamBlocked, #""addresses":["0.0.0.0"]"#)), .ask(server, "statsig.com", .AAAA, as: "six"),
        .expect(.nodata), .expect(.error(15, "agent: upstream-blocked")), .expect(.events(.upstreamBlocked, 2)),
        .expect(.events(.answerNotPublic, 0)), .expect(.done([])),
      ]),
    Scenario(
      "C01c: an upstream's SERVFAIL for AAAA is told as such, and A stays", policy("administration.esch.lu"),
      [
        .upstream(of: "administration.esch.lu", .A, ["administration.esch.lu 300 A 158.64.39.69"]),
        .upstream(says: .SERVFAIL, of: "administration.esch.lu", .AAAA, []),
        .ask(server, "administration.esch.lu", .AAAA, as: "six"), .expect(.code(.SERVFAIL)),
        .expect(.error(22, "agent: upstream-refused")),
        .expect(.event(.upstreamRefused, #""upstream_rcode":"SERVFAIL""#)), .expect(.events(.upstreamUnreachable, 0)),
        .ask(server, "administration.esch.lu", as: "four"), .expect(.answer(["158.64.39.69"])),
        .ask(server, "administration.esch.lu", .AAAA, as: "again"), .expect(.error(22, "agent: upstream-refused")),
        .expect(.events(.upstreamRefused, 2)),
      ]),
    Scenario(
      "C02: that a name has no AAAA because there is no such name is passed on, hides no A, and is told once",
      policy("{ host: myserver.example.net, private: [ 10.0.0.0/8 ] }"),
      [
        .upstream(of: "myserver.example.net", .A, ["myserver.example.net 60 A 10.0.0.182"]),
        .upstream(
          says: .NXDOMAIN, of: "myserver.example.net", .AAAA, ["example.net 60 SOA ns h 1 3600 600 86400 60"]),
        .ask(server, "myserver.example.net", .AAAA, as: "six"), .expect(.code(.NXDOMAIN)),
        .expect(.events(.familiesDiffer, 0)), .ask(server, "myserver.example.net", as: "four"),
        .expect(.answer(["10.0.0.182"])), .expect(.events(.familiesDiffer, 1)),
        .expect(.event(.familiesDiffer, #""other_type":"AAAA","upstream":"udp://127.0.0.1:"#)),
        .expect(.events(.granted, 1)), .advance(.seconds(61)), .ask(server, "myserver.example.net", as: "later"),
        .ask(server, "myserver.example.net", .AAAA, as: "six later"), .expect(.code(.NXDOMAIN)),
        .expect(.questions(4)), .expect(.events(.familiesDiffer, 1)),
      ]),
    Scenario(
      "C02: it is told whichever family is asked for first", policy("{ host: other.example.net }"),
      [
        .upstream(of: "other.example.net", .AAAA, ["other.example.net 60 AAAA 2a00:1450::5"]),
        .upstream(says: .NXDOMAIN, of: "other.example.net", .A, ["example.net 60 SOA ns h 1 3600 600 86400 60"]),
        .ask(server, "other.example.net", .AAAA, as: "six"), .expect(.answer(["2a00:1450::5"])),
        .ask(server, "other.example.net", as: "four"), .expect(.code(.NXDOMAIN)),
        .expect(.event(.familiesDiffer, #""other_type":"AAAA""#)),
      ]),
    Scenario(
      "C03: a chain with TTL 0 in its midst is handed out once, and open for as long as addresses are at least",
      policy("logincdn.msauth.net"),
      [
        .upstream(
          of: "logincdn.msauth.net", .A,
          [
            "logincdn.msauth.net 263 CNAME lgincdn.trafficmanager.net",
            "lgincdn.trafficmanager.net 29 CNAME lgincdnmsftuswe2.azureedge.net",
            "lgincdnmsftuswe2.azureedge.net 1763 CNAME lgincdnmsftuswe2.afd.azureedge.net",
            "lgincdnmsftuswe2.afd.azureedge.net 263 CNAME firstparty-azurefd-prod.trafficmanager.net",
            "firstparty-azurefd-prod.trafficmanager.net 0 CNAME dual.part-0042.t-0009.t-msedge.net",
            "dual.part-0042.t-0009.t-msedge.net 203 CNAME part-0042.t-0009.t-msedge.net",
            "part-0042.t-0009.t-msedge.net 203 A 13.107.246.70", "part-0042.t-0009.t-msedge.net 203 A 13.107.213.70",
          ]), .ask(server, "logincdn.msauth.net"), .expect(.answer(["13.107.246.70", "13.107.213.70"])),
        .expect(.ttl(0)), .ask(server, "logincdn.msauth.net", as: "again"), .expect(.questions(2)),
        .expect(.done(["open 13.107.246.70", "open 13.107.213.70"])), .advance(.seconds(50)),
        .expect(.open(server, "13.107.246.70")), .advance(.seconds(11)), .expect(.closed(server, "13.107.246.70")),
      ]),
  ]

  /// C04 to C06, C22: answers that are long.
  static let long: [Scenario] = [chains, plainChains, plainAddresses, manyAddresses, twice].flatMap { $0 }

  private static let chains: [Scenario] = [9, 11, 12].map { (links: Int) -> Scenario in
    let name = "static-exp1.licdn.com"
    let records = chain(name, links, to: "45.11.0.20") { "hop\($0).cdn\($0).example.net" }
    let isFollowed = links < 12
    let followed: [Step] = [
      .expect(.answer(["45.11.0.20"])), .expect(.types([RRType](repeating: .CNAME, count: links) + [.A])),
    ]
    let tooLong: [Step] = [
      .expect(.code(.SERVFAIL)), .expect(.error(24, "agent: chain-too-long")),
      .expect(.event(.chainTooLong, #""upstream":"udp://"#)), .expect(.done([])),
      .ask(server, name, as: "again"), .expect(.error(24, "agent: chain-too-long")), .expect(.questions(1)),
    ]
    return Scenario(
      "C04: a chain of \(links) links is \(isFollowed ? "answered" : "told as too long")", policy(name),
      [.upstream(of: name, .A, records), .ask(server, name)] + (isFollowed ? followed : tooLong))
  }

  private static let plainChains: [Scenario] = [6, 8].map { (links: Int) -> Scenario in
    let name = "contoso-my.sharepoint.com"
    let shared = chain(name, links, to: "13.107.136.10") {
      "\($0)-ipv4v6e.farm.dprodmgd\($0).sharepointonline.com.akadns.net"
    }
    let apart = chain(name, links, to: "13.107.136.10") { String(repeating: "\($0)", count: 60) + ".x\($0).y\($0)" }
    let types = [RRType](repeating: .CNAME, count: links) + [.A]
    return Scenario(
      "C05: \(links) long links are whole without EDNS; where they share nothing the address is there as the name's own",
      policy(name),
      [
        .upstream(of: name, .A, shared), .askPlainly(server, name, as: "plain"),
        .expect(.part(1, of: ["13.107.136.10"], truncated: false, octets: 512)), .expect(.types(types)),
        .advance(.seconds(61)), .upstream(of: name, .A, apart), .askPlainly(server, name, as: "apart"),
        .expect(.part(1, of: ["13.107.136.10"], truncated: true, octets: 512)), .expect(.types([.A])),
        .ask(server, name), .expect(.answer(["13.107.136.10"])), .expect(.types(types)),
      ])
  }

  private static let plainAddresses: [Scenario] = [(8, 8), (30, 29), (40, 29)].map {
    (count: Int, fitting: Int) -> Scenario in
    let name = "sns.eu-west-1.amazonaws.com"
    return Scenario(
      "C06: of \(count) addresses \(fitting) are answered without EDNS, and all with it", policy(name),
      [
        answer(name, count), .askPlainly(server, name, as: "plain"),
        .expect(.part(fitting, of: addresses(count), truncated: fitting < count, octets: 512)),
        .ask(server, name), .expect(.part(count, of: addresses(count), truncated: false, octets: 1232)),
      ])
  }

  private static let manyAddresses: [Scenario] = [64, 65, 90].map { (count: Int) -> Scenario in
    let name = "sns.eu-west-1.amazonaws.com"
    let told = count == 64 ? #""upstream":"udp://"# : #","records_cut":\#(count - 64)"#
    return Scenario(
      "C06: of \(count) addresses the first 64 are answered and opened, and the rest is in the event", policy(name),
      [
        answer(name, count), .ask(server, name),
        .expect(.part(64, of: addresses(64), truncated: false, octets: 1232)),
        .expect(.done(addresses(64).map { "open \($0)" })), .expect(.event(.granted, told)),
      ])
  }

  private static let twice: [Scenario] = [
    Scenario(
      "C22: an address that stands twice in an answer is one", policy("marketplace.visualstudio.com"),
      [
        .upstream(
          of: "marketplace.visualstudio.com", .A,
          [
            "marketplace.visualstudio.com 30 CNAME l-0015.l-msedge.net", "l-0015.l-msedge.net 30 A 13.107.42.18",
            "l-0015.l-msedge.net 30 A 13.107.42.18",
          ]), .ask(server, "marketplace.visualstudio.com"), .expect(.answer(["13.107.42.18"])),
        .expect(.done(["open 13.107.42.18"])),
        .upstream(
          of: "marketplace.visualstudio.com", .A,
          [
            "l-0015.l-msedge.net 7 A 13.107.42.18", "marketplace.visualstudio.com 90 CNAME l-0015.l-msedge.net",
            "l-0015.l-msedge.net 9 A 13.107.42.18",
          ]), .advance(.seconds(31)), .ask(server, "marketplace.visualstudio.com", as: "later"),
        .expect(.answer(["13.107.42.18"])), .expect(.ttl(7)),
      ])
  ]

  /// C08 to C12: addresses that may not be opened, or only by the entry's own word.
  static let unlisted: [Scenario] = [
    Scenario(
      "C08: one public and one private address are refused whole, and the event has both and the line that admits them",
      policy("api.corp.example"),
      [
        .upstream(
          of: "api.corp.example", .A, ["api.corp.example 60 A 45.11.0.30", "api.corp.example 60 A 10.20.0.30"]),
        .ask(server, "api.corp.example"), .expect(.nodata), .expect(.done([])),
        .expect(.event(.answerNotPublic, #""addresses":["10.20.0.30"],"others":["45.11.0.30"]"#)),
        .expect(.event(.answerNotPublic, #""remedy":"private: [ 10.20.0.30/32 ]""#)),
      ]),
    Scenario(
      "C09: a proxy's made-up address is refused, with the line that would admit it", policy("github.com"),
      [
        .upstream(of: "github.com", .A, ["github.com 1 A 198.18.0.34"]), .ask(server, "github.com"),
        .expect(.nodata), .expect(.event(.answerNotPublic, #""remedy":"private: [ 198.18.0.34/32 ]""#)),
        .ask(server, "github.com", as: "again"), .expect(.questions(1)), .expect(.events(.answerNotPublic, 2)),
      ]),
    Scenario(
      "C10: a private endpoint behind a public name is opened where its entry says so",
      policy("{ host: acme.blob.core.windows.net, private: [ 10.1.0.0/16 ] }"),
      endpoint + [
        .expect(.answer(["10.1.0.5"])), .expect(.open(server, "10.1.0.5")),
        .expect(.event(.granted, "acme.privatelink.blob.core.windows.net")),
      ]),
    Scenario(
      "C10: and is NODATA where it does not", policy("acme.blob.core.windows.net"),
      endpoint + [
        .expect(.nodata), .expect(.event(.answerNotPublic, #""remedy":"private: [ 10.1.0.5/32 ]""#)),
        .expect(.done([])),
      ]),
    Scenario(
      "C11: behind a translator that an entry lists only what is public itself is opened, never metadata nor loopback",
      policy(#"{ host: www.bhphotovideo.com, private: [ "64:ff9b::/96" ] }"#),
      [
        .upstream(of: "www.bhphotovideo.com", .AAAA, ["www.bhphotovideo.com 1 AAAA 64:ff9b::6812:27e4"]),
        .ask(server, "www.bhphotovideo.com", .AAAA), .expect(.answer(["64:ff9b::6812:27e4"])), .advance(.seconds(2)),
        .upstream(of: "www.bhphotovideo.com", .AAAA, ["www.bhphotovideo.com 1 AAAA 64:ff9b::a9fe:a9fe"]),
        .ask(server, "www.bhphotovideo.com", .AAAA, as: "metadata"), .expect(.nodata),
        .expect(.event(.answerNotPublic, #""addresses":["64:ff9b::a9fe:a9fe"],"refused_as":"metadata""#)),
        .advance(.seconds(6)),
        .upstream(of: "www.bhphotovideo.com", .AAAA, ["www.bhphotovideo.com 1 AAAA 64:ff9b::7f00:1"]),
        .ask(server, "www.bhphotovideo.com", .AAAA, as: "loopback"), .expect(.nodata),
        .expect(.event(.answerNotPublic, #""refused_as":"host-address""#)),
        .expect(.done(["open 64:ff9b::6812:27e4"])),
      ]),
    Scenario(
      "C12: an address in the answer to HTTPS is no answer", policy("{ host: dw.com, types: [ A, AAAA, HTTPS ] }"),
      [
        .upstream(of: "dw.com", .HTTPS, ["dw.com 140 A 31.13.70.13"]), .ask(server, "dw.com", .HTTPS),
        .expect(.nodata), .expect(.types([])), .expect(.done([])),
      ]),
    Scenario(
      "C12: hints of HTTPS are open before they are answered, and those alone",
      policy("{ host: dw.com, types: [ AAAA, HTTPS ] }"),
      [
        .upstream(
          of: "dw.com", .HTTPS,
          ["dw.com 70 HTTPS 1 . alpn=h2 ipv4hint=64.13.192.76 ipv6hint=2a03:2880:f11c:8183:face:b00c:0:25de"]),
        .ask(server, "dw.com", .HTTPS), .expect(.types([.HTTPS])),
        .expect(.answer(["2a03:2880:f11c:8183:face:b00c:0:25de"])),
        .expect(.done(["open 2a03:2880:f11c:8183:face:b00c:0:25de"])),
        .expect(.event(.granted, #""addresses":["2a03:2880:f11c:8183:face:b00c:0:25de"]"#)), .bridge(.hangs),
        .advance(.seconds(71)), .upstream(of: "dw.com", .HTTPS, ["dw.com 70 HTTPS 1 . ipv6hint=2a03:2880::1"]),
        .ask(server, "dw.com", .HTTPS, as: "uncommitted"), .advance(.seconds(1)), .expect(.code(.SERVFAIL)),
      ]),
  ]

  private static let endpoint: [Step] = [
    .upstream(
      of: "acme.blob.core.windows.net", .A,
      [
        "acme.blob.core.windows.net 60 CNAME acme.privatelink.blob.core.windows.net",
        "acme.privatelink.blob.core.windows.net 10 A 10.1.0.5",
      ]), .ask(server, "acme.blob.core.windows.net"),
  ]

  /// C15, C17, C20, C21: names beside the one that is meant are denied without upstream, and the one that is meant works.
  static let beside: [Scenario] = [
    Scenario(
      "C15: a service's name is denied at once, and the host's is answered",
      policy("{ host: packages.example.org, ports: [ 80/tcp, 443/tcp ] }"),
      [
        .upstream(
          of: "_http._tcp.packages.example.org", .SRV,
          ["_http._tcp.packages.example.org 3600 SRV 10 1 80 prod.mirror.example-cdn.net"]),
        .upstream(answers: "packages.example.org", [Address.first]),
        .ask(server, "_http._tcp.packages.example.org", .SRV), .expect(.code(.NXDOMAIN)), .expect(.questions(0)),
        .ask(server, "packages.example.org"), .expect(.answer([Address.first])),
      ]),
    Scenario(
      "C17: what a client asks before every first call is denied at once", policy("spanner.googleapis.com"),
      [
        .upstream(answers: "spanner.googleapis.com", [Address.first]),
        .ask(server, "_grpc_config.spanner.googleapis.com", .TXT), .expect(.code(.NXDOMAIN)),
        .ask(server, "_grpclb._tcp.spanner.googleapis.com", .SRV), .expect(.code(.NXDOMAIN)), .expect(.questions(0)),
        .ask(server, "spanner.googleapis.com"), .expect(.answer([Address.first])),
      ]),
    Scenario(
      "C20: a listed name with a suffix of a search list behind it is denied at once", policy(api),
      [
        .upstream(answers: api, [Address.first]), .ask(server, "api.github.com.mynetwork"),
        .expect(.code(.NXDOMAIN)), .ask(server, "api.github.com.company.lan"), .expect(.code(.NXDOMAIN)),
        .ask(server, "actions.githubusercontent.com.x1y2.bx.internal.cloudapp.net"), .expect(.code(.NXDOMAIN)),
        .ask(server, "kubernetes.default.svc.cluster.local"), .expect(.code(.NXDOMAIN)), .expect(.questions(0)),
        .ask(server, api), .expect(.answer([Address.first])),
      ]),
    Scenario(
      "C21: a listed name that is no more is passed on as such, and the others work",
      policy("statsig.anthropic.com", api),
      [
        .upstream(
          says: .NXDOMAIN, of: "statsig.anthropic.com", .A,
          ["anthropic.com 300 SOA ns h 1 3600 600 86400 300"]), .upstream(answers: api, [Address.first]),
        .ask(server, "statsig.anthropic.com"), .expect(.code(.NXDOMAIN)), .ask(server, api),
        .expect(.answer([Address.first])), .ask(server, "statsig.anthropic.com", as: "again"), .expect(.questions(2)),
      ]),
  ]

  /// How long an upstream takes, and what it says instead of an answer.
  static let slow: [Scenario] = late + refusing

  private static let late: [Scenario] = [1_600, 2_100, 3_440].map { (milliseconds: Int) -> Scenario in
    Scenario(
      "an upstream that always needs \(milliseconds) ms is waited for, each time",
      [
        .upstream(answers: api, [Address.first], ttl: 1), .upstream(.slow(milliseconds)), .ask("github-mcp", api),
        .advance(.milliseconds(milliseconds - 20)), .expect(.noAnswer), .advance(.milliseconds(40)),
        .expect(.answer([Address.first])), .advance(.seconds(4)), .ask("github-mcp", api, as: "again"),
        .advance(.milliseconds(milliseconds + 30)), .expect(.answer([Address.first])),
        .expect(.events(.upstreamUnreachable, 0)),
      ])
  }

  private static let refused: [Step] = (0..<8).map { (number: Int) -> Step in
    .ask("github-mcp", "n\(number).githubusercontent.com")
  }

  private static let refusing: [Scenario] = [
    Scenario(
      "what an upstream says instead of an answer is remembered and told, and a silent one is something else",
      [
        .upstream(.fails(.REFUSED)), .ask("github-mcp", api), .expect(.code(.SERVFAIL)),
        .expect(.error(22, "github-mcp: upstream-refused")),
        .expect(.event(.upstreamRefused, #""upstream_rcode":"REFUSED""#)), .upstream(.silent),
        .ask("db-tools", api, as: "other"), .advance(.milliseconds(3_600)), .expect(.code(.SERVFAIL)),
        .expect(.error(22, "db-tools: upstream-unreachable")), .expect(.events(.upstreamUnreachable, 1)),
      ]),
    Scenario(
      "an upstream that refuses everything is not ready, and is again when it answers",
      [.upstream(answers: api, [Address.first]), .upstream(.fails(.REFUSED))] + refused + [
        .readiness(), .expect(.call(503)), .upstream(.answers), .ask("github-mcp", api),
        .expect(.answer([Address.first])), .readiness(), .expect(.call(200)),
      ]),
    Scenario(
      "an upstream that has room for a header alone is asked by TCP, which it does not speak",
      [
        .upstream(.truncatesAll), .ask("github-mcp", api), .expect(.code(.SERVFAIL)),
        .expect(.error(23, "github-mcp: upstream-unreachable")),
      ]),
  ]
}
