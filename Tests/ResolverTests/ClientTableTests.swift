import AuditLog
import DNSWire
import EgressPolicy
import ResponseCache
import TestSupport
import Testing

@testable import Resolver

@Suite("Clients apart from the policy")
struct ClientTableTests {
  @Test("another table moves clients, and policy, zones, caches and counts stay the same objects")
  func moves() throws {
    let asker = try Asker(World())
    let before = asker.snapshot
    before.servers[0].cache.store(
      Messages.name("api.example.com"), .A,
      CachedResponse(responseCode: .NXDOMAIN, expires: asker.clock.monotonic + 5 * second))
    let query = Messages.query("api.example.com", .A)
    let (cached, stranger) = (
      try asker.outcome(query, from: "10.77.1.2"), try asker.outcome(query, from: "192.0.2.7")
    )
    #expect(cached != stranger)
    _ = asker.recorded()
    asker.snapshot = before.with(ClientTable([(prefix("192.0.2.0/24"), 0)], serverCount: 2))
    #expect(try asker.outcome(query, from: "192.0.2.7") == cached)
    #expect(asker.recorded().isEmpty)
    #expect(try asker.outcome(query, from: "10.77.1.2") == stranger)
    #expect(asker.recorded() == [.unknownClient])
    #expect(asker.snapshot.server(of: address("::ffff:192.0.2.7")) == 0)
    #expect(asker.snapshot.policy === before.policy && asker.snapshot.zones === before.zones)
    #expect(zip(asker.snapshot.servers, before.servers).allSatisfy { $0 === $1 })
    #expect(before.server(of: address("10.77.1.2")) == 0, "the former snapshot is as it was")
  }

  @Test("a client of two networks is the longer one's server, whatever the policy says of it")
  func longestPrefix() throws {
    let asker = try Asker(World())
    asker.snapshot = asker.snapshot.with(
      ClientTable([(prefix("10.77.0.0/16"), 0), (prefix("10.77.1.9/32"), 1)], serverCount: 2))
    #expect(asker.snapshot.server(of: address("10.77.1.8")) == 0)
    #expect(asker.snapshot.server(of: address("10.77.1.9")) == 1)
    #expect(asker.snapshot.server(of: address("10.78.1.9")) == nil)
  }
}
