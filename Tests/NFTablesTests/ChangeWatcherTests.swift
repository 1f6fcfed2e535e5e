import EgressPolicy
import FirewallModel
import Glibc
import IPNetwork
import TestSupport
import Testing

@testable import NFTables

@Suite(
  "What others change in the table", .enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)), .serialized)
struct ChangeWatcherTests {
  /// What is told of a script of nft, and how often of a removal and of harm while it is read.
  private func told(_ script: String) throws -> (news: TableChanges, removals: Int, harms: Int) {
    try Kernel.inNamespace {
      let sets = "set a-4 { type ipv4_addr; flags timeout; }; set own { type ipv4_addr; }; chain c { };"
      try Kernel.run(
        "nft 'table inet sluice { \(sets) }; table ip sluice { \(sets) }; table inet other { \(sets) }'")
      let watcher = try ChangeWatcher(ignoring: 0)
      try Kernel.run("nft '\(script)'")
      var (removals, harms) = (0, 0)
      let news = watcher.drain(
        family: .inet, table: "sluice", removed: { removals += 1 }, harmed: { harms += 1 })
      #expect(watcher.drain(family: .inet, table: "sluice").isEmpty, "all that waited was read")
      return (news, removals, harms)
    }
  }

  @Test("elements of a server's set are told with the set, those of any other set of the table are rules")
  func elements() throws {
    let added = try told("add element inet sluice a-4 { 192.0.2.1 }")
    #expect(added.news == TableChanges(changes: .elementsAdded, sets: ["a-4"]))
    #expect(added.removals == 0 && added.harms == 0)
    let gone = try told("add element inet sluice a-4 { 192.0.2.1 }; delete element inet sluice a-4 { 192.0.2.1 }")
    #expect(gone.news == TableChanges(changes: [.elementsAdded, .elementsRemoved], sets: ["a-4"]))
    #expect(gone.removals == 1 && gone.harms == 0)
    let rules = try told("add element inet sluice own { 192.0.2.1 }")
    #expect(rules.news == TableChanges(changes: .rulesChanged) && rules.harms == 1)
  }

  @Test(
    "a table of another name, or of this name in another family, is another's",
    arguments: ["ip sluice", "inet other"])
  func others(_ table: String) throws {
    let told = try told(
      "add element \(table) a-4 { 192.0.2.1 }; add rule \(table) c accept; delete set \(table) own; flush table \(table); "
        + "delete table \(table)")
    #expect(told.news.isEmpty && told.removals == 0 && told.harms == 0)
  }

  @Test("what its owner's socket changes is no news, whether the kernel keeps that back or not")
  func own() throws {
    try Kernel.inNamespace {
      try Kernel.run("nft add table inet sluice")
      let (own, other) = (try NetlinkSocket(), try NetlinkSocket())
      let watcher = try ChangeWatcher(ignoring: own.port)
      func told(_ socket: NetlinkSocket, _ chain: String) throws -> TableChange {
        var batch = NetlinkBatch(table: "sluice")
        batch.addChain(chain)
        try #require(socket.carryOut(batch) == 0)
        return watcher.drain(family: .inet, table: "sluice").changes
      }
      #expect(try told(own, "a").isEmpty && told(other, "b") == .rulesChanged)
      let detachFilter: Int32 = 27
      var nothing: Int32 = 0
      let size = socklen_t(MemoryLayout<Int32>.size)
      try #require(unsafe setsockopt(watcher.descriptor, SOL_SOCKET, detachFilter, &nothing, size) == 0)
      #expect(try told(own, "c").isEmpty && told(other, "d") == .rulesChanged)
    }
  }

  @Test("a flush is told once as a removal and once as harm, however many changes it is of")
  func flush() throws {
    let told = try told("add rule inet sluice c accept; flush ruleset")
    #expect(told.news.changes.contains(.tableRemoved) && told.news.changes.contains(.rulesChanged))
    #expect(told.removals == 1 && told.harms == 1)
  }
}

@Suite("What a server may not keep when one plan follows another")
struct FlowTargetTests {
  private func plan(_ mode: FirewallPlan.Mode = .managed, inbound: [PortRule]?) -> FirewallPlan {
    FirewallPlan(
      mode: mode,
      servers: [
        FirewallPlan.Server(
          name: "a", prefixes: [FirewallPlan.prefix("10.77.1.0/24")], opensAnyPort: false, inbound: inbound)
      ])
  }

  /// The ports that are lost; 0 for every one.
  private func lost(_ before: [UInt16]?, _ now: [UInt16]?) -> [UInt16] {
    func rules(_ ports: [UInt16]?) -> [PortRule]? { ports?.map { PortRule($0, .tcp) } }
    return FlowTarget.lost(from: plan(inbound: rules(before)), to: plan(inbound: rules(now))).map(\.port)
  }

  @Test("ports that are not listed any more, every port where any was, and none where any is")
  func inbound() {
    #expect(lost([8080, 9090], [9090]) == [8080] && lost([8080], nil) == [8080])
    #expect(lost([], [9090]) == [0] && lost([], nil) == [0])
    #expect(lost([8080], []) == [] && lost([8080], [8080]) == [] && lost([], []) == [] && lost(nil, [8080]) == [])
  }

  @Test("connections to a network that is denied now are lost, from the server's own networks alone")
  func denied() {
    let before = plan(inbound: nil)
    var now = before
    now.servers[0].deniedPrefixes = [FirewallPlan.prefix("198.51.100.0/24")]
    #expect(
      FlowTarget.lost(from: before, to: now) == [
        FlowTarget(
          sources: [FirewallPlan.prefix("10.77.1.0/24")], destination: FirewallPlan.prefix("198.51.100.0/24"),
          transport: 0, port: 0)
      ])
    #expect(FlowTarget.lost(from: now, to: now).isEmpty && FlowTarget.lost(from: now, to: before).isEmpty)
  }

  @Test("nothing is lost where the table is or was another's")
  func modes() {
    let (before, now) = (plan(inbound: [PortRule(8080, .tcp)]), plan(inbound: nil))
    #expect(FlowTarget.lost(from: before, to: now).count == 1)
    #expect(FlowTarget.lost(from: plan(.sets, inbound: [PortRule(8080, .tcp)]), to: now).isEmpty)
    #expect(FlowTarget.lost(from: before, to: plan(.sets, inbound: nil)).isEmpty)
  }
}
