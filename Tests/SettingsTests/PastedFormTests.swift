import EgressPolicy
import Testing

@testable import Settings

@Suite struct PastedFormTests {
  /// The finding on an egress list of one entry, written as YAML has it.
  private func finding(_ entry: String) throws -> String {
    let findings = try loadPolicy("server: a\nnetworks: [ 10.0.0.0/24 ]\negress:\n  - \(entry)\n").findings
    return findings.count == 1 ? findings[0] : "\(findings)"
  }

  @Test(
    "what is pasted from elsewhere is refused with what to write, and that is taken",
    arguments: [
      // Addresses and networks.
      ("45.11.0.10", "is an address", "{ cidr: 45.11.0.10/32 }"),
      ("\"2a10:77::10\"", "is an address", "{ cidr: \"2a10:77::10/128\" }"),
      ("\"[2a10:77::10]\"", "is an address", "{ cidr: \"2a10:77::10/128\" }"),
      ("45.11.0.0/24", "is a network", "{ cidr: 45.11.0.0/24 }"),
      ("\"2a10:77::/64\"", "is a network", "{ cidr: \"2a10:77::/64\" }"),
      ("10.0.0.0/255.255.255.0", "is no network", "{ cidr: 10.0.0.0/24 }"),
      ("45.11.0.10:443", "is an address with a port", "{ cidr: 45.11.0.10/32, ports: [ 443/tcp ] }"),
      ("\"45.11.0.10:53/udp\"", "is an address with a port", "{ cidr: 45.11.0.10/32, ports: [ 53/udp ] }"),
      ("\"[2a10:77::10]:8443\"", "is an address with a port", "{ cidr: \"2a10:77::10/128\", ports: [ 8443/tcp ] }"),
      ("http://45.11.0.10/", "is a URL", "{ cidr: 45.11.0.10/32, ports: [ 80/tcp ] }"),
      // Hosts with a port.
      ("api.github.com:443", "is a host with a port", "api.github.com"),
      ("API.GitHub.com.:8443", "is a host with a port", "{ host: api.github.com, ports: [ 8443/tcp ] }"),
      ("\"api.github.com: 443\"", "is several texts", nil),
      ("\"*.github.com:22/tcp\"", "is a host with a port", "{ host: \"*.github.com\", ports: [ 22/tcp ] }"),
      ("time.example.com:ntp", "is a host with a port", "{ host: time.example.com, ports: [ 123/udp ] }"),
      ("api.github.com:8000-8100", "is a host with a range of ports", nil),
      // URLs.
      ("https://api.github.com", "is a URL", "api.github.com"),
      ("HTTP://api.github.com", "is a URL", "{ host: api.github.com, ports: [ 80/tcp ] }"),
      ("https://api.github.com:8443", "is a URL", "{ host: api.github.com, ports: [ 8443/tcp ] }"),
      ("postgres://me:secret@db.example.com", "is a URL", "{ host: db.example.com, ports: [ 5432/tcp ] }"),
      ("\"//api.github.com\"", "is a URL", nil),
      ("https://bücher.example", "is a URL", "xn--bcher-kva.example"),
      ("git@github.com:owner/name.git", "is a host with a path", nil),
      ("someone@example.com", "has a user before the host", "example.com"),
      // Ports.
      ("443", "is a port", nil),
      ("53/udp", "is a port", nil),
      ("8000-8100", "is a range of ports", nil), ("8000-8100/tcp", "is a range of ports", nil),
      // Wildcards.
      ("\"*\"", "would allow every name", nil), ("\"**\"", "would allow every name", nil),
      ("\"*:8081\"", "would allow every name", nil), ("any", "would allow every name", nil),
      ("\"a.**.example.com\"", "has ** where it is not the whole leftmost label", nil),
      ("\"a*b*.example.com\"", "has two wildcards in one label", nil),
      ("\"a.*\"", "has a wildcard in its last label: anybody can register a name that it would allow", nil),
      ("\"*.co.uk:443\"", "covers a public suffix: anybody can register a name that it allows", nil),
      ("\"https://**.github.io/x\"", "is a URL", nil),
      ("https://.com/x", "covers a public suffix: anybody can register a name that it allows", nil),
      ("\"||co.uk^\"", "is a rule of a filter list", nil),
      (".atlassian.net:443", "is a host with a port", ".atlassian.net"),
      ("https://.atlassian.net", "is a URL", ".atlassian.net"),
      // Rules of filter lists, regular expressions, hosts files.
      ("\"!bad.example.com\"", "denies", nil), ("\"@@||example.com^\"", "denies", nil),
      ("\"^.*[.]example[.]com$\"", "is a regular expression", nil), ("a b", "is several texts", nil),
      ("0.0.0.0 ads.example.com", "is several texts", nil),
      ("\"a.example.com, b.example.com\"", "is several texts", nil),
      // Blanks.
      ("\" api.github.com\"", "has a blank before or behind it", "api.github.com"),
      ("\"api.github.com\\t\"", "has a blank before or behind it", "api.github.com"),
    ] as [(String, String, String?)])
  func refused(entry: String, what: String, instead: String?) throws {
    let finding = try finding(entry)
    #expect(finding.hasPrefix("policy.yaml:4:5: error: '"), "\(finding)")
    #expect(finding.contains("' \(what), expected "), "\(finding)")
    guard let instead else { return }
    #expect(finding.hasSuffix(", expected \(instead)"), "\(finding)")
    let followed = try loadPolicy("server: a\nnetworks: [ 10.0.0.0/24 ]\negress:\n  - \(instead)\n")
    // Of HTTP it is said that its name is not checked.
    let findings = followed.findings.filter { !$0.contains("warning: 80/tcp of ") }
    #expect(followed.policies.count == 1 && findings == [], "\(findings)")
  }

