import EgressPolicy
import Foundation
import Testing

@testable import Settings

/// The lists that the repository has under `Examples/lists`, and packages install.
@Suite("Shipped lists")
struct ShippedListTests {
  private static let folder = URL(filePath: #filePath).appending(path: "../../../Examples/lists").standardizedFileURL
    .path
  private static let names = ListLibrary.names(in: [folder])

  @Test("there are some, of every kind that is promised")
  func kinds() {
    let promised = ["github", "anthropic", "claude-code", "notion", "docker-hub", "certificate-status"]
    #expect(Set(promised).isSubset(of: Self.names) && Self.names.count > 60)
    #expect(ListCatalogue(folders: [Self.folder]).diagnostics == [])
  }

  @Test("each passes `check`, says whence it is by a public address, and what it is for in a line", arguments: names)
  func check(name: String) throws {
    let directory = try ConfigDirectory([
      "sluice.yaml": config(),
      "policy.yaml": "server: a\nnetworks: [ 10.77.1.0/24 ]\ninclude: [ \(name) ]\n",
    ])
    let loaded = SettingsLoader.load(
      path: directory.path + "/sluice.yaml", zoneDirectories: [], listDirectories: [Self.folder])
    let settings = try #require(loaded.settings, "\(loaded.diagnostics)")
    // A wildcard over what many share is told to who includes it; everything else would be a fault of the list.
    let others = loaded.diagnostics.filter { !$0.message.contains("covers shared hosting") }
    #expect(others == [])
    #expect(settings.policies[0].lists.map(\.name) == [name] && !settings.policies[0].rules.isEmpty)
    let list = try #require(ListCatalogue.list(name, folders: [Self.folder]).list)
    #expect(list.source?.hasPrefix("https://") == true && list.date != nil)
    #expect((list.purpose?.count ?? 0) <= 100 && list.purpose?.hasSuffix(".") == false)
  }
}
