import ArgumentParser
import Testing

@testable import sluice

@Suite("Bad usage")
struct UsageTests {
  /// What is printed of words that are no use of a command; nil where they are one, or fail otherwise.
  private func refusal(_ words: [String]) -> String? {
    do {
      _ = try Sluice.parseAsRoot(words)
      return nil
    } catch {
      return Sluice.exitCode(for: error) == .validationFailure ? Sluice.fullMessage(for: error) : nil
    }
  }

  @Test(
    "how a unit starts serve is read as the parser reads it, and everything else is left to the parser",
    arguments: [
      (["serve"], true), (["serve", "--config", "/etc/a.yaml"], true), (["serve", "--config", "b c.yaml"], true),
      (["serve", "--config"], false), (["serve", "--config", ""], false), (["serve", "--config", "--help"], false),
      (["serve", "--config=/etc/a.yaml"], false), (["serve", "-c", "/etc/a.yaml"], false),
      (["serve", "--help"], false),
      (["serve", "--config", "a.yaml", "--config", "b.yaml"], false), (["serve", "a.yaml", "b.yaml"], false),
      (["check", "--config", "/etc/a.yaml"], false), (["help", "serve", "--config"], false), ([], false),
    ])
  func plainServe(words: [String], isPlain: Bool) throws {
    let found = ServeCommand.configuration(ofPlain: words)
    #expect((found != nil) == isPlain)
    guard isPlain else { return }
    let parsed = try #require(try Sluice.parseAsRoot(words) as? ServeCommand)
    #expect(parsed.configuration.config == found)
  }

  @Test(
    "is told before anything is done, with the usage of the command that was meant",
    arguments: [
      (["explain", "agent", "api.github.com", "FOO"], "'FOO' is no record type"),
      (["explain", "agent", "192.0.2.1", "FOO"], "'FOO' is no port"),
      (["explain", "agent", "https://api.github.com/x"], "is a URL; expected the name alone: api.github.com"),
      (["explain", "agent", "api.github.com:443"], "is a host with a port; expected the name alone: api.github.com"),
      (["explain", "agent", "192.0.2.1:443"], "is an address with a port; expected 192.0.2.1 443/tcp"),
      (["query", "--server", "agent", "api.github.com:443"], "expected the name alone: api.github.com"),
      (["query", "--server", "agent", "192.0.2.1:443"], "expected a name such as api.example.com"),
      (["cache", "list", "--name", "https://api.github.com"], "--name 'https://api.github.com' is a URL"),
      (["cache", "show", "agent", "api.github.com:443"], "expected the name alone: api.github.com"),
      (["cache", "flush", "--all", "--name", "api.github.com:443"], "expected the name alone: api.github.com"),
      (["grants", "revoke", "--all", "--name", "api.github.com/x"], "expected the name alone: api.github.com"),
      (["grants", "revoke", "--all", "--address", "bad"], "--address is 'bad'; expected an IPv4 or IPv6 address"),
      (["grants", "revoke", "--address", "192.0.2.1/32"], "--address is '192.0.2.1/32'"),
      (["grants", "revoke"], "say what to close"),
      (["firewall", "release", "10.77.1.1/24"], "'10.77.1.1/24' is no network"),
    ])
  func refused(words: [String], text: String) throws {
    let found = try #require(refusal(words), "\(words)")
    let lines = found.split(separator: "\n")
    #expect(lines.first?.contains(text) == true, "\(found)")
    let command = words.prefix { $0 == words[0] || ["list", "show", "flush", "revoke", "release"].contains($0) }
    #expect(found.contains("Usage: sluice \(command.joined(separator: " ")) "), "\(found)")
  }

  @Test(
    "a time that is none is told with what is wrong with it",
    arguments: [
      ("30", "--for is '30', without a unit; expected 30s, 30m, 30h or 30d"),
      ("30min", "--for is '30min'; expected whole seconds as numbers with s, m, h or d"),
      ("1500ms", "--for is '1500ms'; expected whole seconds"), ("", "--for is ''; expected whole seconds"),
      ("0s", "--for is '0s', which is no time"), ("8d", "--for is '8d'; expected 7d at most"),
    ])
  func times(time: String, text: String) throws {
    let words = ["allow", "--server", "agent", "--name", "a.example", "--reason", "why", "--for"]
    let found = try #require(refusal(words + [time]))
    #expect(found.contains(text) && found.contains("--for <time>"), "\(found)")
    #expect(refusal(words + ["7d"]) == nil && refusal(words + ["1h30m"]) == nil)
  }
}
