import DNSWire
import EgressPolicy
import IPNetwork
import Testing

@testable import Settings

@Suite struct PolicyReaderTests {
  @Test("the seed form works as it stands")
  func seedForm() throws {
    let (policies, findings) = try loadPolicy(plainPolicy)
    #expect(findings == [])
    let policy = try #require(policies.first)
    #expect(policy.name.text == "github-mcp")
    #expect(policy.networks.map(\.prefix.description) == ["10.77.1.0/24"])
    #expect(policy.interface == nil)
    #expect(policy.rules.map(\.pattern.description) == ["api.github.com", "uploads.github.com"])
    #expect(policy.rules.allSatisfy { $0.ports == .https && $0.types == [.A, .AAAA] && $0.privatePrefixes == [] })
    #expect(policy.rules.map(\.location.line) == [4, 5])
    #expect(policy.rules[0].location.file.hasSuffix("/policy.yaml"))
  }

  @Test("the whole grammar of a policy is read")
  func wholeGrammar() throws {
    let (policies, findings) = try loadPolicy(
      """
      server: github-mcp
      networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
      interface: br-mcp-github
      egress:
        - api.github.com
        - host: "**.example.com"
          ports: [ 443/tcp, 22/tcp ]
          types: [ A, AAAA, HTTPS ]
        - host: db.internal.example
          ports: any
          verify: address
          private: [ 10.0.5.0/24 ]
        - cidr: 198.51.100.0/24
          ports: [ 443/tcp ]
        - cidr: 198.51.101.7
      """)
    #expect(findings == [])
    let policy = try #require(policies.first)
    #expect(policy.networks.count == 2)
    #expect(policy.interface == "br-mcp-github")
    #expect(policy.rules[1].ports == PortSet([PortRule(22, .tcp), PortRule(443, .tcp)]))
    #expect(policy.rules[1].types == [.A, .AAAA, .HTTPS])
    #expect(policy.rules[1].pattern.kind == .anyLabels)
    #expect(policy.rules[2].ports == .any)
    #expect(policy.rules[2].privatePrefixes == [IPPrefix("10.0.5.0/24")!])
    #expect(policy.prefixes.map(\.prefix.description) == ["198.51.100.0/24", "198.51.101.7/32"])
    #expect(policy.prefixes.map(\.ports) == [.https, .https])
  }

  @Test("the nearest `cname` holds: the entry's, the document's, the configuration's; beside `cidr` it has no meaning")
  func chains() throws {
    let directory = try ConfigDirectory([
      "sluice.yaml": config("cname: listed"),
      "policy.yaml": """
      server: one
      networks: [ 10.77.1.0/24 ]
      egress: [ a.example.com, { host: b.example.com, cname: follow } ]
      ---
      server: two
      networks: [ 10.77.2.0/24 ]
      cname: strict
      egress: [ a.example.com, { host: b.example.com }, { host: c.example.com, cname: listed } ]
      """,
    ])
    let settings = try #require(directory.load().settings)
    #expect(settings.policies.map { $0.rules.map(\.cname) } == [[.listed, .follow], [.strict, .strict, .listed]])
    #expect(settings.policies.map(\.cname) == [.listed, .strict] && settings.cname == .listed)
    let (_, findings) = try loadPolicy(
      """
      server: one
      networks: [ 10.77.1.0/24 ]
      egress: [ { host: a.example.com, cname: any }, { cidr: 198.51.100.0/24, cname: strict } ]
      """)
    #expect(findings.contains { $0.contains("'any' found, expected one of follow, listed, strict") }, "\(findings)")
    #expect(findings.contains { $0.contains("'cname' has no meaning beside 'cidr'") }, "\(findings)")
  }

  @Test("several documents stand in one file, empty ones are nothing")
  func severalDocuments() throws {
    let text = """
      # comment
      ---
      server: one
      networks: [ 10.1.0.0/24 ]
      egress: []
      ---
      ---
      server: two
      networks: [ 10.2.0.0/24 ]
      egress: [ a.example.com ]
      ...
      """
    let (policies, findings) = try loadPolicy(text)
    #expect(findings == [])
    #expect(policies.map(\.name.text) == ["one", "two"])
    #expect(policies[0].rules.isEmpty)
    #expect(policies[1].location.line == 8)
  }

