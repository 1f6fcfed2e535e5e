import FirewallModel
import NFTables
import TestSupport
import Testing

@Suite("Others' changes of the table, as they come")
struct ChangeWatcherTests {
  /// What a watcher told, in order, of what `command` did to a table with a rule and a set.
  private func told(of command: String) throws -> [String] {
    try Kernel.inNamespace {
      _ = try Kernel.run("nft add table inet sluice")
      _ = try Kernel.run("nft add chain inet sluice forward")
      _ = try Kernel.run("nft add rule inet sluice forward counter accept")
      _ = try Kernel.run("nft 'add set inet sluice mcp-4 { type ipv4_addr; }'")
      _ = try Kernel.run("nft 'add element inet sluice mcp-4 { 192.0.2.1 }'")
      let watcher = try ChangeWatcher(ignoring: 0)
      _ = try Kernel.run(command)
      var told: [String] = []
      _ = watcher.drain(
        family: .inet, table: "sluice", removed: { told.append("removed") }, harmed: { told.append("harmed") })
      return told
    }
  }

  @Test(
    "serve's epoch ends before anything is closed, whatever the kernel tells of first",
    arguments: [
      "nft flush ruleset", "nft delete table inet sluice", "nft flush table inet sluice",
      "nft flush chain inet sluice forward", "nft insert rule inet sluice forward drop",
    ])
  func order(command: String) throws {
    #expect(try told(of: command) == ["removed", "harmed"])
  }

  @Test("an element that is taken out ends the epoch and closes nothing; one that is added does neither")
  func elements() throws {
    #expect(try told(of: "nft 'delete element inet sluice mcp-4 { 192.0.2.1 }'") == ["removed"])
    #expect(try told(of: "nft 'add element inet sluice mcp-4 { 192.0.2.2 }'") == [])
  }
}
