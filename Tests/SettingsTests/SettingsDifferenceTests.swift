import EgressPolicy
import Testing

@testable import Settings

@Suite struct SettingsDifferenceTests {
  private func difference(_ change: (inout Settings) -> Void) throws -> SettingsDifference {
    let running = try #require(loadConfig(config()).settings)
    var read = running
    change(&read)
    return SettingsDifference(from: running, to: read)
  }

  private func texts(_ changes: [ChangedValue]) -> [String] { changes.map(\.description) }

  @Test("files that say the same differ in nothing")
  func same() throws {
    let none = try difference { _ in }
    #expect(none.taken.isEmpty && none.needsRestart.isEmpty)
  }

  @Test("what a reload takes is told apart from what needs a restart, each with what it was and what it is")
  func values() throws {
    let difference = try difference { read in
      read.upstreams = []
      read.permits.maxSeconds = 3600
      read.firewall.keepInUseSeconds = 90
      read.sinkhole.answer = .refused
      read.user.name = "other"
    }
    #expect(texts(difference.taken) == ["permits.max: 1d -> 1h"])
    #expect(
      texts(difference.needsRestart) == [
        "upstreams: udp://127.0.0.2:53 -> none", "sinkhole.answer: nxdomain -> refused",
        "firewall.keep-in-use: off -> 90s", "user: sluice -> other",
      ])
  }

  @Test("every key of the configuration is looked at, but the policies, of which a reload tells more")
  func keys() throws {
    let running = try #require(loadConfig(config()).settings)
    let looked = Set(SettingsDifference.keys(of: running).map { $0.prefix { $0 != "." } }.map(String.init))
    #expect(looked.union(["policies"]) == Set(SettingsReader.keys))
    // And of each section.
    let sections = Set(SettingsDifference.keys(of: running).filter { $0.contains(".") })
    #expect(sections.count == 2 + 2 + 12 + 3 + 7, "\(sections.sorted())")
  }
}
