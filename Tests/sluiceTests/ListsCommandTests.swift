import Foundation
import Testing

@testable import sluice

@Suite("Commands that show lists", .withExecutable)
struct ListsCommandTests {
  private static let hub = """
    list: hub
    date: 2026-11-20
    source: https://hub.example/docs
    for: a hub
    egress:
      - hub.example.com
      - { host: "*.cdn.example.com", ports: [ 8443/tcp ] }
      - cidr: 198.51.100.0/24
    """

  /// A configuration with a folder of lists beside it.
  private func inFolder(_ lists: [String: String], _ body: (_ config: String, _ folder: String) throws -> Void) throws {
    let folder = NSTemporaryDirectory() + "sluice-lists-\(UUID().uuidString.prefix(8))"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.createDirectory(atPath: folder + "/mine", withIntermediateDirectories: true)
    for (name, text) in lists { try Data(text.utf8).write(to: URL(filePath: "\(folder)/\(name)")) }
    let config = """
      listen: [ "127.0.0.1:5353" ]
      upstreams: [ udp://127.0.0.2 ]
      policies: policy.yaml
      lists: mine
      audit: { path: audit.jsonl }
      """
    try Data(config.utf8).write(to: URL(filePath: folder + "/sluice.yaml"))
    try body(folder + "/sluice.yaml", folder)
  }

  @Test("lists are a table for people and lines for programs, with day, entries and what they are for")
  func table() throws {
    let other = Self.hub.replacing("list: hub", with: "list: other").replacing("for: a hub", with: "for: all else")
    try inFolder(["mine/hub.yaml": Self.hub, "mine/other.yaml": other]) { config, _ in
      let table = try PlayedCommand.run("lists", "--config", config)
      #expect(
        table.status == 0
          && table.lines.map { $0.split(separator: " ").joined(separator: " ") } == [
            "LIST DATE ENTRIES FOR", "hub 2026-11-20 3 a hub", "other 2026-11-20 3 all else",
          ], "\(table)")
      let json = try PlayedCommand.run("lists", "--json", "--config", config)
      let first = try #require(json.lines.first)
      let read = try #require(try JSONSerialization.jsonObject(with: Data(first.utf8)) as? [String: Any])
      #expect(read["list"] as? String == "hub" && read["entries"] as? Int == 3 && read["for"] as? String == "a hub")
      #expect((read["file"] as? String)?.hasSuffix("/mine/hub.yaml") == true && json.lines.count == 2, "\(json)")
    }
  }

  @Test(
    "a list is shown as it is written, by name or by path; one that there is not is a failure with the nearest name")
  func show() throws {
    try inFolder(["mine/hub.yaml": Self.hub, "own.yaml": "list: own\negress: [ a.example.com ]\n"]) { config, folder in
      let whole = try PlayedCommand.run("lists", "show", "hub", "--config", config)
      #expect(whole.status == 0 && whole.text == Self.hub + "\n", "\(whole)")
      let json = try PlayedCommand.run("lists", "show", "hub", "--json", "--config", config)
      #expect(
        json.text.contains(
          #"{"host":"*.cdn.example.com","ports":["8443/tcp"]},{"cidr":"198.51.100.0/24","ports":["443/tcp"]}]}"#),
        "\(json)")
      #expect(
        try PlayedCommand.run("lists", "show", folder + "/own.yaml", "--config", config).text.hasPrefix("list: own"))
      let none = try PlayedCommand.run("lists", "show", "hup", "--config", config)
      #expect(none.status == 1 && none.errors.contains("there is no list hup, did you mean hub?"), "\(none)")
    }
  }

  @Test("a list that cannot be read is told, and the others are shown all the same")
  func broken() throws {
    try inFolder(["mine/hub.yaml": Self.hub, "mine/bad.yaml": "list: worse\negress: []\n"]) { config, _ in
      let table = try PlayedCommand.run("lists", "--config", config)
      #expect(table.status == 1 && table.lines.count == 2, "\(table)")
      #expect(
        table.errors.contains("bad.yaml:1:7: error: 'worse' found, expected bad, as its file is called"), "\(table)")
    }
  }

  @Test("`check` and `explain` say which list an entry comes from")
  func origins() throws {
    let policy = "server: a\nnetworks: [ 10.77.1.0/24 ]\ninclude: [ hub ]\negress: [ own.example.com ]\n"
    try inFolder(["mine/hub.yaml": Self.hub, "policy.yaml": policy]) { config, folder in
      let check = try PlayedCommand.run("check", "--effective", "--config", config)
      #expect(check.text.contains("hub.example.com  443/tcp"), "\(check)")
      #expect(check.text.contains("# list hub@2026-11-20, \(folder)/mine/hub.yaml:6"), "\(check)")
      #expect(check.text.contains("# \(folder)/policy.yaml:4"), "\(check)")
      let json = try PlayedCommand.run("check", "--effective", "--json", "--config", config)
      #expect(json.text.components(separatedBy: #""list":"hub@2026-11-20""#).count == 4, "\(json)")
      let told = try PlayedCommand.run("explain", "--config", config, "a", "x.cdn.example.com")
      #expect(told.text.contains("\(folder)/mine/hub.yaml:7: *.cdn.example.com"), "\(told)")
      #expect(told.text.contains("hub@2026-11-20"), "\(told)")
      let own = try PlayedCommand.run("explain", "--json", "--config", config, "a", "own.example.com")
      #expect(own.status == 0 && !own.text.contains(#""list""#), "\(own)")
      let network = try PlayedCommand.run("explain", "--json", "--config", config, "a", "198.51.100.7", "443/tcp")
      #expect(network.text.contains(#""list":"hub@2026-11-20""#), "\(network)")
    }
  }
}
