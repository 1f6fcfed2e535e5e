import AuditLog
import Control
import DNSWire
import EgressPolicy
import Foundation
import Glibc
import IPNetwork
import LinuxIO
import Synchronization
import Testing

@testable import FirewallModel
@testable import Serving

/// What the bridge tells, by numbers of servers that may be none: recorded as it is, and never a reason to end (P9).
@Suite("Reports of the bridge")
struct BridgeReportTests {
  private static func connection(server: UInt16?, time: UInt64) -> RefusedConnection {
    RefusedConnection(
      server: server, kind: .closed, source: IPAddress(v4: 0x0A58_0009), sourcePort: 40_000,
      destination: IPAddress(v4: 0xC000_0201), transport: 6, port: 443, length: 60, time: time)
  }

  @Test("a refused connection of a server that no plan has is one of no server")
  func unknownServer() throws {
    let stage = try Stage(Setting())
    let time = stage.clock.clocks.wall()
    stage.bridge.say(.refusals([Self.connection(server: 99, time: time), Self.connection(server: nil, time: time)]))
    stage.settle()
    let events = stage.events.filter { $0.code.isConnection }
    #expect(events.map(\.server) == ["", ""])
  }

  @Test("an exposed network of a server that no plan has is told of no server")
  func unknownExposure() throws {
    let stage = try Stage(Setting())
    let network = try #require(IPPrefix("10.88.0.0/24"))
    stage.bridge.say(
      .enclosure(
        EnclosureReport(exposures: [
          .init(server: 99, network: network, interface: "br-none", gap: .defaultRoute),
          .init(server: 1, network: network, interface: "br-db", gap: .name),
        ])))
    stage.settle()
    let events = stage.events.filter { $0.code == .networkExposed }
    #expect(events.map(\.server).contains("db-tools") && !events.contains { $0.server == "github-mcp" }, "\(events)")
  }

  @Test("books that balance are no event; those that do not, or that were cut, are")
  func books() throws {
    let stage = try Stage(Setting())
    stage.bridge.say(
      .books([
        RefusalBook(server: "github-mcp", refused: 0, told: 0, since: 1, cutSince: 0),
        RefusalBook(server: "db-tools", refused: 7, told: 0, since: 1, cutSince: 0),
        RefusalBook(server: "host", refused: 0, told: 0, since: 1, cutSince: 2),
      ]))
    stage.settle()
    #expect(stage.events.filter { $0.code == .refusals }.map(\.server).sorted() == ["db-tools", "host"])
  }

  @Test("serve that is stopping takes no call, and the bridge's end is no failure then")
  func stopping() throws {
    let stage = try Stage(Setting())
    stage.upstreams[0].conduct = .silent
    try stage.ask("github-mcp", "api.github.com", .A, as: "waits")
    stage.stop()
    #expect(!stage.isStopped, "a question is in flight")
    stage.call(.get, "status", [:])
    #expect(stage.callStatuses.last == 503)
    stage.bridge.die()
    stage.settle()
    #expect(stage.failure == nil)
  }

  private final class Thrown: Sendable {
    let text = Mutex("")
    let done = DispatchSemaphore(value: 0)
  }

  @Test(
    "a thread that is not confined keeps serve from its start (P7)",
    .enabled(if: geteuid() == 0, "needs root: else the kernel refuses most of it anyway"))
  func strayThread() throws {
    let sandbox = try Sandbox(.serve)
    try sandbox.keep("/proc/self", .read)
    let thrown = Thrown()
    Thread {
      var text = ""
      do throws(StartError) {
        try Confinement.enter(sandbox)
        try Confinement.requireAllThreads()
      } catch {
        text = error.reason
      }
      thrown.text.withLock { $0 = text }
      thrown.done.signal()
    }.start()
    thrown.done.wait()
    #expect(thrown.text.withLock { $0 }.contains("its thread"))
  }
}
