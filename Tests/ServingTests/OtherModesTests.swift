import AuditLog
import BridgeProcesses
import Control
import ControlAPI
import DNSWire
import EgressPolicy
import FirewallModel
import Foundation
import GrantLedger
import IPNetwork
import LinuxIO
import Synchronization
import Testing

@testable import FirewallBridge
@testable import Serving

/// What serve leaves alone in a table of the user's own, where it opens nothing, and where it tells of no refusals.
@Suite("What serve leaves alone in other modes")
struct OtherModesTests {
  private static let sets = "firewall: { mode: sets, table: inet filter-mcp }"
  private static let api = "api.github.com"
  private static let first = "140.82.121.5"

  private static func body(_ stage: Stage, _ path: String) throws -> String {
    try stage.look(path, [:])
    return stage.lastBody
  }

  @Test("prefixes are open where Sluice has a rule for them, and nowhere else")
  func prefixes() throws {
    let policies = "server: github-mcp\nnetworks: [ 10.77.1.0/24 ]\negress: [ { cidr: 198.51.100.0/24 } ]\n"
    func grants(_ configuration: String) throws -> String {
      try Self.body(try Stage(Setting(configuration: configuration, policies: policies)), "grants")
    }
    #expect(try grants("").contains("198.51.100.0/24"))
    #expect(try !grants(Self.sets).contains("198.51.100.0/24"))
  }

  @Test("metrics of open addresses are there where addresses are opened")
  func metrics() throws {
    func metrics(_ configuration: String) throws -> String {
      let stage = try Stage(Setting(configuration: configuration))
      let answers = Answers()
      stage.service.handle(
        .control(ControlRequest(method: .get, path: ["metrics"], query: [:], peer: .nobody)) { answers.add($0) })
      stage.settle()
      for _ in 0..<5_000 where answers.text == nil { Thread.sleep(forTimeInterval: 0.001) }
      return try #require(answers.text)
    }
    #expect(try metrics("").contains("sluice_open_elements_limit"))
    #expect(try !metrics("firewall: { mode: \"off\" }").contains("sluice_open_elements"))
  }

  // MARK: - Elements without an end

  /// After a start over an element that has no end, and for which the last run's journal has a listed name.
  private func started(_ configuration: String) throws -> (stage: Stage, element: GrantElement) {
    let stage = try Stage(Setting(configuration: configuration))
    let element = try Stage.element(0, Self.first)
    stage.bridge.permanent.insert(element)
    var isDone = false
    stage.service.reconcile([
      JournalEntry(
        server: "github-mcp", name: try Name(presentation: Self.api), type: .A, address: element.address, transport: 6,
        port: 443, opened: stage.clock.clocks.wall() / ManualClock.second - 60)
    ]) { if case .success = $0 { isDone = true } }
    stage.settle()
    try #require(isDone)
    return (stage, element)
  }

  @Test(
    "an element without an end is no earlier run's: the user's in the user's table, and closed in a managed one (P3)")
  func permanent() throws {
    let users = try started(Self.sets)
    #expect(users.stage.bridge.permanent == [users.element])
    let managed = try started("")
    #expect(managed.stage.bridge.permanent.isEmpty)
    // What nobody was promised is no connection's to keep either.
    #expect(managed.stage.bridge.cut == [managed.element.address])
  }

  @Test("a search closes what others open for a time, and in the user's table nothing without an end")
  func searched() throws {
    for (configuration, isLeft) in [(Self.sets, true), ("", false)] {
      let stage = try Stage(Setting(configuration: configuration))
      let (own, foreign) = (try Stage.element(0, Self.first), try Stage.element(0, "140.82.121.6"))
      stage.bridge.permanent.insert(own)
      stage.bridge.addByOthers(foreign)
      stage.settle()
      #expect(stage.bridge.kernel[foreign] == nil)
      #expect(stage.bridge.permanent.contains(own) == isLeft, "\(configuration)")
    }
  }

  // MARK: - Networks

  @Test("a network that is governed no more is open where Sluice has no rule to hold it, and the event says so")
  func networks() throws {
    let one = "server: github-mcp\nnetworks: [ 10.77.1.0/24 ]\negress: [ api.github.com ]\n"
    let stage = try Stage(Setting(configuration: Self.sets))
    // From a time when the table was managed.
    try StateFolder.change("filter-mcp", at: stage.service.options.state) {
      $0 = HeldNetworks(text: "10.99.0.0/24 gone\n")
    }
    try stage.write(one)
    stage.reload()
    let told = stage.events.filter { $0.code == .policyReloaded }.map(\.members)
    #expect(told.contains { $0.contains(#""networks_open":["10.77.2.0/24"]"#) }, "\(told)")
    #expect(stage.service.enclosure.held.isEmpty)
  }