  @Test("CRLF, a byte order mark and a missing last newline change nothing")
  func lineEnds() throws {
    let text = "\u{FEFF}" + plainPolicy.split(separator: "\n").joined(separator: "\r\n")
    let (policies, findings) = try loadPolicy(text)
    #expect(findings == [])
    #expect(policies.first?.rules.map(\.pattern.description) == ["api.github.com", "uploads.github.com"])
    #expect(policies.first?.rules.map(\.location.line) == [4, 5])
  }

  @Test("UTF-16 and octets that are no UTF-8 are errors with a location")
  func encodings() throws {
    let directory = try ConfigDirectory(["sluice.yaml": config()])
    try directory.write("policy.yaml", [0xFF, 0xFE, 0x61, 0])
    #expect(directory.findings().first == "policy.yaml: error: is UTF-16, expected UTF-8")
    try directory.write("policy.yaml", Array("server: a\nnetworks: ".utf8) + [0xC3, 0x28, 0x0A])
    let findings = directory.findings()
    #expect(findings.first?.hasPrefix("policy.yaml:2:12: error: is not readable text") == true, "\(findings)")
  }

  @Test("a long list is read whole: every name is allowed, its neighbours are not")
  func longList() throws {
    let names = (0..<20_000).map { "host-\($0).zone-\($0 % 97).example.com" }
    let list = names.map { "  - \($0)\n" }.joined()
    let (policies, findings) = try loadPolicy("server: a\nnetworks: [ 10.0.0.0/24 ]\negress:\n" + list)
    #expect(findings == [])
    let snapshot = PolicySnapshot(policies)
    for (index, name) in names.enumerated() {
      let wire = try Name(hostname: name).wire
      #expect(snapshot.decide(server: 0, name: wire.span, type: .A) == .allowed(rule: index))
      let other = try Name(hostname: "x" + name).wire
      #expect(snapshot.decide(server: 0, name: other.span, type: .A) == .notListed)
    }
    #expect(policies[0].rules[19_999].location.line == 20_003)
  }

  @Test("an empty policy file is a warning")
  func emptyFile() throws {
    #expect(try loadPolicy("").findings == ["policy.yaml: warning: holds no policy document"])
  }

  @Test(
    "internationalised names become A-labels",
    arguments: [
      ("bücher.example", "xn--bcher-kva.example"), ("BÜCHER.example", "xn--bcher-kva.example"),
      ("bu\u{308}cher.example", "xn--bcher-kva.example"), ("\"*.例え.テスト\"", "*.xn--r8jz45g.xn--zckzah"),
      ("президент.рф", "xn--d1abbgf6aiiy.xn--p1ai"), ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ])
  func internationalNames(text: String, expected: String) throws {
    let (policies, findings) = try loadPolicy(
      "server: a\nnetworks: [ 10.0.0.0/24 ]\negress: [ \(text) ]\n")
    #expect(policies.first?.rules.map(\.pattern.description) == [expected], "\(findings)")
  }

  @Test(
    "names in doubt are refused rather than guessed",
    arguments: [
      "stra\u{DF}e.example", "\u{3C3}\u{3C2}.example", "\u{212A}.example", "\u{130}x.example", "\u{FF41}.example",
      "a\u{200D}b\u{FC}.example", "-\u{FC}.example", "\u{FC}-.example", "xn--\u{FC}.example", "\u{301}a.example",
      "a\u{3002}example", "\u{1F600}.example", "\u{FC} b.example", "\u{FC}$.example",
    ])
  func doubtfulNames(name: String) throws {
    let (policies, findings) = try loadPolicy("server: a\nnetworks: [ 10.0.0.0/24 ]\negress: [ \"\(name)\" ]\n")
    #expect(policies.isEmpty)
    #expect(findings.count == 1, "\(findings)")
    #expect(findings.first?.hasPrefix("policy.yaml:3:11: error: ") == true, "\(findings)")
  }

