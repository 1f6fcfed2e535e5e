import AuditLog
import DNSWire
import EgressPolicy
import IPNetwork
import TestSupport
import Testing

@testable import Resolver

/// What the event of a finished question says, octet for octet as the log always had it.
@Suite struct EventMembersTests {
  private func answer(_ chain: [String], _ addresses: [String], ttl: UInt32 = 60) -> ScrubbedAnswer {
    ScrubbedAnswer(
      responseCode: .NOERROR, chain: chain.map(Messages.name), addresses: addresses.map(address), ttl: ttl,
      sections: [],
      ttlOffsets: [], answerCount: 0, authorityCount: 0)
  }

  private func allowed(_ answer: ScrubbedAnswer, file: String = "a.yaml", ports: PortSet = .https) throws -> String {
    let rule = EgressRule(
      pattern: try NamePattern("api.example.com"), ports: ports,
      location: EgressPolicy.SourceLocation(file: file, line: 3, column: 5))
    let members = EventMembers.allowed(answer, rule: rule, lifetime: 90, upstream: "192.0.2.53:53")
    return String(decoding: members.octets, as: UTF8.self)
  }

  @Test("a grant says rule, chain, addresses, ports, times and upstream, in this order")
  func grant() throws {
    let ports = PortSet([PortRule(443, .tcp), PortRule(853, .udp)])
    #expect(
      try allowed(answer(["b.example.net"], ["192.0.2.1", "2001:db8::1"]), file: "/etc/a\"b.yaml", ports: ports)
        == #","rule":"/etc/a\"b.yaml:3","chain":["b.example.net"],"addresses":["192.0.2.1","2001:db8::1"],"#
        + #""ports":["443/tcp","853/udp"],"ttl":60,"lifetime":90,"upstream":"192.0.2.53:53""#)
    #expect(
      try allowed(answer([], [], ttl: 0), ports: .any)
        == #","rule":"a.yaml:3","chain":[],"addresses":[],"ports":["any"],"ttl":0,"lifetime":90,"#
        + #""upstream":"192.0.2.53:53""#)
  }

  @Test("of a long chain there are its ends and its length")
  func longChain() throws {
    let text = try allowed(answer(["a.example", "b.example", "z.example"], ["192.0.2.1"]))
    #expect(text.contains(#","chain":["a.example","z.example"],"chain_length":3,"addresses":["192.0.2.1"],"#))
  }

  @Test("what an answer may not hold is told, with what is worse than not public, the rest, and what would admit it")
  func refused() {
    let forbidden = ForbiddenAddresses(
      serverNetworks: [
        .init(prefix: prefix("10.77.1.0/24"), server: 1), .init(prefix: prefix("10.77.2.0/24"), server: 2),
      ],
      hostAddresses: [address("192.0.2.1")], onLink: [prefix("192.0.2.0/24")])
    func text(_ refused: [String], others: [String] = []) -> String {
      let members = EventMembers.refused(
        refused.map(address), others: others.map(address), upstream: "192.0.2.53:53"
      ) { forbidden.refusal(of: $0, private: $1, server: 1) }
      return String(decoding: members.octets, as: UTF8.self)
    }
    let upstream = #","upstream":"192.0.2.53:53""#
    #expect(text([]) == upstream)
    #expect(
      text(["10.0.0.5", "10.0.0.6"], others: ["9.9.9.9"])
        == upstream
        + #","addresses":["10.0.0.5","10.0.0.6"],"others":["9.9.9.9"],"remedy":"private: [ 10.0.0.5/32, 10.0.0.6/32 ]""#
    )
    // On a link, and in the server's own network.
    #expect(
      text(["192.0.2.7"])
        == upstream + #","addresses":["192.0.2.7"],"refused_as":"on-link","remedy":"private: [ 192.0.2.7/32 ]""#)
    #expect(
      text(["10.77.1.9"])
        == upstream + #","addresses":["10.77.1.9"],"refused_as":"server-network","remedy":"private: [ 10.77.1.9/32 ]""#)
    // An address that carries another one needs both.
    #expect(
      text(["64:ff9b::a00:5"])
        == upstream
        + #","addresses":["64:ff9b::a00:5"],"remedy":"private: [ \"64:ff9b::a00:5/128\", 10.0.0.5/32 ]""#)
    // What nothing admits.
    for (one, refusal) in [
      ("169.254.169.254", "metadata"), ("192.0.2.1", "host-address"), ("127.0.0.1", "host-address"),
      ("10.77.2.9", "server-network"),
    ] {
      #expect(text([one]) == upstream + #","addresses":["\#(one)"],"refused_as":"\#(refusal)""#)
      #expect(!text(["10.0.0.5", one]).contains("remedy"))
    }
  }

  @Test("how many records were cut is told where some were")
  func cut() throws {
    var cut = answer([], ["192.0.2.1"])
    #expect(try !allowed(cut).contains("records_cut"))
    cut.recordsCut = 536
    #expect(try allowed(cut).hasSuffix(#","records_cut":536"#))
  }
}
