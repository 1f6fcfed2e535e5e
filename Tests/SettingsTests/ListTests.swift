import EgressPolicy
import Foundation
import IPNetwork
import Testing

@testable import Settings

/// A configuration with a policy that includes what stands in `include`, and lists beside it.
private func including(
  _ include: String, _ lists: [String: String], egress: String = "egress: [ own.example.com ]", more: String = ""
) throws -> ConfigDirectory {
  let policy = "server: a\nnetworks: [ 10.77.1.0/24 ]\ninclude: \(include)\n\(egress)\n\(more)"
  return try ConfigDirectory(
    ["sluice.yaml": config(), "policy.yaml": policy].merging(lists) { first, _ in first })
}

private let hub = """
  list: hub
  date: 2026-11-20
  source: https://hub.example/docs
  for: a hub
  egress:
    - hub.example.com
    - { host: "*.cdn.example.com", ports: [ 8443/tcp ] }
    - cidr: 198.51.100.0/24
  """

@Suite("Lists that documents include")
struct ListTests {
  @Test("entries of a list stand beside the document's own, each with the list's file and line")
  func named() throws {
    let directory = try including("[ hub ]", ["lists/hub.yaml": hub])
    #expect(directory.findings() == [])
    #expect(try including("[ hub@2026-11-20 ]", ["lists/hub.yaml": hub]).findings() == [])
    let policy = try #require(directory.load().settings?.policies.first)
    #expect(policy.rules.map(\.pattern.description) == ["own.example.com", "hub.example.com", "*.cdn.example.com"])
    #expect(policy.prefixes.map(\.prefix.description) == ["198.51.100.0/24"])
    let file = directory.path + "/lists/hub.yaml"
    #expect(policy.rules.dropFirst().map(\.location.description) == ["\(file):6", "\(file):7"])
    #expect(policy.prefixes.first?.location.description == "\(file):8")
    #expect(policy.lists.map(\.text) == ["hub@2026-11-20"] && policy.lists.first?.isNamed == true)
    #expect(
      policy.list(of: policy.rules[1].location)?.name == "hub" && policy.list(of: policy.rules[0].location) == nil)
  }

  @Test("a document needs no entries of its own beside a list; one without either is an error")
  func alone() throws {
    #expect(try including("[ hub ]", ["lists/hub.yaml": hub], egress: "").findings() == [])
    #expect(
      try loadPolicy("server: a\nnetworks: [ 10.77.1.0/24 ]").findings.contains { $0.contains("'egress' is missing") })
  }

  @Test("what the document says for its entries holds for those of its lists; what a list says of one is nearer")
  func defaults() throws {
    let list = "list: own\negress:\n  - a.example.com\n  - { host: b.example.com, max-bytes: none, cname: follow }\n"
    let directory = try including(
      "[ ./own.yaml ]", ["own.yaml": list], more: "cname: strict\nlimits: { max-bytes: 1MiB }\nverify: address\n")
    let rules = try #require(directory.load().settings?.policies.first?.rules)
    #expect(rules.map(\.cname) == [.strict, .strict, .follow])
    #expect(rules.map { $0.maxBytes?.bytes } == [1 << 20, 1 << 20, nil])
    #expect(rules.allSatisfy { $0.check == nil })
  }

  @Test("a path is relative to the document's file, and a list among the documents is no document")
  func path() throws {
    let policy = "server: a\nnetworks: [ 10.77.1.0/24 ]\ninclude: [ ./ours.yaml, ../more/theirs.yml ]\n"
    let directory = try ConfigDirectory([
      "sluice.yaml": config().replacingOccurrences(of: "policy.yaml", with: "policies"),
      "policies/a.yaml": policy, "policies/ours.yaml": "list: ours\negress: [ a.example.com ]\n",
      "more/theirs.yml": "list: theirs\negress: [ b.example.com ]\n",
    ])
    #expect(directory.findings() == [])
    let loaded = directory.load()
    let policies = try #require(loaded.settings?.policies)
    #expect(policies.map { $0.rules.map(\.pattern.description) } == [["a.example.com", "b.example.com"]])
    #expect(policies[0].lists.map(\.isNamed) == [false, false] && policies[0].lists.map(\.text) == ["ours", "theirs"])
    // Whoever waits for a change of the files, or may read them, knows these too.
    let files = Set(["policies/ours.yaml", "policies/../more/theirs.yml"].map { directory.path + "/" + $0 })
    #expect(loaded.settings?.listFiles == files)
    #expect(loaded.folders.contains(directory.path + "/policies/../more"))
    try directory.write("policies/a.yaml", Array("server: a\nnetworks: [ 10.77.1.0/24 ]\negress: []\n".utf8))
    #expect(directory.findings() == ["policies/ours.yaml: warning: is a list, which no document includes"])
    try directory.write(
      "sluice.yaml", Array(config().replacingOccurrences(of: "policy.yaml", with: "policies/ours.yaml").utf8))
    #expect(
      directory.findings().contains { $0.contains("ours.yaml:1:1: error: unknown key 'list' in a policy document") })
  }

  @Test(
    "what is wrong with an include is said at its place",
    arguments: [
      ("[ hubb ]", "policy.yaml:3:12: error: there is no list hubb, did you mean hub?; lists: hub, other"),
      ("[ zebra ]", "policy.yaml:3:12: error: there is no list zebra; lists: "),
      ("[ Hub ]", "policy.yaml:3:12: error: 'Hub' is no name of a list, expected the name of a list such as github"),
      (
        "[ hub@yesterday ]",
        "policy.yaml:3:12: error: 'yesterday' is no day, expected the day of the list such as hub@2026-11-20"
      ),
      ("[ hub@2026-02-30 ]", "policy.yaml:3:12: error: '2026-02-30' is no day"),
      (
        "[ hub@2026-11-19 ]",
        "policy.yaml:3:12: error: list hub is of 2026-11-20, expected 2026-11-19, as 'hub@2026-11-19' says"
      ),
      ("[ hub, other, hub ]", "policy.yaml:3:24: error: list hub stands already at "),
      ("[ hub, ./lists/../lists/hub.yaml ]", "policy.yaml:3:17: error: list hub stands already at "),
      ("[ ./nothing.yaml ]", "policy.yaml:3:12: error: list '"),
      ("[ [ hub ] ]", "policy.yaml:3:12: error: a list found, expected the name of a list"),
      ("hub", "policy.yaml:3:10: error: 'hub' found, expected a list of lists such as github"),
    ])
  func includes(include: String, expected: String) throws {
    let other = hub.replacingOccurrences(of: "list: hub", with: "list: other")
    let directory = try including(include, ["lists/hub.yaml": hub, "lists/other.yaml": other])
    #expect(directory.findings().contains { $0.hasPrefix(expected) }, "\(directory.findings())")
    #expect(directory.load().settings == nil)
  }

  @Test(
    "what is wrong in a list is said there, once for all documents that include it",
    arguments: [
      ("list: hub", "list: hup", ":1:7: error: 'hup' found, expected hub, as its file is called"),
      ("date: 2026-11-20", "date: soon", ":2:7: error: 'soon' found, expected a day such as 2026-11-20"),
      ("date: 2026-11-20\n", "", ":1:1: error: key 'date' is missing"),
      ("source: https://hub.example/docs\n", "", ":1:1: error: key 'source' is missing"),
      ("for: a hub\n", "", ":1:1: error: key 'for' is missing"),
      ("for: a hub", "fro: a hub", ":4:1: error: unknown key 'fro' in a list, did you mean 'for'?"),
      ("for: a hub", "for: a hub\ninclude: [ other ]", ":5:1: error: a list includes no other one"),
      ("for: a hub", "for: a hub\nserver: b", ":5:1: error: is a policy document, expected a list"),
      ("- hub.example.com", "- \"**.com\"", ":6:5: error: **.com covers a public suffix"),
      ("- hub.example.com", "- https://hub.example.com/", ":6:5: error: 'https://hub.example.com/' is a URL"),
      (
        "- hub.example.com", "- hub.example.com\n  - hub.example.com", ":7:5: error: hub.example.com stands already at "
      ),
      ("- hub.example.com", "- cidr: 198.51.100.0/24", ":8:5: error: 198.51.100.0/24 stands already at "),
      ("egress:", "egress: {}\nx:", ":5:9: error: a mapping found, expected a list of names"),
      ("list: hub", "---\nlist: a\n---\nlist: hub", ":4:1: error: a second document begins here"),
    ])
  func contents(part: String, instead: String, expected: String) throws {
    let two = "---\nserver: b\nnetworks: [ 10.77.2.0/24 ]\ninclude: [ hub ]\n"
    let directory = try including(
      "[ hub ]", ["lists/hub.yaml": hub.replacingOccurrences(of: part, with: instead)], more: two)
    let found = directory.findings().filter { $0.hasPrefix("lists/hub.yaml\(expected)") }
    #expect(found.count == 1, "\(directory.findings())")
    #expect(directory.load().settings == nil)
  }

  @Test("an own list by its path need say no more than its name and its entries; an empty file is none")
  func own() throws {
    #expect(try including("[ ./a.yaml ]", ["a.yaml": "list: other-name\negress: []\n"]).findings() == [])
    #expect(
      try including("[ ./a.yaml ]", ["a.yaml": "\n"]).findings() == ["a.yaml: error: is empty, expected a list"])
  }

  @Test("a list has 10,000 entries at most, a document 64 lists")
  func bounds() throws {
    func list(_ count: Int) -> String {
      "list: a\negress:\n" + (0..<count).map { "  - a\($0).example.com\n" }.joined()
    }
    #expect(try including("[ ./a.yaml ]", ["a.yaml": list(10_000)]).findings() == [])
    #expect(
      try including("[ ./a.yaml ]", ["a.yaml": list(10_001)]).findings()
        == ["a.yaml:3:3: error: 10001 entries, expected at most 10000"])
    let files = Dictionary(
      uniqueKeysWithValues: (0..<65).map { ("\($0).yaml", "list: a\negress: [ a\($0).example.com ]\n") })
    let all = "[ \((0..<65).map { "./\($0).yaml" }.joined(separator: ", ")) ]"
    #expect(try including(all, files).findings() == ["policy.yaml:3:10: error: 65 lists, expected at most 64"])
  }

  @Test("`lists:` names the folders that are looked through, in order, instead of the shipped one")
  func folders() throws {
    let mine = hub.replacingOccurrences(of: "hub.example.com", with: "mine.example.com")
    let files = [
      "policy.yaml": "server: a\nnetworks: [ 10.77.1.0/24 ]\ninclude: [ hub ]\n", "lists/hub.yaml": hub,
      "mine/hub.yaml": mine,
      "sluice.yaml": config("lists: [ empty, mine, lists ]"), "empty/x.yaml": "",
    ]
    let directory = try ConfigDirectory(files)
    let settings = try #require(directory.load().settings, "\(directory.findings())")
    #expect(settings.policies.first?.rules.first?.pattern.description == "mine.example.com")
    #expect(settings.listFolders == ["empty", "mine", "lists"].map { "\(directory.path)/\($0)" })
    #expect(settings.wholeFolders.isSuperset(of: settings.listFolders))
    try directory.write("sluice.yaml", Array(config("lists: nowhere").utf8))
    #expect(
      directory.findings().contains {
        $0.hasPrefix("sluice.yaml:5:8: error: '") && $0.contains("nowhere' is no folder")
      })
  }

  @Test("where there are no lists, an include says where they are looked for")
  func noLists() throws {
    let directory = try including("[ hub ]", [:])
    #expect(
      directory.findings().contains { $0.contains("there is no list hub: there is none in ") },
      "\(directory.findings())")
  }
}
