import FirewallModel
import TestSupport
import Testing

@testable import FirewallWorker

@Suite(
  "Rules that were rendered earlier", .enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)),
  .enabled(if: Kernel.host != nil, "needs the built executable beside the tests, or SLUICE_BRIDGE_HOST"), .serialized)
struct EarlierRulesetTests {
  @Test("they are put in force by a process of the bridge, and where that cannot be it says why (P7)")
  func install() throws {
    let host = try #require(Kernel.host)
    try Kernel.inNamespace {
      func install(_ text: String) -> String? {
        do throws(EarlierRuleset.InstallationError) {
          try EarlierRuleset.install(text, table: "sluice", executable: host)
          return nil
        } catch {
          return error.text
        }
      }
      let text = try Ruleset.render(.sample())
      #expect(install(text) == nil)
      #expect(try EarlierRuleset.isInstalled(table: "sluice"))
      #expect(install("no rules\n")?.contains("nft refused the ruleset") == true)
      #expect(try EarlierRuleset.isInstalled(table: "sluice"))
      try Kernel.nft("flush ruleset\nadd table inet sluice\nadd chain inet sluice forward\n")
      #expect(install(text) == "table inet sluice exists and is not of our making")
    }
  }
}