  // MARK: - Refusals

  private static let refusal = RefusedConnection(
    server: 0, kind: .closed, source: IPAddress(v4: 0x0A4D_0109), sourcePort: 40_000,
    destination: IPAddress(v4: 0xC000_0201), transport: 6, port: 443, length: 60, time: 1_800_000_000_000_000_000)

  @Test("where no refusals are recorded those that come are none, and neither are their books")
  func refusals() throws {
    for (audit, count) in [("", 1), (", drops: off", 0)] {
      let stage = try Stage(Setting(audit: audit))
      stage.bridge.say(.refusals([Self.refusal]))
      stage.bridge.say(.books([RefusalBook(server: "github-mcp", refused: 7, told: 1, since: 1, cutSince: 0)]))
      stage.settle()
      #expect(stage.events.count { $0.code == .rawAddress } == count, "\(stage.events)")
      #expect(stage.events.count { $0.code == .refusals } == count, "\(stage.events)")
    }
  }

  @Test("serve waits at its end for the books of what was refused, where there are any")
  func lastBooks() throws {
    for (audit, waits) in [("", true), (", drops: off", false)] {
      let stage = try Stage(Setting(audit: audit))
      stage.bridge.conduct = .hangs
      stage.stop()
      #expect(stage.isStopped != waits, "\(audit)")
    }
  }

  @Test("connections that could not be cut are no addresses that are open")
  func connectionsAlone() throws {
    let stage = try Stage(Setting())
    stage.bridge.conduct = .hangs
    stage.service.revocationFailed([], BridgeRequestFailure(refusal: nil, text: "a test"))
    stage.bridge.conduct = .acknowledges
    #expect(stage.service.lost.revocations == 0)
    #expect(!stage.bridge.takeTurn(), "no set is searched")
  }

  // MARK: - The end

  @Test("whoever asked before serve ended has an answer when it ends, however many there are")
  func allAnswered() throws {
    let stage = try Stage(Setting(audit: ", drops: off"))
    let labels = (0..<40).map { "client \($0)" }
    for label in labels { try stage.decideOnly("github-mcp", Self.api, as: label) }
    try stage.deliver(labels, thenStops: ())
    #expect(stage.isStopped)
    for label in labels { #expect(try stage.reply(to: label)?.code == .SERVFAIL, "\(label)") }
  }

  @Test("an answer that cannot be recorded is SERVFAIL, and counted as a failure (P6)")
  func unrecorded() throws {
    let stage = try Stage(Setting())
    stage.data[Self.api, .A] = .init(addresses: [Self.first], ttl: 300, alias: nil)
    stage.upstreams[0].conduct = .holds
    try stage.ask("github-mcp", Self.api, .A, as: "one")
    stage.log.block(true)
    stage.upstreams[0].conduct = .answers
    stage.settle()
    #expect(try stage.reply(to: "one")?.code == .SERVFAIL)
    #expect(try Self.body(stage, "status").contains(#""failed":1"#), "\(stage.lastBody)")
  }

  // MARK: - The journal

  @Test("a journal much longer than what is open is written anew, once, and then goes on")
  func journal() throws {
    let entries = (0..<20_000).map {
      (server: "github-mcp", name: "gone.example.com", address: "100.64.\($0 / 250).\($0 % 250)")
    }
    let stage = try Stage(Setting(journal: entries))
    stage.data[Self.api, .A] = .init(addresses: [Self.first], ttl: 300, alias: nil)
    try stage.ask("github-mcp", Self.api, .A, as: "one")
    #expect(stage.journaledCount <= 1_024)
    #expect(try stage.journaledSeconds("github-mcp", Self.api, Self.first) == 330)
    #expect(stage.broken.isEmpty)
  }

  @Test("a journal of what is open stays the file that it is")
  func shortJournal() throws {
    let stage = try Stage(Setting())
    stage.data[Self.api, .A] = .init(addresses: [Self.first], ttl: 300, alias: nil)
    let file = try #require(stage.journalFile)
    try stage.ask("github-mcp", Self.api, .A, as: "one")
    #expect(stage.journaledCount == 1)
    #expect(stage.journalFile == file)
  }

  private final class Answers: Sendable {
    private let came = Mutex<String?>(nil)
    var text: String? { came.withLock { $0 } }
    func add(_ response: ControlResponse) {
      came.withLock { $0 = String(decoding: response.body, as: UTF8.self) }
    }
  }
}
