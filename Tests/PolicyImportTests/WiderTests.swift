import EgressPolicy
import IPNetwork
import Settings
import Testing

@testable import PolicyImport

@Suite("Nothing opens that the source's tool keeps closed, unless it is said")
struct WiderTests {
  private func cilium(_ rule: String, key: String = "egress") throws -> ImportedPolicy {
    try imported(.cilium, text: "{ kind: CiliumNetworkPolicy, spec: { \(key): [ \(rule) ] } }")
  }

  @Test(
    "what a network is without its exceptions opens, and no address of them",
    arguments: [
      ("10.0.0.0/8", "10.96.0.0/12"), ("2001:db8:5::/48", "2001:db8:5:8000::/50"), ("8.0.0.0/6", "9.9.9.9/32"),
    ])
  func exceptions(network: String, hole: String) throws {
    let policy = try cilium("{ toCIDRSet: [ { cidr: '\(network)', except: [ '\(hole)' ] } ] }")
    let whole = try #require(IPPrefix(network))
    let exception = try #require(IPPrefix(hole))
    let open = policy.snapshot.servers[0].prefixes.map(\.prefix)
    #expect(open.count == exception.length - whole.length, "\(policy.text)")
    #expect(
      open.allSatisfy {
        whole.contains($0.address) && !$0.contains(exception.address) && !exception.contains($0.address)
      })
    #expect(whole.isCovered(by: open + [exception]))
    #expect(policy.counts.kept == 1 && policy.refusals.isEmpty)
  }

  @Test("a network whose exceptions leave too much to be listed, or nothing, is not opened at all")
  func manyExceptions() throws {
    let holes = (0..<64).map { "10.\($0).0.1" }.joined(separator: ", ")
    for (except, refusals) in [(holes, 1), ("10.0.0.0/8", 0)] {
      let policy = try cilium("{ toCIDRSet: [ { cidr: 10.0.0.0/8, except: [ \(except) ] } ] }")
      #expect(policy.snapshot.servers[0].prefixes.isEmpty && policy.refusals.count == refusals, "\(policy.text)")
    }
    #expect(throws: Diagnostic.self) { try cilium("{ toCIDRSet: [ { cidr: 10.0.0.0/8, except: [ x ] } ] }") }
  }

  @Test(
    "names that are denied there and not here are refused",
    arguments: [
      (ImportFormat.codex, "[permissions.w.network.domains]\n'*.example.com'='allow'\n'ads*.example.com'='deny'"),
      (.agenticWorkflow, "network: { allowed: [ example.com ], blocked: [ 'ads*.example.com' ] }"),
    ])
  func denials(format: ImportFormat, text: String) throws {
    let policy = try imported(format, text: text)
    #expect(policy.counts.refusedEntries == 1 && policy.refusals.count == 1, "\(policy.text)")
    #expect(!policy.allows("ads1.example.com"), "\(policy.text)")
  }

  @Test("names of TLS are said to be lost, and limits that are not known open nothing")
  func limits() throws {
    let rule = "{ toCIDR: [ 203.0.113.0/24 ], toPorts: [ { KEY: [ only.example.com ], ports: [ { port: '443' } ] } ] }"
    let names = try cilium(rule.replacing("KEY", with: "serverNames"))
    #expect(names.counts.widened == 1, "\(names.text)")
    let unknown = try cilium(rule.replacing("KEY", with: "someNames"))
    #expect(unknown.snapshot.servers[0].prefixes.isEmpty && unknown.refusals.count == 1, "\(unknown.text)")
  }

  @Test("servers of one name in several namespaces, files and specs are several")
  func severalServers() throws {
    let rule: (String) -> String = { "egress: [ { toFQDNs: [ { matchName: \($0).example } ] } ]" }
    let text = ["a", "b"].map {
      "kind: CiliumNetworkPolicy\nmetadata: { name: agent, namespace: \($0) }\nspec: { \(rule($0)) }\n"
    }.joined(separator: "---\n")
    let spaces = try imported(.cilium, text: text)
    #expect(spaces.allows("a.example", of: "agent") && !spaces.allows("b.example", of: "agent"), "\(spaces.text)")
    #expect(spaces.allows("b.example", of: "agent-2"))
    let specs = try imported(
      .cilium, text: "{ kind: CiliumNetworkPolicy, specs: [ { \(rule("a")) }, { \(rule("b")) } ] }")
    #expect(specs.snapshot.servers.count == 2, "\(specs.text)")
    let files = ["a", "b"].map {
      ImportSource(
        name: $0, octets: Array("jobs: { build: { with: { allowed-endpoints: '\($0).example:443' } } }".utf8))
    }
    #expect(PolicyText.read(Array(try PolicyImport.run(.hardenRunner, files).text.utf8), name: "p").policies.count == 2)
    let options = ImportOptions(server: try ServerName("agent"))
    #expect(throws: ImportError.self) { try imported(.cilium, text: text, options: options) }
  }

  @Test("a hosts file is no list: what it blocks is not opened")
  func hosts() throws {
    let fault = try #require(throws: Diagnostic.self) { try imported(.list, text: "0.0.0.0 ads.example.com") }
    #expect(fault.message.contains("expected the format hosts"))
    #expect(try imported(.list, text: "192.0.2.1 192.0.2.2").counts.kept == 2)
  }

  @Test("rules of filter lists: a star in front is all below, and what a denial voids is refused")
  func filters() throws {
    let star = try imported(.list, text: ".example.org\n||*.ads.example.org^")
    #expect(!star.allows("y.x.ads.example.org") && star.allows("ads.example.org"), "\(star.text)")
    let exception = try imported(.list, text: "||example.com^\n@@||good.example.com^")
    #expect(exception.refusals.count == 1 && exception.snapshot.servers[0].rules.isEmpty, "\(exception.text)")
  }

  @Test("a list of a server whose network is off there opens nothing")
  func networkIsOff() throws {
    let text = "network: { mode: none, outbound: { allow_host: [ a.example ] } }"
    #expect(!(try imported(.toolhive, text: text)).allows("a.example"))
  }

  @Test("special, whole and faulty networks are not private ones")
  func privateNetworks() throws {
    let wrong = ["0.0.0.0/0", "127.0.0.0/8", "169.254.169.254", "::1", "10.0.0.0/99", "::/0"]
    let listed = (wrong + ["10.1.0.0/16"]).map { "'\($0)'" }.joined(separator: ", ")
    let policy = try imported(
      .openshell,
      text: "network_policies: { n: { endpoints: [ { host: a.example, port: 443, allowed_ips: [ \(listed) ] } ] } }")
    #expect(policy.refusals.count == wrong.count && policy.text.contains("private: [ 10.1.0.0/16 ]"), "\(policy.text)")
  }

  @Test("every port of a host and every domain are not passed over")
  func everything() throws {
    let policy = try imported(.list, text: "example.com:*")
    #expect(policy.counts.lost == 1 && policy.ports("example.com") == "443/tcp", "\(policy.text)")
    let rules = try imported(
      .claude, text: #"{"permissions":{"allow":["WebFetch(domain:a.example)"],"deny":["WebFetch"]}}"#)
    #expect(rules.refusals.count == 1, "\(rules.text)")
  }

  @Test("no control character of a source is in what is said of it")
  func controls() throws {
    let fault = try #require(throws: Diagnostic.self) {
      try imported(.codex, text: "[permissions.w.network.domains]\n\"a\\u001b[31mb\\u0007\" = \"x\"")
    }
    #expect(fault.message.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }, "\(fault.message)")
    #expect(fault.message.contains("u{1B}"))
  }

  @Test("many words of one line, and one pattern with many ports, take no square of the time", .timeLimit(.minutes(1)))
  func squares() throws {
    let words = (0..<20_000).map { "h\($0).example.com:443" }.joined(separator: " ")
    let long = try imported(.hardenRunner, text: "with: { allowed-endpoints: '\(words)' }")
    #expect(long.counts.kept == 20_000)
  }
}
