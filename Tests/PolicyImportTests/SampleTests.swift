import EgressPolicy
import IPNetwork
import Testing

@testable import PolicyImport

@Suite("Lists of other tools as they are published")
struct SampleTests {
  static let samples: [(ImportFormat, String)] = [
    (.toolhive, "toolhive.yaml"), (.dockerMCP, "docker-mcp.yaml"), (.claude, "claude-sandbox.json"),
    (.claude, "claude-bash-sandbox.json"), (.claude, "claude-devcontainer.txt"), (.hardenRunner, "harden-runner.yml"),
    (.cilium, "cilium.yaml"), (.codex, "codex.toml"), (.compose, "compose.yaml"), (.copilot, "copilot.md"),
    (.agenticWorkflow, "gh-aw.md"), (.openshell, "openshell.yaml"), (.cargowall, "cargowall.json"),
    (.responsePolicy, "rpz.zone"), (.hosts, "hosts.txt"), (.list, "list.txt"),
  ]

  @Test(
    "each is a policy that check takes, and says of every entry that is not as it was what became of it",
    arguments: samples)
  func published(format: ImportFormat, name: String) throws {
    let policy = try imported(format, name)
    #expect(policy.findings.allSatisfy { !$0.contains("error:") }, "\(policy.findings)")
    let said = policy.lines(with: "# \(name):").count
    let counts = policy.counts
    #expect(said >= counts.lost + counts.widened + counts.refusedEntries, "\(policy.text)")
    #expect(counts.entries == counts.kept + counts.lost + counts.widened + counts.refusedEntries)
  }

  @Test("of the entries of the lists that people have, one in twenty at most needs a hand")
  func share() throws {
    var (entries, refused) = (0, 0)
    for (format, name) in Self.samples.prefix(7) {
      let counts = try imported(format, name).counts
      entries += counts.entries
      refused += counts.refusedEntries
    }
    #expect(entries > 100 && refused * 20 <= entries, "\(refused) of \(entries)")
  }

  @Test(
    "a registry of ToolHive: ports and leading dots as they are, what opens everything refused, nothing listed is nothing open"
  )
  func toolhive() throws {
    let policy = try imported(.toolhive, "toolhive.yaml")
    #expect(policy.ports("x.atlassian.net", of: "atlassian") == "443/tcp")
    #expect(policy.ports("dolthub.com", of: "dolt") == "80/tcp, 443/tcp, 3306/tcp, 8080/tcp")
    #expect(!policy.allows("api.github.com", of: "atlassian"))
    #expect(policy.lines(with: "insecure_allow_all: true': refused").count == 26, "\(policy.counts)")
    #expect(policy.counts.refusedEntries == 0)
    #expect(policy.text.contains("server: everything\n"))
    #expect(policy.lines(with: "'localhost': lost").count == 3)
  }

  @Test("one server of several by its name, with its networks")
  func server() throws {
    let networks = [IPPrefix("10.77.1.0/24"), IPPrefix("fd00:77:1::/64")].compactMap { $0 }
    let options = ImportOptions(server: try ServerName("github"), networks: networks)
    let policy = try imported(.toolhive, "toolhive.yaml", options: options)
    #expect(policy.snapshot.servers.map(\.name.text) == ["github"])
    #expect(policy.text.contains("networks: [ 10.77.1.0/24, \"fd00:77:1::/64\" ]\n"))
    #expect(!policy.text.contains("fill in"))
  }