  @Test(
    "a name in doubt is told what of it is in doubt, and one that was pasted what was meant",
    arguments: [
      ("stra\u{DF}e.example", "has no certain A-label; write the A-label (xn--…)"),
      ("\u{212A}.example", "only looks like an ASCII one; write the A-label (xn--…)"),
      (String(repeating: "\u{FC}", count: 63) + ".example", "has a label longer than 63 octets"),
      ("https://stra\u{DF}e.example/x", "expected the host name alone, without scheme and path"),
    ])
  func reasonsOfDoubt(name: String, end: String) throws {
    let (_, findings) = try loadPolicy("server: a\nnetworks: [ 10.0.0.0/24 ]\negress: [ \"\(name)\" ]\n")
    #expect(findings.count == 1 && findings[0].hasSuffix(end), "\(findings)")
  }

  @Test(
    "an entry that cannot be understood is one error at its location",
    arguments: [
      ("\"*\"", "every name"), ("10.0.0.1", "cidr"), ("https://a..example.com/x", "without scheme"),
      ("\"a..example.com:443\"", "under 'ports:'"), ("a$b", "regular"), ("a&b.example.com", "host name"),
      ("[ a.example.com ]", "a list found"),
      ("~", "nothing found"),
      ("{}", "neither"), ("{ host: a.example.com, cidr: 192.0.2.0/24 }", "both"), ("{ host: }", "nothing found"),
      ("{ host: a.example.com, hots: b }", "did you mean 'host'"), ("{ host: a.example.com, ports: [] }", "no ports"),
      ("{ host: a.example.com, ports: [ 443 ] }", "443/tcp"), ("{ host: a.example.com, ports: [ 0/tcp ] }", "443/tcp"),
      ("{ host: a.example.com, ports: [ any, 443/tcp ] }", "alone"), ("{ host: a.example.com, ports: {} }", "list"),
      ("{ host: a.example.com, types: [] }", "no types"),
      ("{ host: a.example.com, types: [ ANY ] }", "never forwarded"),
      ("{ host: a.example.com, types: A }", "list"), ("{ host: a.example.com, private: [ x ] }", "network"),
      ("{ cidr: 192.0.2.0/24, private: [ 10.0.0.0/8 ] }", "no meaning"), ("{ cidr: 192.0.2.1/24 }", "192.0.2.0/24"),
      ("{ [ a ]: b, host: a.example.com }", "a key of"),
    ])
  func badEntries(entry: String, message: String) throws {
    let (policies, findings) = try loadPolicy(
      "server: a\nnetworks: [ 10.0.0.0/24 ]\negress:\n  - ok.example.com\n  - \(entry)\n")
    #expect(policies.isEmpty)
    #expect(findings.count == 1, "\(findings)")
    #expect(findings.first?.hasPrefix("policy.yaml:5:") == true, "\(findings)")
    #expect(findings.first?.contains(message) == true, "\(findings)")
  }

  @Test(
    "a document without server, networks or egress says so",
    arguments: [
      ("networks: [ 10.0.0.0/24 ]\negress: []", "'server' is missing"),
      ("server: a\negress: []", "'networks' is missing"),
      ("server: a\nnetworks: [ 10.0.0.0/24 ]", "'egress' is missing"),
      ("server: a\nnetworks: []\negress: []", "at least one"),
      ("server: a\nnetworks: [ 10.0.0.0/24 ]\negress:", "a list"),
      ("server: a\nnetworks: 10.0.0.0/24\negress: []", "a list"), ("- a", "a mapping"),
      ("server: a\nnetworks: [ 10.0.0.0/24 ]\negress: []\ninterface: a/b", "interface"),
      ("server: a\nnetworks: [ 10.0.0.0/24 ]\negress: []\ninterface: abcdefghijklmnop", "interface"),
      (
        "server: set\nnetworks: [ 10.0.0.0/24 ]\negress: []",
        "nft language or of our own table, expected another name, such as set-mcp"
      ),
    ])
  func badDocuments(text: String, message: String) throws {
    let (policies, findings) = try loadPolicy(text)
    #expect(policies.isEmpty)
    #expect(findings.count == 1, "\(findings)")
    #expect(findings.first?.contains(message) == true, "\(findings)")
  }

