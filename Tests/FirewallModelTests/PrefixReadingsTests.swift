import FirewallModel
import IPNetwork
import TestSupport
import Testing

@Suite("what is counted of prefixes")
struct PrefixReadingsTests {
  private func counts(_ octets: UInt64, _ packets: UInt64) -> ElementCounts {
    ElementCounts(octets: octets, packets: packets)
  }

  @Test("each reading tells what is new, and what was counted before it began is told by another")
  func readings() {
    var readings = PrefixReadings(["a": counts(1_000, 10)])
    #expect(readings.read(["a": counts(1_000, 10), "b": counts(0, 0)]).isEmpty)
    #expect(readings.read(["a": counts(1_500, 12), "b": counts(40, 1)]) == ["a": counts(500, 2), "b": counts(40, 1)])
    // Another program reset it, or it was made anew.
    #expect(readings.read(["a": counts(60, 1), "b": counts(40, 1)]) == ["a": counts(60, 1)])
    #expect(readings.read(["b": counts(40, 1)]).isEmpty)
    #expect(readings.read(["a": counts(60, 1)]) == ["a": counts(60, 1)])
  }

  @Test(
    "a counter's name says the server and the prefix",
    arguments: ["192.0.2.0/24", "0.0.0.0/0", "192.0.2.1/32", "2001:db8::/32", "::/0", "2001:db8::1/128"])
  func names(text: String) throws {
    let prefix = try #require(IPPrefix(text))
    let name = Ruleset.counter(of: prefix, server: "db_tools")
    #expect(name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "/-_.".contains($0)) })
    let found = try #require(Ruleset.opened(by: name))
    #expect(found.server == "db_tools" && found.prefix == prefix && Ruleset.isCounter(name))
  }

  @Test(
    "another program's counter is none of these",
    arguments: [
      "opened", "opened/", "opened/a", "opened/a/192.0.2.0", "opened/a/192.0.2.1-24", "opened/a/192.0.2.0-33",
      "opened/a/2001:db8::-32", "opened/a/b/192.0.2.0-24", "opened/A b/192.0.2.0-24", "mine",
    ])
  func foreign(name: String) {
    #expect(Ruleset.opened(by: name) == nil && !Ruleset.isCounter(name))
  }

  @Test("every packet into a prefix is counted once: each rule that accepts it counts, and no other does")
  func rules() throws {
    let text = try Ruleset.render(.sample())
    let rules = text.split(separator: "\n").filter { $0.hasPrefix("add rule") && $0.contains("198.51.100.0/24") }
    #expect(rules.count == 3)
    #expect(
      rules.allSatisfy { $0.contains("counter name opened/github-mcp/198.51.100.0-24 ") && $0.hasSuffix(" accept") })
    #expect(rules.filter { $0.contains("ct state established,related ct label 54 ") }.count == 1)
    #expect(text.contains("add counter inet sluice opened/github-mcp/198.51.100.0-24"))
  }
}
