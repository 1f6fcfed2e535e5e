import BridgeProcesses
import FirewallModel
import Foundation
import Glibc
import LinuxIO
import NFTables
import Synchronization
import TestSupport
import Testing

@testable import FirewallWorker

@Suite(
  "A ruleset is read whole or not at all", .enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)), .serialized)
struct NftRunTests {
  private static let arguments = [NftProgram.path, "-f", "-"]

  /// The process that a thread started.
  private final class Started: Sendable {
    let pid = Atomic<Int32>(-1)
  }

  /// Starts nft on a thread, in the namespace of this one, that ends when it has sent a part of the text, as that of a killed
  /// process does. Returns the status of nft.
  private static func end(after part: ArraySlice<UInt8>) throws -> Int32 {
    let started = Started()
    let thread = try NamedThread("cut") {
      do throws(SystemError) {
        let run = try NftRun(NftProgram.path, arguments)
        var left = part
        while !left.isEmpty, case let count = run.send(left), count > 0 || count == -Int(EAGAIN) {
          left = left.dropFirst(max(count, 0))
        }
        started.pid.store(run.process.pid, ordering: .releasing)
      } catch {
        // Without a process the number is asked for in vain.
      }
    }
    thread.join()
    let pid = started.pid.load(ordering: .acquiring)
    try #require(pid > 0)
    var nft = ChildProcess(pid: pid)
    return nft.wait()
  }

  @Test("wherever the text is cut by the end of the process that sends it, nothing of it takes effect")
  func cut() throws {
    try Kernel.inNamespace {
      try Kernel.nft(Ruleset.render(.sample()))
      let before = try Kernel.run("nft -s list ruleset")
      var plan = FirewallPlan.sample()
      plan.servers[0].prefixes.append(FirewallPlan.prefix("10.79.0.0/16"))
      let text = Array(try Ruleset.render(plan).utf8)
      // Behind lines, where what is left out is not missed.
      let ends = text.indices.filter { text[$0] == UInt8(ascii: "\n") }
      for end in ends.enumerated().filter({ $0.offset % 9 == 0 }).map(\.element) + ends.suffix(1) {
        let status = try Self.end(after: text[...end])
        #expect(status & 0x7F == SIGKILL, "\(end) octets: \(status)")
      }
      #expect(try Kernel.run("nft -s list ruleset") == before)
      try Kernel.nft(String(decoding: text, as: UTF8.self))
      #expect(try Kernel.run("nft -s list ruleset") != before, "the whole of it does")
    }
  }

  @Test("the end of what sends the text is not the end of the text")
  func waits() throws {
    try Kernel.inNamespace {
      var pid: Int32 = -1
      do {
        let run = try NftRun(NftProgram.path, Self.arguments)
        pid = run.process.pid
        #expect(run.send(Array("add table inet cut\n".utf8)[...]) == 19)
        // Our end is closed here.
      }
      var nft = ChildProcess(pid: pid)
      // It has read all that there is when it goes on sleeping; what ended of it would not.
      var asleep = 0
      try Session.poll("nft waits, or has ended") {
        let state = Kernel.process(pid)?.state
        asleep = state == "S" ? asleep + 1 : 0
        return asleep == 50 || state == "Z" || state == nil
      }
      let hasEnded = nft.hasEnded()
      #expect(!hasEnded)
      nft.kill()
      if !hasEnded { _ = nft.wait() }
      let tables = try Kernel.run("nft list tables")
      #expect(!tables.contains("cut"))
    }
  }

  @Test("a program that has not done within its time is ended, and that it was late is said")
  func late() throws {
    var run = try NftRun("/bin/sleep", ["sleep", "1000"])
    let end = run.exchange("", 50, watch: nil)
    let status = run.process.wait()
    #expect(end.isLate && status & 0x7F == SIGKILL)
  }

  @Test(
    "rules that come with the socket of a table's owner are put in force in it, by a process of the bridge",
    .enabled(if: Kernel.host != nil, "needs the built executable beside the tests, or SLUICE_BRIDGE_HOST"))
  func byOwner() throws {
    let host = try #require(Kernel.host)
    try Kernel.inNamespace {
      let socket = try NetlinkSocket()
      var batch = NetlinkBatch(table: "sluice")
      batch.addTable()
      try #require(socket.carryOut(batch) == 0)
      #expect((try? Kernel.run("nft add chain inet sluice own")) == nil, "it is the socket's alone")
      var run = try NftRun(
        host, ["sluice", "bridge", BridgeStart.Role.rules.rawValue], owner: socket.descriptor)
      let end = run.exchange("add chain inet sluice own\n", 60_000, watch: nil)
      let status = run.process.wait()
      #expect(status == 0, "\(end.complaint)")
      #expect(try KernelSets().chains(family: .inet, table: "sluice") == ["own"])
    }
  }
}
