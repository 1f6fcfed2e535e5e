import DNSWire
import IPNetwork
import Testing

@testable import EgressPolicy

@Suite struct PolicyLinterTests {
  private func findings(_ patterns: [String]) throws -> [Diagnostic] {
    PolicyLinter.check([try server(patterns)])
  }

  @Test("a policy without faults has no findings")
  func clean() throws {
    let patterns = ["api.github.com", "*.example.com", "**.internal.example.com", "db.internal", "a.b.github.io"]
    #expect(try findings(patterns) == [])
  }

  @Test("a finding begins with its place, and where it stands in no file with its severity")
  func places() {
    func text(_ file: String, _ line: Int) -> String {
      Diagnostic.warning("stays closed", at: SourceLocation(file: file, line: line, column: line)).description
    }
    #expect(text("a.yaml", 3) == "a.yaml:3:3: warning: stays closed")
    #expect(text("a.yaml", 0) == "a.yaml: warning: stays closed")
    #expect(text("", 0) == "warning: stays closed")
  }

  @Test(
    "a wildcard over a public suffix is an error",
    arguments: [
      "**.com", "*.com", "*.co.uk", "**.uk", "**.jp", "*.ck", "**.kawasaki.jp", "*.kawasaki.jp", "*.xn--p1ai",
      "**.arpa",
      "*.nosuchtoplevel", "*.com.au", ".com", ".co.uk", "a.*.com", "a*.com", "*-x.co.uk", "*.a.*.uk", "**.a.*.com",
    ])
  func publicSuffix(pattern: String) throws {
    let found = try findings([pattern])
    #expect(found.map(\.severity) == [.error], "\(found)")
    #expect(found.first?.message.contains("public suffix") == true)
  }

  @Test(
    "a wildcard over shared hosting is a warning",
    arguments: [
      "*.s3.amazonaws.com", "*.github.io", "**.workers.dev", "**.amazonaws.com", "*.trycloudflare.com", "*.ngrok.io",
      "*.blob.core.windows.net", "*.pages.dev", "*.storage.googleapis.com", "*.githubusercontent.com",
      ".github.io", "x-*.github.io", "**.a-*.github.io", "*.s3.*.amazonaws.com", "*.*.amazonaws.com",
      "usage*.blob.core.windows.net", "bucket.*.linodeobjects.com",
    ])
  func sharedHosting(pattern: String) throws {
    let found = try findings([pattern])
    #expect(found.map(\.severity) == [.warning], "\(found)")
    #expect(found.first?.message.contains("shared hosting") == true)
  }

