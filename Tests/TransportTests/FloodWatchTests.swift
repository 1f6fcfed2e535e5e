import DNSWire
import EgressPolicy
import IPNetwork
import Resolver
import ResponseCache
import Testing
import Zones

@testable import Transport

@Suite("Who floods")
struct FloodWatchTests {
  private let snapshot: ResolverSnapshot

  init() throws {
    let location = SourceLocation(file: "policy.yaml", line: 1, column: 1)
    let policies = try [("wide", "10.0.0.0/8"), ("narrow", "10.7.0.0/16"), ("small", "192.0.2.8/29")].map {
      name, network in
      ServerPolicy(
        name: try ServerName(name),
        networks: [ServerNetwork(prefix: try #require(IPPrefix(network)), location: location)],
        rules: RuleList([]), location: location)
    }
    snapshot = ResolverSnapshot(
      policy: PolicySnapshot(policies), zones: try LocalZones(files: LocalZones.shippedFiles),
      rules: ResolverRules(
        sinkhole: .nxdomain, sinkholeTTL: 5, unknownClients: .nxdomain, allowedEvents: .none, opensFirewall: false,
        opensIPv6: false, maxTTL: 3600, maxNegativeTTL: 300),
      servers: policies.enumerated().map { index, policy in
        ServerState(
          name: policy.name.text, cache: ResponseCache(maxEntries: 10), firewallIndex: UInt16(index),
          interface: nil)
      })
  }

  private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

  /// The first offender of so many batches of `count` datagrams.
  private func offender(_ batches: Int, count: Int = 64, _ source: (Int) -> IPAddress) -> IPPrefix? {
    var watch = FloodWatch()
    for _ in 0..<batches {
      if let offender = watch.observe(count, of: 64, on: 3, snapshot, source) { return offender }
    }
    return nil
  }

  @Test("one that fills batch after batch is told by the narrowest of its networks")
  func network() throws {
    let (narrow, wide, stranger) = try (address("10.7.1.2"), address("10.8.1.2"), address("203.0.113.9"))
    #expect(offender(8) { _ in narrow } == IPPrefix("10.7.0.0/16"))
    // What would hit another server too is not taken whole.
    #expect(offender(8) { _ in wide } == IPPrefix("10.8.1.2/32"))
    #expect(offender(8) { _ in stranger } == IPPrefix("203.0.113.0/24"))
    let neighbour = try address("192.0.2.77")
    #expect(offender(8) { _ in neighbour } == IPPrefix("192.0.2.77/32"))
    let v6 = try address("2001:db8:1:2::77")
    #expect(offender(8) { _ in v6 } == IPPrefix("2001:db8:1:2::/64"))
  }

  @Test("a moment of work, or batches that are not full, are no flood")
  func patience() throws {
    let narrow = try address("10.7.1.2")
    #expect(offender(7) { _ in narrow } == nil)
    #expect(offender(1000, count: 63) { _ in narrow } == nil)
    var watch = FloodWatch()
    for _ in 0..<100 {
      for _ in 0..<7 { #expect(watch.observe(64, of: 64, on: 3, snapshot, { _ in narrow }) == nil) }
      #expect(watch.observe(5, of: 64, on: 3, snapshot, { _ in narrow }) == nil)
    }
  }

  @Test("a flood on one address is found although another address is quiet")
  func otherSocket() throws {
    let (flooder, quiet) = (try address("10.7.1.2"), try address("198.51.1.1"))
    var watch = FloodWatch()
    var offenders: [IPPrefix?] = []
    for _ in 0..<8 {
      offenders.append(watch.observe(64, of: 64, on: 3, snapshot, { _ in flooder }))
      offenders.append(watch.observe(1, of: 64, on: 4, snapshot, { _ in quiet }))
    }
    #expect(offenders.compactMap(\.self) == [IPPrefix("10.7.0.0/16")])
  }

  @Test("many that are busy together are not one that floods")
  func crowd() throws {
    let crowd = try (0..<64).map { try address("198.51.\($0).1") }
    #expect(offender(100) { crowd[$0] } == nil)
  }

  @Test("one that floods among others is found, and they are not blamed")
  func among() throws {
    let (flooder, others) = (try address("10.7.1.2"), try (0..<64).map { try address("198.51.\($0).1") })
    #expect(offender(8) { $0 % 16 < 10 ? flooder : others[$0] } == IPPrefix("10.7.0.0/16"))
  }
}
