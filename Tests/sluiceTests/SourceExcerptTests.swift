import EgressPolicy
import Foundation
import Testing

@testable import sluice

@Suite("Lines that findings stand at")
struct SourceExcerptTests {
  private func excerpt(_ line: String, _ column: Int) -> [String] {
    SourceExcerpts.excerpt(Array(line.unicodeScalars), column)
  }

  @Test("the caret stands under the character, tabs and letters of several octets before it or not")
  func caret() {
    #expect(excerpt("  - nein", 5) == ["      - nein", "        ^"])
    #expect(excerpt("\tä: x", 5) == ["    \tä: x", "    \t   ^"])
    #expect(excerpt("", 9) == ["    ", "    ^"])
  }

  @Test("a long line is cut around the place, and nothing that a terminal obeys gets out of it")
  func cut() throws {
    let lines = excerpt(
      String(repeating: "a", count: 500) + "b\u{1B}[31m\u{202E}" + String(repeating: "c", count: 500), 501)
    #expect(lines[0].unicodeScalars.count < 120 && lines[0].contains("b?[31m?"))
    let place = try #require(lines[1].unicodeScalars.firstIndex(of: "^"))
    let offset = lines[1].unicodeScalars.distance(from: lines[1].unicodeScalars.startIndex, to: place)
    #expect(Array(lines[0].unicodeScalars)[offset] == "b")
  }

  @Test("what is of no line, or of no file, has no excerpt")
  func none() {
    var excerpts = SourceExcerpts()
    #expect(excerpts.lines(at: SourceLocation(file: "/nowhere/at.all", line: 1, column: 1)) == [])
    #expect(excerpts.lines(at: SourceLocation(file: #filePath, line: 0, column: 0)) == [])
    #expect(excerpts.lines(at: SourceLocation(file: #filePath, line: 1_000_000, column: 1)) == [])
    #expect(
      excerpts.lines(at: SourceLocation(file: #filePath, line: 1, column: 8)) == [
        "    import EgressPolicy", "           ^",
      ])
  }
}
