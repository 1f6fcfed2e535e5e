import Foundation
import Testing

@testable import sluice

/// `sluice import` as a program: what goes where, and how it ends.
@Suite("Import, played")
final class ImportPlayTests {
  private let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-import-\(UUID().uuidString)")

  init() throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  private func run(_ text: String, _ words: String...) throws -> PlayedCommand.Output {
    let file = folder.appending(path: "list.txt")
    try Data(text.utf8).write(to: file)
    return try PlayedCommand.run(["import"] + words + [file.path])
  }

  @Test("with losses alone it ends with 0, and says them in the policy")
  func losses() throws {
    let output = try run("api.example.com\nlocalhost\n", "list", "--server", "agent", "--network", "10.77.1.0/24")
    #expect(output.status == 0 && output.errors.isEmpty, "\(output)")
    #expect(output.text.contains("server: agent\nnetworks: [ 10.77.1.0/24 ]\negress:\n  - api.example.com\n"))
    #expect(output.text.contains("list.txt:2: 'localhost': lost:"))
  }

  @Test("with a refusal it ends with 2, tells it, and prints the rest")
  func refusals() throws {
    let output = try run("api.example.com\n*\n", "list")
    #expect(output.status == 2 && output.text.contains("  - api.example.com\n"), "\(output)")
    #expect(output.errors.contains("refused: ") && output.errors.contains("list.txt:2: '*': would allow every name"))
  }

  @Test("what cannot be read, or is not of the format, ends with 1 and prints nothing")
  func faults() throws {
    let wrong = try run("api.example.com\n", "hosts")
    #expect(wrong.status == 1 && wrong.text.isEmpty, "\(wrong)")
    #expect(wrong.errors.contains("list.txt:1:1: error: expected an address and names"))
    for path in [folder.path, "/nowhere/at/all", "/dev/zero"] {
      let output = try PlayedCommand.run("import", "list", path)
      #expect(output.status == 1 && output.text.isEmpty && output.errors.contains(path), "\(output)")
    }
  }

  @Test("several files are one list, and - is standard input")
  func severalFiles() throws {
    let other = folder.appending(path: "other.txt")
    try Data("b.example\n".utf8).write(to: other)
    let output = try run("a.example\n", "list", "-", other.path)
    #expect(output.status == 0 && output.text.contains("  - b.example\n  - a.example\n"), "\(output)")
  }

  @Test(
    "options that are none end with 64",
    arguments: [
      ["--network", "10.77.1.1/24"], ["--server", "No"], ["--ports", "443"], ["--ports", ""], ["-", "-"],
    ])
  func usage(words: [String]) throws {
    let output = try PlayedCommand.run(["import", "list", "x"] + words)
    #expect(output.status == 64 && output.text.isEmpty, "\(output)")
    #expect(try PlayedCommand.run("import", "hosts", "x", "--deny").status == 64)
  }
}