  @Test("the warning over shared hosting says whose users they are, and the error over a forgotten dot what is meant")
  func whoElse() throws {
    let texts = try [
      "*.github.io", "*.s3.*.amazonaws.com", "*example.com", "*co.uk", "*-x.com", "*.com",
    ].map { try findings([$0]).first?.message ?? "" }
    #expect(texts[0].contains("every user of github.io can put content"), "\(texts[0])")
    #expect(texts[1].contains("every user of s3.") && texts[1].contains(" more can put content"), "\(texts[1])")
    #expect(texts[2].hasSuffix(", expected \"*.example.com\" for one label in front of it"), "\(texts[2])")
    // What would be refused as well is no help.
    for text in texts[3...] { #expect(text.hasSuffix("anybody can register a name that it allows"), "\(text)") }
  }

  @Test("64 patterns with * inside may end with one suffix; the next one is an error where it stands")
  func innerWildcards() throws {
    let patterns = (0..<64).map { "a\($0)-*.example.com" }
    #expect(try findings(patterns + ["a0-*.example.com", "*.example.com", "b-*.example.net"]) == [])
    let found = PolicyLinter.check([
      try server(rules: patterns.map { try rule($0) } + [try rule("*.b.*.example.com", line: 70)])
    ])
    #expect(found.count == 1 && found.first?.severity == .error && found.first?.location.line == 70, "\(found)")
    #expect(found.first?.message.contains("expected at most 64") == true)
  }

  @Test(
    "a wildcard over one owner's names is fine",
    arguments: [
      "*.github.com", "**.example.co.uk", "*.city.kawasaki.jp", "**.user.github.io", "*.mybucket.s3.amazonaws.com",
      ".example.com", "*-ai.core.windows.net", "a.*.example.com", "a-*.example.co.uk", "api.*.user.github.io",
      "*.mybucket.s3.*.amazonaws.com",
    ])
  func ownNames(pattern: String) throws {
    #expect(try findings([pattern]) == [])
  }

  @Test(
    "an engine's name for its host is warned about, names below and beside it are not",
    arguments: [
      ("host.docker.internal", true), ("Host.Docker.Internal.", true), ("gateway.docker.internal", true),
      ("host.containers.internal", true), ("a.host.docker.internal", false), ("docker.internal", false),
      ("*.docker.internal", false), ("*.host.docker.internal", false),
      ("host.docker.internal.example.com", false),
    ])
  func enginesHost(name: String, isWarned: Bool) throws {
    let found = try findings([name])
    #expect(found.map(\.severity) == (isWarned ? [.warning] : []), "\(found)")
    #expect(found.allSatisfy { $0.message.contains("an engine's name for this host") })
  }

  @Test("an exact name is never a public suffix error", arguments: ["co.uk", "github.io"])
  func exactNames(name: String) throws {
    #expect(try findings([name]) == [])
  }

  @Test(
    "an entry that can have no effect is warned about",
    arguments: ["localhost", "a.localhost", "intranet", "1.0.10.in-addr.arpa"])
  func answeredLocally(name: String) throws {
    let found = try findings([name])
    #expect(found.map(\.severity) == [.warning], "\(found)")
    #expect(found.first?.message.contains("answered locally, never forwarded") == true)
  }

  @Test(
    "an entry that forwards a special-use name is warned about",
    arguments: [
      "printer.local", "a.test", "x.onion", "nas.home.arpa", "a.invalid", "use-application-dns.net",
      "*.printers.local", "**.corp.test",
    ])
  func specialUse(name: String) throws {
    let found = try findings([name])
    #expect(found.map(\.severity) == [.warning], "\(found)")
    #expect(found.first?.message.contains("this entry forwards it") == true)
  }

  @Test("one network for two servers, or twice for one, names both locations")
  func duplicateNetworks() throws {
    let found = PolicyLinter.check([
      try server("one", networks: ["10.77.1.0/24", "10.77.1.0/24"], [], line: 3),
      try server("two", networks: ["10.77.1.0/24", "10.77.1.0/25"], [], line: 9),
    ])
    #expect(found.map(\.severity) == [.error, .error])
    #expect(found.map(\.location.line) == [3, 9])
    #expect(found.allSatisfy { $0.message.contains("policy.yaml:3:5") && $0.message.contains("server one") })
  }

  @Test("a server may appear once")
  func duplicateServers() throws {
    let found = PolicyLinter.check([
      try server("one", networks: ["10.1.0.0/24"], line: 2), try server("one", networks: ["10.2.0.0/24"], line: 8),
      try server("one", networks: ["10.3.0.0/24"], line: 11),
    ])
    #expect(found.map(\.location.line) == [8, 11])
    #expect(found.allSatisfy { $0.severity == .error && $0.message.contains("policy.yaml:2:5") })
  }

  @Test("private prefixes outside private space and over metadata services are warned about")
  func privatePrefixes() throws {
    func messages(_ prefix: String) throws -> [String] {
      let rules = [try rule("db.example.com", private: [try IPPrefix.parse(prefix)])]
      return PolicyLinter.check([try server(rules: rules)]).map(\.message)
    }
    #expect(try messages("10.0.5.0/24") == [])
    #expect(try messages("fd12::/32") == [])
    #expect(try messages("8.8.8.0/24").count == 1)
    #expect(try messages("0.0.0.0/0").count == 2)
    #expect(try messages("169.254.0.0/16").count == 1)
    #expect(try messages("100.64.0.0/10").count == 1)
    #expect(try messages("168.63.129.16/32").count == 2)
    #expect(try messages("64:ff9b::/96").contains { $0.contains("carry IPv4") })
    #expect(try messages("64:ff9b::a00:0/104").contains { $0.contains("carry IPv4") })
    #expect(try messages("2002::/15").contains { $0.contains("carry IPv4") })
    #expect(try messages("10.0.0.0/7").count == 1)
  }

  @Test("prefixes over another server's network are warned about: wider, narrower, private or static")
  func othersNetworks() throws {
    func messages(private text: String? = nil, cidr: String? = nil) throws -> [String] {
      let rules = try text.map { [try rule("db.example.com", private: [try IPPrefix.parse($0)])] } ?? []
      let prefixes = try cidr.map { [StaticPrefixRule(prefix: try IPPrefix.parse($0), location: location(9))] } ?? []
      let asking = ServerPolicy(
        name: try ServerName("asking"),
        networks: [ServerNetwork(prefix: try .parse("10.1.0.0/24"), location: location(1))],
        rules: RuleList(rules), prefixes: prefixes, location: location(1))
      return PolicyLinter.check([asking, try server("other", networks: ["10.2.0.0/16", "fd02::/32"])]).map(\.message)
    }
    for text in ["10.2.3.0/24", "10.2.0.0/16", "10.0.0.0/8", "fd02:0:1::/64", "fd00::/8"] {
      #expect(try messages(private: text).contains { $0.contains("a network of other") }, "\(text)")
      #expect(try messages(cidr: text).contains { $0.contains("a network of other") }, "\(text)")
    }
    for text in ["10.1.0.0/24", "10.3.0.0/16", "fd03::/32"] { #expect(try messages(private: text) == [], "\(text)") }
    #expect(try messages(cidr: "168.63.129.0/24").contains { $0.contains("metadata") })
    #expect(try messages(cidr: "45.11.0.0/16") == [])
    #expect(try messages(cidr: "0.0.0.0/0") == ["0.0.0.0/0 opens every address"])
    #expect(try messages(cidr: "::/0") == ["::/0 opens every address"])
  }

  @Test("mapped and catch-all networks are pointed out")
  func oddNetworks() throws {
    let found = PolicyLinter.check([try server("one", networks: ["::ffff:10.0.0.0/104", "0.0.0.0/0"])])
    #expect(found.map(\.severity) == [.error, .warning])
  }

  @Test("the registrable domain is one label under the suffix")
  func registrable() throws {
    func domain(_ text: String) throws -> String? {
      PublicSuffix.registrableDomain(of: try Name(hostname: text))?.description
    }
    #expect(try domain("a.b.example.co.uk") == "example.co.uk")
    #expect(try domain("example.com") == "example.com")
    #expect(try domain("co.uk") == nil)
    #expect(try domain("com") == nil && PublicSuffix.registrableDomain(of: .root) == nil)
    #expect(try domain("a.nosuchtoplevel") == "a.nosuchtoplevel")
    #expect(try domain("x.user.github.io") == "user.github.io")
    #expect(try domain("www.ck") == "www.ck")
  }
}
