import DNSWire
import EgressPolicy
import IPNetwork
import Testing

@testable import Settings

@Suite struct ForwardReaderTests {
  /// Loads a configuration whose forwarded zones are those.
  private func load(
    _ forward: String, policy: String = plainPolicy
  ) throws -> (settings: Settings?, findings: [String]) {
    let directory = try ConfigDirectory(["sluice.yaml": config("forward: \(forward)"), "policy.yaml": policy])
    return (directory.load().settings, directory.findings())
  }

  private let upstreams = #"upstreams: [ "udp://127.0.0.3:5300" ]"#

  @Test(
    "a zone has upstreams and prefixes of its own; case, a trailing dot and an internationalised name do not matter")
  func zones() throws {
    let (settings, findings) = try load(
      #"[ { zone: Corp.Example., \#(upstreams), private: [ 10.0.0.0/8 ] }, { zone: bücher.example, \#(upstreams) } ]"#)
    #expect(findings == [])
    let forwards = try #require(settings?.forwards)
    #expect(forwards.map(\.zone.description) == ["corp.example", "xn--bcher-kva.example"])
    #expect(forwards[0].privatePrefixes == [IPPrefix("10.0.0.0/8")!] && forwards[1].privatePrefixes.isEmpty)
    #expect(settings?.forwardZones.zones.map(\.upstreams) == [["udp://127.0.0.3:5300"], ["udp://127.0.0.3:5300"]])
  }

  @Test(
    "what is wrong with a zone is said where it stands",
    arguments: [
      ("[ { zone: corp.example } ]", "key 'upstreams' is missing"),
      ("[ { zone: corp.example, upstreams: [] } ]", "no upstreams, expected at least one"),
      ("[ { upstreams: [ udp://127.0.0.3 ] } ]", "key 'zone' is missing"),
      ("[ { zone: ., upstreams: [ udp://127.0.0.3 ] } ]", "is the root, whose upstreams are `upstreams:`"),
      (
        #"[ { zone: "**.corp.example", upstreams: [ udp://127.0.0.3 ] } ]"#,
        "is a pattern, expected the zone corp.example"
      ),
      ("[ { zone: 10.1.2.3, upstreams: [ udp://127.0.0.3 ] } ]", "is an address"),
      ("[ { zone: corp.example, upstreams: [ udp://127.0.0.3 ], privat: [] } ]", "did you mean 'private'?"),
      ("[ { zone: corp.example, upstreams: [ udp://127.0.0.1:5353 ] } ]", "queries would loop"),
      (
        "[ { zone: corp.example, upstreams: [ udp://10.77.1.5 ] } ]",
        "lies in network 10.77.1.0/24 of server github-mcp"
      ),
      (
        "[ { zone: a.example, upstreams: [ udp://127.0.0.3 ] }, { zone: A.example, upstreams: [ udp://127.0.0.3 ] } ]",
        "zone a.example is forwarded already"
      ), ("corp.example", "a list of forwarded zones"), ("[ corp.example ]", "a forwarded zone: a mapping"),
    ])
  func errors(forward: String, expected: String) throws {
    let (settings, findings) = try load(forward)
    #expect(settings == nil)
    #expect(findings.contains { $0.contains("error: ") && $0.contains(expected) }, "\(findings)")
  }

  @Test("a zone that is answered locally, an upstream in the clear, and prefixes that are no use are warned about")
  func warnings() throws {
    let local = try load("[ { zone: 10.in-addr.arpa, \(upstreams) } ]").findings
    #expect(local.contains { $0.contains("answered locally, never forwarded: it has no effect") }, "\(local)")
    let listed = try load("[ { zone: home.arpa, \(upstreams) } ]").findings
    #expect(listed.contains { $0.contains("but for those that an entry lists") }, "\(listed)")
    let plain = try load("[ { zone: corp.example, upstreams: [ udp://192.0.2.9 ] } ]").findings
    #expect(plain.contains { $0.contains("is not authenticated") }, "\(plain)")
    let wide = try load("[ { zone: corp.example, \(upstreams), private: [ 45.0.0.0/8 ] } ]").findings
    #expect(wide.contains { $0.contains("private prefix 45.0.0.0/8 is not inside private") }, "\(wide)")
  }

  @Test("the nearest of entry, document and configuration says what is private; each is warned about once")
  func nearest() throws {
    let directory = try ConfigDirectory([
      "sluice.yaml": config("private: [ 10.1.0.0/16, 45.0.0.0/8 ]"),
      "policy.yaml": """
      server: one
      networks: [ 10.77.1.0/24 ]
      egress: [ a.example.com, b.example.com, { host: c.example.com, private: [ 10.2.0.0/16 ] } ]
      ---
      server: two
      networks: [ 10.77.2.0/24 ]
      private: [ 10.3.0.0/16 ]
      egress: [ a.example.com, { host: c.example.com, private: [] } ]
      """,
    ])
    let policies = try #require(directory.load().settings?.policies)
    func texts(_ server: Int, _ rule: Int) -> [String] {
      policies[server].rules[rule].privatePrefixes.map(\.description)
    }
    #expect(texts(0, 0) == ["10.1.0.0/16", "45.0.0.0/8"] && texts(0, 2) == ["10.2.0.0/16"])
    #expect(texts(1, 0) == ["10.3.0.0/16"] && texts(1, 1) == [])
    #expect(policies[0].privateReach.count == 3)
    let findings = directory.findings()
    #expect(findings.count == 1 && findings[0].contains("45.0.0.0/8"), "\(findings)")
  }

  @Test("what differs in forwarded zones and in what is private a reload takes")
  func difference() throws {
    let running = try #require(loadConfig(config()).settings)
    var read = running
    read.forwards = try #require(
      load("[ { zone: corp.example, \(upstreams), private: [ 10.0.0.0/8 ] } ]").settings?.forwards)
    read.privatePrefixes = [IPPrefix("10.0.0.0/8")!]
    let difference = SettingsDifference(from: running, to: read)
    #expect(difference.needsRestart.isEmpty)
    #expect(
      difference.taken.map(\.description) == [
        "private: none -> 10.0.0.0/8", "forward: none -> corp.example to udp://127.0.0.3:5300 private 10.0.0.0/8",
      ])
  }
}
