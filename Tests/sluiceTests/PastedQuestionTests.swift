import Testing

@testable import sluice

/// What a person reads beside an answer: that a question was none, and that files are not in force.
@Suite struct PastedQuestionTests {
  @Test(arguments: [
    ("https://api.github.com/x", "is a URL; expected the name alone: api.github.com"),
    ("https://user@api.github.com:8443?q", "is a URL; expected the name alone: api.github.com"),
    ("api.github.com:443", "is a host with a port; expected the name alone: api.github.com"),
    ("https://", "is a URL; expected the name alone"),
  ])
  func `a URL is no name to ask for`(text: String, says: String) {
    #expect {
      try AskedName.check(text)
    } throws: { error in
      "\(error)".hasSuffix(says)
    }
  }

  // Names of DNS may hold any octet: RFC 2317 has a slash.
  @Test(arguments: ["api.github.com", "_dmarc.example.com.", "0/25.2.0.192.in-addr.arpa", "a:b.example", ":53:", "."])
  func `any other text is left to the name's own reading`(text: String) throws {
    try AskedName.check(text)
  }

  @Test func `a policy that the files do not hold is told, with the command that changes it`() {
    #expect(PolicyNotice.text(running: "a", "a") == nil)
    #expect(PolicyNotice.text(running: "a", "b")?.contains("another policy in force, a: `sluice reload`") == true)
  }
}