  @Test(
    "where a form means less or more than what can be written, the hint says so",
    arguments: [
      ("\"||example.com^\"", ".example.com"),
      ("https://storage.googleapis.com/packages/", "storage.googleapis.com: all of the host opens, whatever the path"),
      ("api.github.com/v1", "api.github.com: all of the host opens, whatever the path"),
      ("https://*.githubcopilot.com/*", "\"*.githubcopilot.com\": all of the host opens, whatever the path"),
      ("usage*reports*.blob.core.windows.net", "\"*.blob.core.windows.net\", which allows more, or each name"),
      ("api.**.example.com", "\"**.example.com\", which allows more, or each name"),
      ("45.11.0.10/24", "{ cidr: 45.11.0.0/24 }, or { cidr: 45.11.0.10/32 }"),
      // A mask that is none of this network's, or with bits of the address beyond it, says nothing of what is meant.
      ("10.0.0.1/255.255.255.0", "a length in bits such as { cidr: 192.0.2.0/24 }"),
      ("10.0.0.0/255.0.255.0", "a length in bits such as { cidr: 192.0.2.0/24 }"),
      ("\"10.0.0.0/2a10::ffff:ff00\"", "a length in bits such as { cidr: 192.0.2.0/24 }"),
      ("\"2a10:77::/255.255.255.0\"", "a length in bits such as { cidr: \"2001:db8::/64\" }"),
      ("127.0.0.1", "no entry: that is the container itself"), ("\"::1\"", "no entry: that is the container itself"),
      ("10.0.0.1-10.0.0.9", "its networks such as { cidr: "),
      ("git@github.com:owner/name.git", "all of the host opens"),
      ("8000-8100", "ports: [ 8000/tcp, 8001/tcp ]"),
      ("443", "a host with its ports such as { host: api.example.com, ports: [ 443/tcp ] }"),
      ("53/udp", "a host with its ports such as { host: api.example.com, ports: [ 53/udp ] }"),
      ("\"!bad.example.com\"", "what no entry lists is denied"),
    ])
  func qualified(entry: String, instead: String) throws {
    let finding = try finding(entry)
    #expect(finding.contains(", expected ") && finding.contains(instead), "\(finding)")
  }

  @Test(
    "case, a dot at the end and a tab behind a name do not matter",
    arguments: [
      "API.GitHub.COM", "api.github.com.", "API.github.com.", "api.github.com\t",
      "api.github.com # it",
    ])
  func accepted(entry: String) throws {
    let (policies, findings) = try loadPolicy("server: a\nnetworks: [ 10.0.0.0/24 ]\negress:\n  - \(entry)\n")
    #expect(policies.first?.rules.map(\.pattern.description) == ["api.github.com"], "\(findings)")
  }

  @Test(
    "patterns as other lists write them are patterns",
    arguments: [
      ".atlassian.net", "usagereports*.contoso.example", "\"*-ai.contoso.example\"", "\"*.s3.*.example.com\"",
      "api.*.example.com", ".BÜCHER.example.com", "\"*.example.com.\"",
    ])
  func patterns(entry: String) throws {
    let (policies, findings) = try loadPolicy("server: a\nnetworks: [ 10.0.0.0/24 ]\negress:\n  - \(entry)\n")
    #expect(policies.first?.rules.count == 1 && findings == [], "\(findings)")
  }

