import FirewallModel
import NFTables
import TestSupport
import Testing

@testable import FirewallWorker

@Suite("What another program's change of the table sets off, in order")
struct TableChangeNotifierTests {
  /// What is done when `command` changed a table with a rule and a set.
  private func done(after command: String, mode: FirewallPlan.Mode = .managed) throws -> [String] {
    try Kernel.inNamespace {
      _ = try Kernel.run("nft add table inet sluice")
      _ = try Kernel.run("nft add chain inet sluice forward")
      _ = try Kernel.run("nft add rule inet sluice forward counter accept")
      _ = try Kernel.run("nft 'add set inet sluice mcp-4 { type ipv4_addr; }'")
      _ = try Kernel.run("nft 'add element inet sluice mcp-4 { 192.0.2.1 }'")
      let watcher = try ChangeWatcher(ignoring: 0)
      _ = try Kernel.run(command)
      var done: [String] = []
      _ = TableChangeNotifier.drain(
        watcher, TableChangeNotifier.WatchedTable(.sample(mode: mode)), ending: { done.append("epoch ends") },
        closing: { done.append("closed") })
      return done
    }
  }

  @Test(
    "serve's epoch ends before anything is closed, whatever the kernel tells of first",
    arguments: [
      "nft flush ruleset", "nft delete table inet sluice", "nft flush table inet sluice",
      "nft flush chain inet sluice forward", "nft insert rule inet sluice forward drop",
    ])
  func order(command: String) throws {
    #expect(try done(after: command) == ["epoch ends", "closed"])
  }

  @Test("an element that is taken out ends the epoch and closes nothing; one that is added does neither")
  func elements() throws {
    #expect(try done(after: "nft 'delete element inet sluice mcp-4 { 192.0.2.1 }'") == ["epoch ends"])
    #expect(try done(after: "nft 'add element inet sluice mcp-4 { 192.0.2.2 }'") == [])
  }

  @Test("a table of the user's is theirs: what takes elements away ends the epoch, a rule of theirs does not")
  func users() throws {
    #expect(try done(after: "nft insert rule inet sluice forward drop", mode: .sets) == [])
    #expect(try done(after: "nft flush ruleset", mode: .sets) == ["epoch ends"])
  }
}
