import CLinux
import Foundation
import Testing

@Suite("Code that only a start needs")
struct MappedCodeTests {
  /// KiB of files that are in this process's page tables.
  private var mapped: Int {
    get throws {
      let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
      let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("RssFile:") })
      return try #require(line.split(separator: " ").compactMap { Int($0) }.first)
    }
  }

  @Test("leaves the process's memory, and what is used of it comes back")
  func unmapped() throws {
    let before = try mapped
    sluice_unmap_code()
    let after = try mapped
    #expect(after < before, "\(before) KiB before, \(after) after")
  }
}
