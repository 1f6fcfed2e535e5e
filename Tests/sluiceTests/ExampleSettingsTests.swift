import Foundation
import Settings
import Testing

/// What the configurations that the repository ships make of it.
@Suite struct ExampleSettingsTests {
  private static let examples = URL(filePath: #filePath).appending(path: "../../../Examples").standardizedFileURL

  private static let configurations: [String] = {
    let found = FileManager.default.enumerator(atPath: examples.path)?.compactMap { $0 as? String } ?? []
    return found.filter { $0.hasSuffix("/sluice.yaml") }.sorted()
  }()

  @Test func `there are examples`() {
    #expect(Self.configurations.count >= 6)
  }

  @Test(arguments: configurations)
  func `a server that is started with an example writes nothing into the clone`(name: String) throws {
    let loaded = SettingsLoader.load(path: Self.examples.appending(path: name).path)
    let settings = try #require(loaded.settings, "\(loaded.diagnostics)")
    for place in [settings.audit.path, settings.control.path, settings.state] {
      #expect(place.hasPrefix("/var/") || place.hasPrefix("/run/"), "\(place)")
    }
  }
}
