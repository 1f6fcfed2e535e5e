import EgressPolicy
import Testing

@testable import Settings

@Suite("Names that were meant")
struct MistakenNameTests {
  @Test(
    "a text that holds more than a name is said to, with the name in it",
    arguments: [
      ("https://api.github.com/repos?x=1", "is a URL", "api.github.com", nil),
      ("//api.github.com", "is a URL", "api.github.com", nil),
      ("http://api.github.com:8080/", "is a URL", "api.github.com", "8080/tcp"),
      ("api.github.com:443", "is a host with a port", "api.github.com", "443/tcp"),
      ("api.github.com/repos", "is a host with a path", "api.github.com", nil),
      ("git@github.com:owner/name.git", "is a host with a path", "github.com", nil),
      ("git@github.com", "has a user before the host", "github.com", nil),
      ("192.0.2.1:443", "is an address with a port", "192.0.2.1", "443/tcp"),
      ("[2001:db8::1]:443", "is an address with a port", "2001:db8::1", "443/tcp"),
      ("192.0.2.0/24", "is a network", "192.0.2.0", nil),
      ("api.github.com, uploads.github.com", "is several texts", "api.github.com", nil),
      (" api.github.com", "has a blank before or behind it", "api.github.com", nil),
    ])
  func mistaken(text: String, what: String, host: String, port: String?) throws {
    let found = try #require(MistakenName(text))
    #expect(found.what == what && found.host == host && found.port?.description == port, "\(found)")
  }

  @Test(
    "what can be a name is none of these, with escapes too",
    arguments: [
      "api.github.com", "API.github.com.", "localhost", "all", "443", "_dmarc.example.com", "*.example.com",
      "a\\047b.example.com", "a\\.b/c.example.com", "https://a\\.b.example.com", "münchen.example", "",
    ])
  func names(text: String) {
    #expect(MistakenName(text) == nil)
  }

  @Test("an unknown server is told with the one that was meant, and all that there are, the nearest first")
  func servers() {
    let known = ["db-mcp", "slack-mcp", "github-mcp"]
    #expect(
      UnknownServer.text("gihub-mcp", among: known)
        == "there is no server gihub-mcp, did you mean github-mcp?; servers: github-mcp, db-mcp, slack-mcp")
    #expect(UnknownServer.text("x", among: []) == "there is no server x; there is none at all")
    let many = (0..<30).map { "server-\($0)" }
    let text = UnknownServer.text("server-29x", among: many)
    #expect(text.contains("did you mean server-29?; servers: server-29, ") && text.hasSuffix(", …"))
    // What is far too long to be compared is told all the same.
    let long = String(repeating: "x", count: 100_000)
    #expect(UnknownServer.text(long, among: known).hasSuffix("; servers: db-mcp, slack-mcp, github-mcp"))
  }
}
