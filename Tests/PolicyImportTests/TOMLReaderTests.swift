import EgressPolicy
import Testing

@testable import PolicyImport

@Suite("TOML")
struct TOMLReaderTests {
  private func read(_ text: String) throws -> TOMLTable {
    try TOMLReader.read(ImportSource(name: "source", octets: Array(text.utf8)))
  }

  @Test("strings of all four kinds, with what they leave out and take over")
  func strings() throws {
    let text = #"""
      a = "x\t\"\u00E4\U0001F600"
      b = 'C:\x'
      c = """
      one \
         two"""""
      d = '''
      x''y'''''
      e = ""
      """#
    let root = try read(text)
    #expect(root["a"]?.text == "x\t\"ä😀" && root["b"]?.text == "C:\\x")
    #expect(root["c"]?.text == "one two\"\"" && root["d"]?.text == "x''y''" && root["e"]?.text == "")
  }

  @Test("keys, tables, arrays and inline tables, each with its line")
  func tables() throws {
    let text = """
      a.b."c d" = 1 # comment
      a.'e' = { f = [ 1, [ 2 ],
        "x", ], g.h = true }

      [t . u]
      v = 1979-05-27 07:32:00Z
      [[t.list]]
      x = 1
      [t.list.sub]
      [[t.list]]
      x = -0.5e3
      [t]
      y = inf
      """
    let root = try read(text)
    #expect(root["a"]?.table?["b"]?.table?["c d"]?.text == "1")
    let inline = root["a"]?.table?["e"]?.table
    #expect(inline?["f"]?.list?.map(\.line) == [2, 2, 3] && inline?["g"]?.table?["h"]?.text == "true")
    #expect(root["t"]?.table?["u"]?.table?["v"]?.text == "1979-05-27 07:32:00Z")
    #expect(root["t"]?.table?["list"]?.table?["x"]?.line == 11)
    #expect(root["t"]?.table?["y"]?.text == "inf")
  }

  @Test(
    "what is no TOML is an error in its line",
    arguments: [
      ("a", 1), ("a =", 1), ("a = 1 b = 2", 1), ("\na = \"x\ny\"", 2), ("a = \"\\x\"", 1), ("a = \"\\uD800\"", 1),
      ("a = [1", 1), ("a = { b = 1\n}", 1), ("a = { b = 1, }", 1), ("[a]\n[a]", 2), ("a = 1\n[a]", 2),
      ("a.b = 1\n[a]", 2),
      ("a = {}\na.b = 1", 2), ("[[a]]\n[a]", 2), ("[a]\n[[a]]", 2), ("a = [ 1 ]\n[[a]]", 2), ("a = abc", 1),
      ("a = \"\u{1}\"", 1),
      ("a = '''x", 1), ("= 1", 1), ("[]", 1), ("[a]]", 1), ("a = 1\ra = 2", 1),
    ])
  func faults(text: String, line: Int) throws {
    let fault = try #require(throws: Diagnostic.self, "\(text)") { try read(text) }
    #expect(fault.location.line == line && fault.message.hasPrefix("is no TOML: "), "\(fault)")
  }

  @Test("values within each other have a bound")
  func depth() throws {
    #expect(throws: Diagnostic.self) { try read("a = " + String(repeating: "[", count: 100_000)) }
    #expect(throws: Diagnostic.self) { try read("a = " + String(repeating: "{b=", count: 100_000)) }
    #expect(throws: Diagnostic.self) { try read(String(repeating: "a.", count: 100_000) + "a = 1") }
  }
}
