import ControlAPI
import Foundation
import Testing

@testable import sluice

@Suite("What status says of the promises")
struct PromiseTextTests {
  private static let readme =
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "README.md")

  @Test("nothing while all of them hold")
  func none() {
    #expect(PromiseText.text(PromiseViolations()) == nil)
  }

  @Test("each that did not hold has its name, how often, and what was seen")
  func each() throws {
    var violations = PromiseViolations()
    violations.missing = 2
    violations.unrecorded = 1
    let text = try #require(PromiseText.text(violations))
    #expect(
      text == "P2 (commit before answer) missing: 2, what was granted was taken out of the kernel, and is put back; "
        + "P6 (no decision without a record) unrecorded: 1, stretches of the audit log's ring were damaged")
    violations = PromiseViolations()
    violations.refused = 1
    violations.strangers = 3
    let others = try #require(PromiseText.text(violations))
    #expect(
      others.contains("P3 (no outliving) refused: 1") && others.contains("P4 (only proven addresses) strangers: 3"))
    #expect(!others.contains("see "), "each kind has words of its own: \(others)")
  }

  @Test("a promise is called what the README calls it, and the page on troubles explains each that status can name")
  func documents() throws {
    let readme = try String(contentsOf: Self.readme, encoding: .utf8)
    let page = try String(
      contentsOf: Self.readme.deletingLastPathComponent().appending(path: "Documentation/troubleshooting.md"),
      encoding: .utf8)
    for (promise, kind, _) in PromiseViolations().kinds {
      let title = PromiseText.title(promise)
      #expect(readme.lowercased().contains("- **\(promise.lowercased()). \(title).**"), "\(promise) \(title)")
      #expect(page.contains("`\(promise) … \(kind)`"), "\(promise) \(kind)")
    }
  }
}
