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

  @Test("an address that may not be answered is told, with what it is if that is worse than not public")
  func refused() {
    func text(_ failure: ScrubError, _ refusal: ForbiddenAddresses.Reason?) -> String {
      let members = EventMembers.refused(failure, upstream: "192.0.2.53:53") { _ in refusal }
      return String(decoding: members.octets, as: UTF8.self)
    }
    let upstream = #","upstream":"192.0.2.53:53""#
    #expect(text(.invalid, .metadata) == upstream && text(.notPublic(nil), .metadata) == upstream)
    let metadata = ScrubError.notPublic(address("169.254.169.254"))
    #expect(text(metadata, .metadata) == upstream + #","addresses":["169.254.169.254"],"refused_as":"metadata""#)
    #expect(text(metadata, .notPublic) == upstream + #","addresses":["169.254.169.254"]"#)
    #expect(text(metadata, nil) == upstream + #","addresses":["169.254.169.254"]"#)
  }
}