  @Test("several servers and one network, or a server that is not there, are errors")
  func wrongOptions() throws {
    #expect(throws: ImportError.self) {
      try imported(.toolhive, "toolhive.yaml", options: ImportOptions(networks: [IPPrefix("10.77.1.0/24")!]))
    }
    #expect(throws: ImportError.self) {
      try imported(.toolhive, "toolhive.yaml", options: ImportOptions(server: try ServerName("nobody")))
    }
  }

  @Test("without a network there is one to fill in for each server, which nobody has")
  func placeholders() throws {
    let policy = try imported(.toolhive, "toolhive.yaml")
    let networks = policy.snapshot.servers.flatMap { $0.networks.map(\.prefix) }
    #expect(networks.count == 67 && Set(networks).count == 67)
    #expect(networks.allSatisfy { IPPrefix("2001:db8::/32")!.contains($0.address) })
    #expect(policy.lines(with: "networks:").allSatisfy { $0.contains("# fill in:") })
  }

  @Test("Docker's catalog: *:PORT is refused, a network that is off is an empty list")
  func docker() throws {
    let policy = try imported(.dockerMCP, "docker-mcp.yaml")
    #expect(policy.allows("raw.githubusercontent.com", of: "github-official"))
    #expect(policy.lines(with: "refused: would allow every name").count == 2)
    #expect(policy.text.contains("server: filesystem\n"))
    #expect(policy.refusals.count == 2)
  }

  @Test("endpoints of a folded text have their own lines")
  func foldedLines() throws {
    let policy = try imported(.hardenRunner, "harden-runner.yml")
    #expect(
      policy.lines(with: "harden-runner.yml:25: '_http._tcp.packages.example.org:443': lost").count == 1,
      "\(policy.text)")
    #expect(policy.ports("mirror.example-cdn.net") == "80/tcp")
  }

  @Test("Cilium: ports, cidr, the cluster's resolver, a part of a label that may be empty")
  func cilium() throws {
    let policy = try imported(.cilium, "cilium.yaml")
    #expect(policy.snapshot.servers.map(\.name.text) == ["github-mcp"])
    #expect(
      policy.ports("sub.example.com") == "22/tcp, 443/tcp" && policy.ports("sub1.example.com") == "22/tcp, 443/tcp")
    #expect(policy.ports("b.s3.eu.amazonaws.com") == "22/tcp, 443/tcp")
    #expect(policy.text.contains("- { cidr: 198.51.100.0/24, ports: [ 443/tcp, 443/udp ] }"))
    #expect(policy.refusals == [])
  }

  @Test("private networks of OpenShell are those of the entry, subnets of a Compose file are the server's")
  func placesOfSources() throws {
    #expect(try imported(.openshell, "openshell.yaml").text.contains("private: [ 10.0.0.0/8 ] }"))
    let compose = try imported(.compose, "compose.yaml")
    #expect(compose.text.contains("server: search\nnetworks: [ 10.77.5.0/24 ]\n"))
    #expect(compose.refusals.count == 1, "\(compose.refusals)")
  }

  @Test("what passes within what is denied is refused, for a denial wins here")
  func exceptions() throws {
    let policy = try imported(.responsePolicy, "rpz.zone")
    #expect(policy.allows("allowed.example.org") && !policy.allows("good.ads.example.com"))
    #expect(policy.refusals.count == 2, "\(policy.refusals)")
  }

  @Test(
    "what a source denies is denied within what it allows",
    arguments: [
      (ImportFormat.claude, "claude-sandbox.json", "gist.github.com", "api.github.com"),
      (.codex, "codex.toml", "gist.github.com", "api.github.com"),
      (.agenticWorkflow, "gh-aw.md", "tracker.example.com", "api.example.com"),
    ])
  func denials(format: ImportFormat, name: String, denied: String, allowed: String) throws {
    let policy = try imported(format, name)
    #expect(!policy.allows(denied) && policy.allows(allowed), "\(policy.text)")
  }

  @Test(
    "what a source denies stands in the policy",
    arguments: [(ImportFormat.hosts, "hosts.txt"), (.responsePolicy, "rpz.zone")])
  func denied(format: ImportFormat, name: String) throws {
    let policy = try imported(format, name)
    #expect(policy.lines(with: "- ads.example.com").count == 1, "\(policy.text)")
    #expect(policy.lines(with: "deny:").count == 1)
  }

  @Test("where a source opens every port, the options say what opens here, and the policy says so")
  func everyPort() throws {
    let options = ImportOptions(ports: PortSet([PortRule(443, .tcp), PortRule(80, .tcp)]))
    let policy = try imported(.claude, "claude-sandbox.json", options: options)
    #expect(policy.ports("api.notion.com") == "80/tcp, 443/tcp")
    #expect(policy.lines(with: "opens every port").count == 1)
  }

  @Test("a network that two services are in is neither's, and both are to be filled in")
  func sharedNetwork() throws {
    let text = """
      services:
        one: { labels: { dockerwall.outbound: a.example }, networks: [ n ] }
        two: { labels: { dockerwall.outbound: b.example }, networks: [ n ] }
      networks: { n: { ipam: { config: [ { subnet: 10.77.5.0/24 } ] } } }
      """
    let policy = try imported(.compose, text: text)
    let networks = policy.snapshot.servers.map { $0.networks.map(\.prefix.description) }
    #expect(networks == [["2001:db8:0:1::/64"], ["2001:db8:0:2::/64"]], "\(policy.text)")
    #expect(policy.lines(with: "10.77.5.0/24 is the network of several servers").count == 2)
  }

  @Test("a server may be called as YAML calls nothing", arguments: ["null", "on", "yes"])
  func wordsOfYAML(name: String) throws {
    let policy = try imported(.toolhive, text: "{ name: '\(name)', permissions: { network: { outbound: {} } } }")
    #expect(policy.snapshot.servers.map(\.name.text) == [name])
  }

  @Test("names of servers that cannot be here have one that can, and no two the same one")
  func serverNames() throws {
    let text = """
      - { name: Io.GitHub/Example, permissions: { network: { outbound: { allow_host: [ a.example ] } } } }
      - { name: io-github-example, permissions: { network: { outbound: { allow_host: [ b.example ] } } } }
      - { name: 1st, permissions: { network: { outbound: {} } } }
      - { name: "", permissions: { network: { outbound: {} } } }
      """
    let policy = try imported(.toolhive, text: text)
    #expect(
      policy.snapshot.servers.map(\.name.text) == ["io-github-example", "io-github-example-2", "s-1st", "imported"],
      "\(policy.text)")
  }
}
