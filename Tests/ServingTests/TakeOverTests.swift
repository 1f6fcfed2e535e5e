import DNSWire
import EgressPolicy
import FirewallModel
import GrantLedger
import IPNetwork
import LinuxIO
import Resolver
import Testing

@testable import FirewallBridge
@testable import Serving

/// What an earlier run left open goes on only for what policy opens today, and ends otherwise (P3, P4).
@Suite("Taking over what is open")
struct TakeOverTests {
  private static let second: UInt64 = 1_000_000_000

  private struct Left {
    var address = "140.82.121.5"
    var port: UInt16 = 443
    /// What the journal says of it, beside the address.
    var name = "api.github.com"
    var entryTransport: UInt8 = 6
    var entryPort: UInt16 = 443
    /// Seconds since 1970; nil for a minute ago.
    var opened: UInt64?
    /// Nanoseconds until the kernel ends it.
    var left: UInt64 = 300 * second
  }

  /// Whether an element is open after the start, and for how long the ledger then says that it was open, in seconds.
  private func takenOver(_ found: Left, _ setting: Setting = Setting()) throws -> (isOpen: Bool, age: UInt64?) {
    let stage = try Stage(setting)
    let address = try #require(IPAddress(found.address))
    let element = GrantElement(server: 0, address: address, transport: 6, port: found.port)
    stage.bridge.kernel[element] = stage.clock.now + found.left
    let opened = found.opened ?? stage.clock.clocks.wall() / Self.second - 60
    var completions = 0
    stage.service.reconcile([
      JournalEntry(
        server: "github-mcp", name: try Name(presentation: found.name), type: .A, address: address,
        transport: found.entryTransport, port: found.entryPort, opened: opened)
    ]) { if case .success = $0 { completions += 1 } }
    stage.settle()
    try #require(completions == 1, "after the sets of all servers, once")
    var age: UInt64?
    let now = stage.service.now
    stage.service.engine.ledger.forEachHolding(now: now) { _, held, _, since in
      if held == element { age = (now - min(now, since)) / Self.second }
    }
    return (stage.bridge.kernel[element] != nil, age)
  }

  @Test("what the journal has for a name that policy lists, with its port, stays open")
  func kept() throws {
    let (isOpen, age) = try takenOver(Left())
    #expect(isOpen && age == 60)
  }

  @Test("another transport or port than the journal's is closed, and so is one that no rule opens")
  func otherPort() throws {
    for found in [
      Left(entryTransport: 17), Left(entryPort: 80), Left(port: 8443), Left(port: 8443, entryPort: 8443),
    ] {
      let (isOpen, age) = try takenOver(found)
      #expect(!isOpen && age == nil, "\(found)")
    }
  }

  @Test("an address that no answer may hold today is closed (P4)")
  func forbidden() throws {
    for address in ["10.1.2.3", "127.0.0.1", "169.254.169.254"] {
      let (isOpen, age) = try takenOver(Left(address: address))
      #expect(!isOpen && age == nil, "\(address)")
    }
  }

  @Test("a name that policy does not list is closed")
  func unlisted() throws {
    #expect(try !takenOver(Left(name: "other.example.net")).isOpen)
  }

  @Test("whenever the journal says that it was opened, it was not before this host ran and not after now")
  func times() throws {
    let ahead = try takenOver(Left(opened: .max))
    #expect(ahead.isOpen && ahead.age == 0)
    let long = try takenOver(Left(opened: 0))
    #expect(long.isOpen && long.age != nil)
  }

  private static func policies(_ api: String, _ others: String = "") -> String {
    "server: github-mcp\nnetworks: [ 10.77.1.0/24 ]\negress: [ { host: api.github.com\(api) }\(others) ]\n"
  }

  /// Whether the next run, by another policy, leaves open what this one opened for a name that leads to another one, or to
  /// none.
  private func isKept(_ former: String, chain: Bool, by next: String) throws -> Bool {
    let (name, target, address) = ("api.github.com", "edge.example.net", "140.82.121.5")
    let first = try Stage(Setting(policies: former))
    first.data[name, .A] = .init(addresses: [address], ttl: 300, alias: chain ? target : nil)
    try first.ask("github-mcp", name, .A, as: "first")
    try #require(try first.isOpen("github-mcp", address))
    let second = try Stage(
      Setting(policies: next, earlier: [(0, address, 300)], inherited: first.journaled))
    let isOpen = try second.isOpen("github-mcp", address)
    if !isOpen { #expect(second.bridge.cut.map(\.description) == [address], "its connections end") }
    return isOpen
  }

  @Test("of a rule that got stricter about chains only that is taken over which it would have taken")
  func stricterChains() throws {
    let (follow, listed, strict) = ("", ", cname: listed", ", cname: strict")
    let edge = ", edge.example.net"
    #expect(try isKept(Self.policies(follow), chain: true, by: Self.policies(follow)))
    #expect(try !isKept(Self.policies(follow), chain: true, by: Self.policies(strict)))
    #expect(try !isKept(Self.policies(follow), chain: true, by: Self.policies(listed)))
    #expect(try isKept(Self.policies(listed, edge), chain: true, by: Self.policies(listed, edge)))
    #expect(try isKept(Self.policies(listed, edge), chain: true, by: Self.policies(follow)))
    #expect(try !isKept(Self.policies(listed, edge), chain: true, by: Self.policies(listed)))
    #expect(try !isKept(Self.policies(listed, edge), chain: true, by: Self.policies(strict, edge)))
    #expect(try isKept(Self.policies(listed), chain: false, by: Self.policies(strict)))
  }

  @Test("in a managed table what has no end is no grant, and is closed")
  func endless() throws {
    // Less than a millisecond is told as none.
    let (isOpen, age) = try takenOver(Left(left: 1_000))
    #expect(!isOpen && age == nil)
  }

  @Test("what a rule bounds by octets is committed once more, with the bounds that it has today")
  func caps() throws {
    let setting = Setting(
      policies: """
        server: github-mcp
        networks: [ 10.77.1.0/24 ]
        egress: [ { host: api.github.com, max-bytes: 1MiB } ]
        """,
      earlier: [(0, "140.82.121.5", 300)], journal: [("github-mcp", "api.github.com", "140.82.121.5")])
    let stage = try Stage(setting)
    #expect(stage.bridge.done == ["open 140.82.121.5"])
    #expect(try stage.isOpen("github-mcp", "140.82.121.5"))
  }
}