  @Test("findings of the whole policy carry both locations")
  func linted() throws {
    let (_, findings) = try loadPolicy(
      """
      server: one
      networks: [ 10.1.0.0/24 ]
      egress: [ "*.co.uk" ]
      ---
      server: two
      networks: [ 10.1.0.0/24 ]
      egress: [ "*.github.io" ]
      """)
    #expect(findings.count == 3)
    #expect(findings[0].hasPrefix("policy.yaml:3:11: error: *.co.uk covers a public suffix"))
    #expect(findings[1].hasPrefix("policy.yaml:6:13: error: network 10.1.0.0/24 belongs to server one already"))
    #expect(findings[1].contains("policy.yaml:2:13"))
    #expect(findings[2].hasPrefix("policy.yaml:7:11: warning: *.github.io covers shared hosting"))
  }
}

@Suite struct YAMLReaderTests {
  private func tree(_ text: String) throws -> YAMLTree {
    try YAMLReader.read(Array(text.utf8), name: "x.yaml")
  }

  @Test("anchors and aliases read as what they stand for, at their own location")
  func aliases() throws {
    let (policies, findings) = try loadPolicy(
      """
      server: a
      networks: [ 10.0.0.0/24 ]
      egress:
        - { host: a.example.com, ports: &web [ 443/tcp, 22/tcp ] }
        - host: b.example.com
          ports: *web
      """)
    #expect(findings == [])
    #expect(policies.first?.rules[1].ports == PortSet([PortRule(443, .tcp), PortRule(22, .tcp)]))
  }

  @Test("an alias bomb, an alias to its own container and an unknown alias are errors")
  func hostileAliases() throws {
    var bomb = "a0: &a0 [ x, x, x, x, x, x, x, x, x, x ]\n"
    for level in 1...20 {
      let aliases = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
      bomb += "a\(level): &a\(level) [ \(aliases) ]\n"
    }
    for (text, message) in [
      (bomb, "repeat more than"), ("&a [ *a ]", "inside its own anchor"), ("[ *b ]", "no anchor"),
    ] {
      let error = #expect(throws: Diagnostic.self) { try tree(text) }
      #expect(error?.message.contains(message) == true, "\(String(describing: error))")
    }
  }

  @Test("deep nesting ends in an error, not in a crash")
  func deepNesting() {
    let text = String(repeating: "[", count: 100_000)
    #expect(throws: Diagnostic.self) { try tree(text) }
  }

  @Test("a single entry is held against what every policy is held against")
  func entry() throws {
    func refusal(_ host: String) -> EgressEntry.EntryError? {
      do throws(EgressEntry.EntryError) {
        _ = try EgressEntry.rule(host: host, ports: [], types: [], until: 1, named: "permit 1")
        return nil
      } catch {
        return error
      }
    }
    #expect(refusal("api.example.com") == nil)
    #expect(refusal("**.co.uk")?.problems.contains { $0.contains("public suffix") } == true)
  }

  @Test("anchors end with their document")
  func anchorScope() {
    #expect(throws: Diagnostic.self) { try tree("a: &x 1\n---\nb: *x\n") }
  }

  @Test("random octets are read or refused, never a crash", arguments: 0..<200)
  func randomOctets(seed: Int) {
    let alphabet = Array("abc:-,[]{}&*!|>'\"#%@` \n\t?~x\u{FC}".utf8)
    var state = UInt64(seed + 1)
    let octets = (0..<300).map { _ -> UInt8 in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return alphabet[Int(state >> 33) % alphabet.count]
    }
    let documents = (try? YAMLReader.read(octets, name: "x.yaml"))?.documents ?? []
    var reader = PolicyReader()
    for document in documents { #expect(reader.document(document) == nil || reader.findings.diagnostics.isEmpty) }
  }

  @Test(
    "punycode agrees with RFC 3492 section 7.1",
    arguments: [
      ("他们为什么不说中文", "ihqwcrb4cv8a8dqg056pqjye"), ("почемужеонинеговорятпорусски", "b1abfaaepdrnnbgefbadotcwatmq2g4l"),
      ("3年b組金八先生", "3b-ww4c5e180e575a65lsy2b"), ("bücher", "bcher-kva"),
    ])
  func punycode(text: String, expected: String) {
    #expect(Punycode.encode(Array(text.unicodeScalars)) == expected)
  }
}