  @Test("a name that begins with digits, or is all hyphens and letters, is a name")
  func digits() throws {
    for name in ["1.example.com", "8000-8100.example.com", "1and1.example"] {
      #expect(try loadPolicy("server: a\nnetworks: [ 10.0.0.0/24 ]\negress: [ \(name) ]\n").findings == [])
    }
  }

  @Test("a blank behind the colon of a host with a port makes a mapping, and is told as what it is")
  func mapping() throws {
    let finding = try finding("api.github.com: 8443")
    #expect(
      finding
        == "policy.yaml:4:5: error: an entry is a host with a port, expected { host: api.github.com, ports: [ 8443/tcp ] }"
    )
    let mistyped = try loadPolicy("server: a\nnetworks: [ 10.0.0.0/24 ]\negress:\n  - hots: api.github.com\n").findings
    #expect(mistyped.contains { $0.contains("did you mean 'host'") }, "\(mistyped)")
  }

  @Test(
    "what stands behind cidr and is no network is told how to be written",
    arguments: [
      ("45.11.0.10:443", "{ cidr: 45.11.0.10/32, ports: [ 443/tcp ] }"), ("api.github.com", "{ host: api.github.com }"),
      ("10.0.0.0/255.255.0.0", "{ cidr: 10.0.0.0/16 }"), ("10.0.0.1-10.0.0.9", "its networks such as"),
      ("https://api.github.com", "api.github.com"),
    ])
  func prefixes(value: String, instead: String) throws {
    let finding = try finding("cidr: \(value)")
    #expect(finding.hasPrefix("policy.yaml:4:11: error: '\(value)' is no network, expected "), "\(finding)")
    #expect(finding.contains(instead), "\(finding)")
  }

  @Test(
    "what stands in a list of ports and is none is told how to be written",
    arguments: [
      ("443", "expected 443/tcp or 443/udp"), ("https", "expected 443/tcp"), ("tcp/443", "expected 443/tcp"),
      ("8000-8100", "there are no ranges of ports"), ("8000-8100/tcp", "there are no ranges of ports"),
      ("\"8000:8100\"", "there are no ranges of ports"), ("\"*\"", "expected any"), ("0/tcp", "a port such as 443/tcp"),
      ("icmp", "a port such as 443/tcp"), ("70000", "a port such as 443/tcp"),
    ])
  func ports(port: String, message: String) throws {
    let finding = try finding("{ host: api.github.com, ports: [ \(port) ] }")
    #expect(finding.contains(message), "\(finding)")
  }

  @Test("a tab before an entry is named, and a wildcard without quotes is")
  func yaml() throws {
    for text in [
      "egress:\n  - \tapi.github.com\n", "egress:\n\t- api.github.com\n",
      "egress:\n  - host: a.example.com\n\t  ports: any\n",
    ] {
      let findings = try loadPolicy("server: a\nnetworks: [ 10.0.0.0/24 ]\n\(text)").findings
      #expect(findings.count == 1 && findings[0].contains("a tab stands before the text of this line"), "\(findings)")
    }
    for entry in ["*", "*.example.com"] {
      #expect(try finding(entry).contains("a name that begins with '*' needs quotes"))
    }
    #expect(try !finding("[ a").contains("tab"))
  }

  @Test("what only looks like a range, a port or a name with all below it is not called that")
  func others() {
    #expect(PastedForm.of("10.0.0.1-10.0.0.9")?.what == "is a range of addresses")
    #expect(PastedForm.of("10.0.0.1-2-3")?.what != "is a range of addresses")
    #expect(PastedForm.of("8000-8100")?.what == "is a range of ports")
    #expect(PastedForm.of("-8000")?.what != "is a range of ports")
    #expect(PastedForm.ofPort("8000-8100")?.contains("no ranges of ports") == true)
    #expect(PastedForm.ofPort("web-port") == nil)
    #expect(PastedForm.of("||example.com^")?.instead == ".example.com")
    #expect(PastedForm.of("||*.example.com^")?.instead == "the host name alone")
  }

  @Test("what is no answer of a sinkhole, or no server, is told with what would be one")
  func settings() throws {
    func findings(_ line: String, instead of: String = "") throws -> [String] {
      try loadConfig(of.isEmpty ? config(line) : config().replacing(of, with: line)).findings
    }
    #expect(
      try findings("sinkhole: { answer: nope }").contains {
        $0.contains("expected nxdomain, nodata, refused or a list of addresses")
      })
    for (server, isName) in [("https://dns.example.net/dns-query", true), ("https://dns_server/dns-query", false)] {
      let found = try findings(server, instead: "udp://127.0.0.2")
      #expect(found.contains { $0.contains("no name is looked up") } == isName, "\(found)")
    }
  }
}
