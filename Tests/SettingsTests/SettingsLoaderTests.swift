import EgressPolicy
import Foundation
import IPNetwork
import Testing

@testable import Settings

@Suite struct SettingsLoaderTests {
  @Test("a configuration with only what is required gets the documented defaults")
  func defaults() throws {
    let (settings, findings) = try loadConfig(config())
    let found = try #require(settings, "\(findings)")
    #expect(findings == [])
    #expect(found.listen.map(\.description) == ["127.0.0.1:5353"])
    #expect(found.upstreams.map(\.description) == ["udp://127.0.0.2:53"])
    #expect((1...256).contains(found.workers))
    #expect(found.sinkhole == SinkholeSettings())
    #expect(found.sinkhole.answer == .nxdomain && found.sinkhole.ttlSeconds == 5)
    #expect(found.unknownClients == .nxdomain)
    #expect(found.firewall.mode == .managed && found.firewall.family == .inet && found.firewall.table == "sluice")
    #expect(found.firewall.minLifetime == 60 && found.firewall.grace == 30 && found.firewall.maxLifetime == 3600)
    #expect(found.firewall.deadlineMilliseconds == 250)
    #expect(
      found.cache.maxEntriesPerServer == 10_000 && found.cache.maxTTL == 3600 && found.cache.maxNegativeTTL == 300)
    #expect(found.audit.maxSizeOctets == 67_108_864 && found.audit.keep == 10 && found.audit.allowed == .grants)
    #expect(found.audit.path.hasSuffix("/audit.jsonl") && found.audit.path.hasPrefix("/"))
    #expect(found.control == ControlSettings(path: "/run/sluice/control.sock", isDefault: true))
    #expect(found.user.name == "sluice" && found.user.location.line == 1)
    #expect(found.zones == [.builtIn(name: "sinkhole.zone"), .builtIn(name: "special-use.zone")])
    #expect(found.policies.map(\.name.text) == ["github-mcp"])
  }

  @Test("the documented example is read key by key")
  func contract() throws {
    let text = """
      listen: [ "10.77.1.1:53", "[fd00:77:1::1]:53", "10.77.1.2" ]
      workers: 4
      upstreams:
        - udp://192.0.2.54
        - udp://[2001:db8::54]:5300
      policies: [ policy.yaml, policies ]
      zones: [ zones/own.zone ]
      sinkhole:      { answer: [ 10.0.0.1, "fd00::1" ], ttl: 10s }
      unknown-clients: drop
      firewall:
        mode: off
        table: ip6 my-table
        min-lifetime: 2m
        grace: 0s
        max-lifetime: 2h
        deadline: 1s
      cache:         { max-entries-per-server: 5, max-ttl: 30m, max-negative-ttl: 1m }
      audit:         { path: log/audit.jsonl, max-size: 1GiB, keep: 3, allowed: all }
      control: run/control.sock
      user: sluice
      """
    let directory = try ConfigDirectory([
      "sluice.yaml": text, "policy.yaml": plainPolicy, "zones/own.zone": "; empty", "log/x": "",
      "policies/b.yaml": "server: b\nnetworks: [ 10.77.2.0/24 ]\negress: []\n",
      "policies/a.yml": "server: a\nnetworks: [ 10.77.3.0/24 ]\negress: []\n",
      "policies/README": "not yaml: [", "policies/.hidden.yaml": "nor: {this",
    ])
    let loaded = directory.load()
    let found = try #require(loaded.settings, "\(loaded.diagnostics)")
    // The upstreams in clear, and what mode `off` cannot keep.
    #expect(loaded.diagnostics.map(\.severity) == [.warning, .warning, .warning])
    #expect(found.listen.map(\.description) == ["10.77.1.1:53", "[fd00:77:1::1]:53", "10.77.1.2:53"])
    #expect(found.workers == 4)
    #expect(found.upstreams.map(\.port) == [53, 5300])
    #expect(found.policies.map(\.name.text) == ["github-mcp", "a", "b"])
    #expect(found.zones.count == 1)
    #expect(found.sinkhole.ttlSeconds == 10)
    #expect(found.sinkhole.answer == .addresses([IPAddress("10.0.0.1")!, IPAddress("fd00::1")!]))
    #expect(found.unknownClients == .drop)
    #expect(found.firewall.mode == .off && found.firewall.family == .ip6 && found.firewall.table == "my-table")
    #expect(found.firewall.minLifetime == 120 && found.firewall.grace == 0 && found.firewall.maxLifetime == 7200)
    #expect(found.firewall.deadlineMilliseconds == 1000)
    #expect(found.cache == CacheSettings(maxEntriesPerServer: 5, maxTTL: 1800, maxNegativeTTL: 60))
    #expect(found.audit.path == directory.path + "/log/audit.jsonl")
    #expect(found.audit.maxSizeOctets == 1 << 30 && found.audit.keep == 3 && found.audit.allowed == .all)
    #expect(found.control == ControlSettings(path: directory.path + "/run/control.sock", isDefault: false))
    #expect(found.user.name == "sluice")
  }

  @Test("every error of every file comes in one run, in order, with line and column")
  func allErrors() throws {
    let directory = try ConfigDirectory([
      "sluice.yaml": """
      listen: [ 127.0.0.1:99999 ]
      upstreams: [ "udp://nonsense" ]
      workers: 0
      policys: policy.yaml
      policies: [ one.yaml, two.yaml, missing.yaml ]
      audit: { path: none/none/audit.jsonl, max-size: 1 }
      """,
      "one.yaml": """
      server: Bad
      networks: [ 10.77.1.1/24 ]
      egress:
        - a..b
        - host: "*.co.uk"
          port: [ 443/tcp ]
      """,
      "two.yaml": "server: ok\nnetworks: [ 10.77.1.0/24\n",
    ])
    let findings = directory.findings()
    let locations = findings.map { $0.split(separator: ":").prefix(3).joined(separator: ":") }
    #expect(
      locations == [
        "one.yaml:1:9", "one.yaml:2:13", "one.yaml:4:5", "one.yaml:6:5", "sluice.yaml:1:11", "sluice.yaml:2:14",
        "sluice.yaml:3:10", "sluice.yaml:4:1", "sluice.yaml:5:33", "sluice.yaml:6:16", "sluice.yaml:6:49",
        "two.yaml:3:1",
      ], "\(findings.joined(separator: "\n"))")
    #expect(findings.allSatisfy { $0.contains(": error: ") })
    #expect(directory.load().settings == nil)
  }

  @Test("an unknown key names the nearest known one")
  func suggestions() throws {
    let findings = try loadConfig(config("unkown-clients: drop\nfirewall: { min-lifetme: 5s }\nzzzz: 1")).findings
    #expect(findings.count == 3)
    #expect(findings[0].contains("unknown key 'unkown-clients' in the configuration, did you mean 'unknown-clients'?"))
    #expect(findings[1].contains("unknown key 'min-lifetme' in firewall, did you mean 'min-lifetime'?"))
    #expect(findings[2].contains("expected one of listen, workers"))
  }

  @Test("a repeated key is an error that names both locations")
  func repeatedKeys() throws {
    let findings = try loadConfig(config("workers: 1\nworkers: 2\nfirewall: { grace: 1s, grace: 2s }")).findings
    #expect(findings.count == 2)
    #expect(findings[0].contains("sluice.yaml:6:1: error: key 'workers' stands already at sluice.yaml:5:1"))
    #expect(findings[1].contains("sluice.yaml:7:24: error: key 'grace'"))
  }

  @Test("off and no mean the word, quoted or not", arguments: ["off", "no", "\"off\"", "'no'", "Off", "NO", "false"])
  func booleanWords(word: String) throws {
    let text = config("firewall: { mode: \(word) }", audit: "audit: { path: a.jsonl, allowed: \(word) }")
    let (settings, findings) = try loadConfig(text)
    #expect(settings?.firewall.mode == .off, "\(findings)")
    #expect(settings?.audit.allowed == AuditSettings.Allowed.none)
  }

  @Test(
    "numbers, durations and sizes have units and bounds",
    arguments: [
      "workers: 0", "workers: 257", "workers: -1", "workers: 2.5", "workers: 99999999999999999999", "workers: many",
      "workers: [ 1 ]", "workers:", "workers: 0x10", "firewall: { deadline: 9ms }", "firewall: { deadline: 6s }",
      "firewall: { deadline: 250 }", "firewall: { grace: 1500ms }", "firewall: { grace: -1s }",
      "firewall: { grace: 1w }",
      "firewall: { max-lifetime: 30s }", "firewall: { min-lifetime: 2h }", "firewall: { min-lifetime: 0s }",
      "firewall: { max-lifetime: 9223372036854775807d }", "cache: { max-entries-per-server: 0 }",
      "cache: { max-ttl: 0s }",
      "sinkhole: { ttl: 2h }", "sinkhole: { answer: [] }", "sinkhole: { answer: nope }", "sinkhole: { answer: [ x ] }",
      "sinkhole: nxdomain", "unknown-clients: off", "firewall: { mode: auto }", "firewall: { table: sluice }",
      "firewall: { table: bridge sluice }", "firewall: { table: inet set }", "firewall: { table: \"inet a;b\" }",
      "firewall: { table: inet 9a }", "control: [ a ]", "control:", "user: \"a b\"", "user: \"-a\"", "user: nobody",
      "user: null", "user: ~", "user: \"\"", "user: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "firewall: { table: inet sluice more }",
      "firewall: { table: inet aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa }",
      "metrics: 192.0.2.1:9153", "metrics: 127.0.0.1", "metrics: \"[::2]:9153\"", "metrics: localhost:9153",
      "cache: []",
      "zones: missing.zone", "zones: [ missing.zone ]",
    ])
  func refused(line: String) throws {
    let (settings, findings) = try loadConfig(config(line))
    #expect(settings == nil)
    #expect(findings.count == 1, "\(findings)")
    #expect(findings.first?.contains("sluice.yaml:5:") == true, "\(findings)")
  }

  @Test("user nobody is an error and user root a warning, each at its location and with what to write")
  func sharedUsers() throws {
    let nobody = try loadConfig(config("user: nobody"))
    #expect(nobody.settings == nil)
    #expect(nobody.findings.first?.contains("sluice.yaml:5:7: error: user nobody owns processes of other") == true)
    let root = try loadConfig(config("user: root"))
    #expect(root.settings?.user.name == "root")
    #expect(root.findings.first?.contains("sluice.yaml:5:7: warning: user root") == true, "\(root.findings)")
  }

  @Test(
    "listen addresses: none, wrong and conflicting ones are errors",
    arguments: [
      "[]", "", "127.0.0.1:53", "[ x ]", "[ 127.0.0.1:0 ]", "[ \"fd00::1:53x\" ]", "[ \"[127.0.0.1]:53\" ]",
      "[ 127.0.0.1, 127.0.0.1:53 ]", "[ \"0.0.0.0:54\", \"127.0.0.1:54\" ]", "[ \"127.0.0.1:54\", \"0.0.0.0:54\" ]",
      "[ [ 127.0.0.1 ] ]",
      "[ localhost ]",
    ])
  func listen(value: String) throws {
    let text = config().replacingOccurrences(of: "listen: [ \"127.0.0.1:5353\" ]", with: "listen: \(value)")
    let (settings, findings) = try loadConfig(text)
    #expect(settings == nil)
    #expect(findings.count == 1, "\(findings)")
  }

  @Test("wildcard addresses of both families and several ports stand together")
  func wildcards() throws {
    let value = "listen: [ 0.0.0.0, \"[::]\", \"127.0.0.1:5353\" ]"
    let text = config().replacingOccurrences(of: "listen: [ \"127.0.0.1:5353\" ]", with: value)
      .replacingOccurrences(of: "udp://127.0.0.2", with: "udp://127.0.0.2:5354")
    #expect(try loadConfig(text).findings == [])
  }

  private static let pin = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

  @Test(
    "upstreams: none, unknown schemes, loops and tls:// without a name are errors",
    arguments: [
      ("[]", "at least one"), ("[ 192.0.2.1 ]", "expected udp://192.0.2.1"),
      ("[ 192.0.2.1:53 ]", "expected udp://192.0.2.1"), ("[ \"2001:db8::1\" ]", "expected \"udp://[2001:db8::1]\""),
      ("[ \"quic://192.0.2.1\" ]", "expected udp://192.0.2.1"), ("[ \"tcp://192.0.2.1#a.example\" ]", "expected"),
      ("[ dns.example.net ]", "udp://192.0.2.54"),
      ("[ {} ]", "'address' is missing"), ("[ { insecure: true } ]", "'address' is missing"),
      ("[ { address: 192.0.2.1, insecure: true } ]", "expected udp://192.0.2.1"),
      ("[ { address: \"udp://127.0.0.3\", insecure: maybe } ]", "expected on or off"),
      ("[ { address: \"udp://127.0.0.3\", secure: true } ]", "did you mean 'insecure'"),
      ("[ { address: \"udp://127.0.0.1:5353\" } ]", "loop"), ("[ { address: [ a ] } ]", "a list found"),
      ("[ \"udp://192.0.2.1#name\" ]", "udp://192.0.2.54"),
      ("[ \"udp://127.0.0.1:5353\" ]", "loop"),
      ("[ \"udp://[::ffff:127.0.0.1]:5353\" ]", "loop"), ("[ udp://127.0.0.2, udp://127.0.0.2:53 ]", "once"),
      ("[ \"tls://192.0.2.53\" ]", "write tls://192.0.2.53:853#NAME, or list its keys in 'pins'"),
      ("[ { address: \"tls://192.0.2.53\", pins: [] } ]", "has no name"), ("[ \"tls://192.0.2.53#\" ]", "such as #dns"),
      ("[ \"tls://192.0.2.53#192.0.2.53\" ]", "such as #dns"), ("[ \"tls://192.0.2.53#a b\" ]", "such as #dns"),
      ("[ { address: \"tls://192.0.2.53#a.example\", insecure: true } ]", "'insecure' is not for a tls://"),
      ("[ { address: \"udp://127.0.0.3\", ca: ca.pem } ]", "'ca' is not for a udp://"),
      ("[ { address: \"udp://127.0.0.3\", pins: [] } ]", "'pins' is not for a udp://"),
      ("[ { address: \"tls://192.0.2.53#a.example\", ca: nowhere.pem } ]", "does not exist"),
      ("[ { address: \"tls://192.0.2.53\", ca: sluice.yaml, pins: [ \"\(pin)\" ] } ]", "'ca' stands for names"),
      ("[ { address: \"tls://192.0.2.53\", pins: [ sha256/AAAA ] } ]", "expected a key as sha256/"),
      (
        "[ { address: \"tls://192.0.2.53\", pins: [ \"sha1/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\" ] } ]",
        "a key"
      ),
      ("[ \"tls://192.0.2.53#a.example\", \"tls://192.0.2.53:853#A.example\" ]", "once"),
      ("[ \"tls://127.0.0.1:5353#a.example\" ]", "loop"),
      ("[ \"https://192.0.2.53/dns-query\" ]", "has no name that its certificate must be for"),
      ("[ \"https://192.0.2.53#a.example\" ]", "such as https://192.0.2.53/dns-query#a.example"),
      ("[ \"https://192.0.2.53/dns-query{?dns}#a.example\" ]", "without a query"),
      ("[ \"https://192.0.2.53/a b#a.example\" ]", "expected the path"),
      ("[ \"https://192.0.2.53/dns-query#192.0.2.53\" ]", "expected the name"),
      ("[ \"https://dns.example.net/dns-query\" ]", "https://ADDRESS/dns-query#dns.example.net"),
      ("[ \"tls://dns.example.net\" ]", "tls://ADDRESS#dns.example.net"),
      ("[ { address: \"https://192.0.2.53/dns-query#a.example\", insecure: true } ]", "key 'insecure'"),
      ("[ \"https://192.0.2.53/q#a.example\", \"https://192.0.2.53:443/q#A.example\" ]", "once"),
    ])
  func upstreams(value: String, message: String) throws {
    let text = config().replacingOccurrences(of: "upstreams: [ udp://127.0.0.2 ]", with: "upstreams: \(value)")
    let (settings, findings) = try loadConfig(text)
    #expect(settings == nil)
    #expect(findings.count == 1, "\(findings)")
    #expect(findings.first?.contains("sluice.yaml:2:") == true)
    #expect(findings.first?.contains(message) == true, "\(findings)")
  }

  @Test("a server's certificate is for a name as long as names may be, and for no longer one", arguments: [253, 254])
  func longestServerName(count: Int) throws {
    let name = String(String(repeating: "abc.", count: 64).prefix(count - 1)) + "z"
    #expect(name.utf8.count == count)
    let (settings, findings) = try loadConfig(
      config().replacingOccurrences(of: "udp://127.0.0.2", with: "\"tls://192.0.2.53#\(name)\""))
    #expect((settings?.upstreams.first?.tlsName == name) == (count == 253), "\(findings)")
    #expect(findings.contains { $0.contains("such as #dns.example.net") } == (count == 254), "\(findings)")
  }

  @Test("an upstream that may answer with addresses it made up is warned about, unless those are meant")
  func proxies() throws {
    func warnings(_ upstream: String, _ more: String = "") throws -> [String] {
      let text = config(more).replacingOccurrences(
        of: "udp://127.0.0.2", with: "{ address: \"udp://\(upstream)\", insecure: true }")
      return try loadConfig(text).findings.filter { $0.contains("is a proxy's or a VPN client's") }
    }
    for (upstream, network) in [("198.18.0.2", "198.18.0.0/15"), ("100.100.100.100", "100.64.0.0/10")] {
      let found = try warnings(upstream)
      #expect(found.count == 1 && found[0].contains("write `private: [ \(network) ]`"), "\(found)")
      #expect(try warnings(upstream, "private: [ \(network) ]") == [])
      #expect(try warnings(upstream, "private: [ 10.0.0.0/8 ]").count == 1)
    }
    #expect(try warnings("192.0.2.53") == [])
  }

  @Test("an upstream by TCP alone is warned about as one by UDP is, unless the path to it is trusted")
  func streamUpstreams() throws {
    func load(_ upstreams: String) throws -> (Settings?, [String]) {
      try loadConfig(
        config().replacingOccurrences(of: "upstreams: [ udp://127.0.0.2 ]", with: "upstreams: \(upstreams)"))
    }
    let (settings, findings) = try load("[ tcp://192.0.2.53, \"tcp://[2001:db8::54]:5353\" ]")
    #expect(settings?.upstreams.map(\.description) == ["tcp://192.0.2.53:53", "tcp://[2001:db8::54]:5353"])
    #expect(settings?.upstreams.map(\.scheme) == [.tcp, .tcp])
    #expect(
      findings.count == 2 && findings[0].contains("tcp:// upstream 192.0.2.53 is not authenticated"), "\(findings)")
    #expect(try load("[ { address: tcp://192.0.2.53, insecure: true }, tcp://127.0.0.2 ]").1 == [])
  }

  @Test("an upstream by TLS has a port, a name, authorities and keys, and is not warned about")
  func secureUpstreams() throws {
    let (settings, findings) = try loadConfig(
      config().replacingOccurrences(
        of: "upstreams: [ udp://127.0.0.2 ]",
        with: """
          upstreams:
            - tls://192.0.2.53#DNS.example.net
            - { address: "tls://[2001:db8::54]:8853#a.example", ca: sluice.yaml, pins: [ "\(Self.pin)", "\(Self.pin)" ] }
            - { address: tls://192.0.2.55, pins: [ "\(Self.pin)" ] }
          """))
    #expect(findings == [])
    let upstreams = try #require(settings?.upstreams)
    #expect(
      upstreams.map(\.description) == [
        "tls://192.0.2.53:853#dns.example.net", "tls://[2001:db8::54]:8853#a.example", "tls://192.0.2.55:853",
      ])
    #expect(upstreams.map(\.scheme) == [.tls, .tls, .tls])
    #expect(upstreams[0].authorities == nil && upstreams[0].pins.isEmpty)
    #expect(upstreams[1].authorities?.hasSuffix("/sluice.yaml") == true)
    #expect(upstreams[1].pins.map(\.description) == [Self.pin] && upstreams[2].pins == upstreams[1].pins)
  }

  @Test("an upstream by HTTPS has a path besides, which is another server where it is another one")
  func httpUpstreams() throws {
    let (settings, findings) = try loadConfig(
      config().replacingOccurrences(
        of: "upstreams: [ udp://127.0.0.2 ]",
        with: """
          upstreams:
            - https://192.0.2.53/dns-query#DNS.example.net
            - https://192.0.2.53/other#dns.example.net
            - { address: "https://[2001:db8::54]:8443/a/b~c%20d#a.example", ca: sluice.yaml, pins: [ "\(Self.pin)" ] }
            - { address: "https://192.0.2.55/", pins: [ "\(Self.pin)" ] }
          """))
    #expect(findings == [])
    let upstreams = try #require(settings?.upstreams)
    #expect(
      upstreams.map(\.description) == [
        "https://192.0.2.53:443/dns-query#dns.example.net", "https://192.0.2.53:443/other#dns.example.net",
        "https://[2001:db8::54]:8443/a/b~c%20d#a.example", "https://192.0.2.55:443/",
      ])
    #expect(upstreams.allSatisfy { $0.scheme == .https && $0.scheme.isEncrypted })
    #expect(upstreams[2].path == "/a/b~c%20d" && upstreams[2].pins.count == 1)
  }

  @Test("an upstream in the clear beside one by TLS is warned about, trusted or not, unless it is on this host")
  func mixedUpstreams() throws {
    func findings(_ other: String) throws -> [String] {
      try loadConfig(
        config().replacingOccurrences(
          of: "upstreams: [ udp://127.0.0.2 ]", with: "upstreams: [ \"tls://192.0.2.53#a.example\", \(other) ]")
      ).findings
    }
    #expect(try findings("udp://127.0.0.2") == [])
    let trusted = try findings("{ address: udp://192.0.2.54, insecure: true }")
    #expect(trusted.count == 1 && trusted[0].contains("stands beside tls:// upstreams"), "\(trusted)")
    #expect(try findings("udp://192.0.2.54").count == 2)
  }

  @Test("an upstream that is not on this host is warned about")
  func upstreamWarning() throws {
    let text = config().replacingOccurrences(of: "127.0.0.2", with: "192.0.2.54")
    let (settings, findings) = try loadConfig(text)
    #expect(settings != nil)
    #expect(findings.count == 1)
    #expect(findings.first?.contains("warning: udp:// upstream 192.0.2.54 is not authenticated") == true)
    #expect(findings.first?.hasSuffix("write { address: \"udp://192.0.2.54\", insecure: true }") == true, "\(findings)")
  }

  @Test("an upstream whose path is trusted, in so many words, is warned of no more; it is the same upstream")
  func trustedUpstream() throws {
    func load(_ upstreams: String) throws -> (settings: Settings?, findings: [String]) {
      try loadConfig(
        config().replacingOccurrences(of: "upstreams: [ udp://127.0.0.2 ]", with: "upstreams: \(upstreams)"))
    }
    let plain = try load("[ udp://192.0.2.54, \"udp://[2001:db8::54]:5300\" ]")
    #expect(plain.findings.count == 2)
    let trusted = try load(
      "[ { address: udp://192.0.2.54, insecure: true }, { insecure: yes, address: \"udp://[2001:db8::54]:5300\" } ]")
    #expect(trusted.findings == [])
    #expect(trusted.settings?.upstreams == plain.settings?.upstreams)
    // Each for itself, and only where it is said.
    #expect(try load("[ { address: udp://192.0.2.54 } ]").findings.count == 1)
    #expect(try load("[ { address: udp://192.0.2.54, insecure: false } ]").findings.count == 1)
    #expect(try load("[ { address: udp://192.0.2.54, insecure: true }, udp://192.0.2.55 ]").findings.count == 1)
  }

  @Test("figures are served on loopback alone, or not; a user may be called null")
  func metrics() throws {
    for value in ["off", "no"] {
      let (settings, findings) = try loadConfig(config("metrics: \(value)"))
      #expect(settings != nil && settings?.metrics == nil && findings == [], "\(findings)")
    }
    for value in ["127.0.0.1:9153", "\"[::1]:9153\"", "\"[::ffff:127.0.0.1]:9153\""] {
      #expect(try loadConfig(config("metrics: \(value)")).settings?.metrics?.port == 9153, "\(value)")
    }
    #expect(try loadConfig(config("user: \"null\"")).settings?.user.name == "null")
  }

  @Test("a file is named from the root, or from the folder of the file that names it")
  func paths() {
    #expect(ConfigFiles.resolve("/a/b.yaml", from: "/etc/sluice.yaml") == "/a/b.yaml")
    #expect(ConfigFiles.resolve("b.yaml", from: "/etc/sluice.yaml") == "/etc/b.yaml")
    #expect(ConfigFiles.resolve("b.yaml", from: "sluice.yaml") == "b.yaml")
  }

  @Test("missing keys are named one by one")
  func missingKeys() throws {
    let findings = try loadConfig("workers: 1\naudit: { path: a.jsonl }\n").findings
    #expect(findings.count == 3)
    for key in ["listen", "upstreams", "policies"] {
      #expect(findings.contains { $0.contains("key '\(key)' is missing") })
    }
  }

  @Test(
    "a configuration that is empty, no mapping, or two documents is an error",
    arguments: [
      "", "\n", "---\n", "# nothing\n", "- a\n", "text\n", "\u{FEFF}", "a: [", "\"a\": \u{1}", "!tag {}", "*a",
    ])
  func wrongShapes(text: String) throws {
    let (settings, findings) = try loadConfig(text)
    #expect(settings == nil)
    #expect(!findings.isEmpty)
  }

  @Test("a second document in the configuration is an error")
  func twoDocuments() throws {
    let findings = try loadConfig(config() + "\n---\nworkers: 2\n").findings
    #expect(findings.count == 1)
    #expect(findings.first?.contains("expected one") == true)
  }

  @Test("files that are missing, directories, devices or empty directories are errors that say so")
  func unreadable() throws {
    let missing = SettingsLoader.load(path: "/nonexistent/sluice.yaml")
    #expect(
      missing.diagnostics.map(\.description) == [
        "/nonexistent/sluice.yaml: error: does not exist, or its directory cannot be searched"
      ])
    let directory = try ConfigDirectory(["sluice.yaml": config(), "policy.yaml/README": ""])
    #expect(directory.findings().first?.contains("holds no *.yaml file") == true)
    #expect(SettingsLoader.load(path: directory.path).diagnostics.first?.message == "is a directory, expected a file")
    #expect(SettingsLoader.load(path: "/dev/zero").diagnostics.first?.message == "is no regular file")
  }

  @Test("one policy file named twice is an error")
  func namedTwice() throws {
    let text = config().replacingOccurrences(
      of: "policies: policy.yaml", with: "policies: [ policy.yaml, policy.yaml ]")
    let findings = try loadConfig(text).findings
    #expect(findings.count == 1)
    #expect(findings.first?.contains("is named twice") == true)
  }

  @Test("the shipped zones are found in the directories given")
  func shippedZones() throws {
    let directory = try ConfigDirectory([
      "sluice.yaml": config(), "policy.yaml": plainPolicy, "shipped/sinkhole.zone": "",
    ])
    let loaded = SettingsLoader.load(
      path: directory.path + "/sluice.yaml", zoneDirectories: ["/nonexistent", directory.path + "/shipped"])
    let zones = try #require(loaded.settings?.zones)
    guard case .file(let path, _) = zones[0] else { return #expect(Bool(false), "\(zones)") }
    #expect(path == directory.path + "/shipped/sinkhole.zone")
    #expect(zones[1] == .builtIn(name: "special-use.zone"))
  }
}
