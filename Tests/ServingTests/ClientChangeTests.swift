import AuditLog
import DNSWire
import EgressPolicy
import FirewallBridge
import FirewallModel
import Foundation
import GrantLedger
import IPNetwork
import LinuxIO
import Resolver
import ResponseCache
import Settings
import TestSupport
import Testing
import Transport
import Upstream
import Zones

@testable import Serving

@Suite("A change of clients")
struct ClientChangeTests {
  private static func settings() throws -> Settings {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-clients-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.appending(path: "sluice.yaml")
    let configuration = """
      listen: [ 10.77.1.1:53 ]
      upstreams: [ "udp://192.0.2.53:53" ]
      policies: policy.yaml
      audit: { path: audit.jsonl }
      state: state
      """
    let policies = """
      server: github-mcp
      networks: [ 10.77.1.0/24 ]
      egress: [ api.github.com ]
      ---
      server: files-mcp
      networks: [ 10.77.2.0/24 ]
      egress: [ files.example.com ]
      """
    try Data(configuration.utf8).write(to: path)
    try Data(policies.utf8).write(to: folder.appending(path: "policy.yaml"))
    let loaded = SettingsLoader.load(path: path.path)
    return try #require(loaded.settings, "\(loaded.diagnostics)")
  }

  @Test("makes no request to the bridge, compiles nothing, and keeps caches")
  func quiet() throws {
    let settings = try Self.settings()
    var indexes = FirewallIndexes()
    indexes.assign(settings.policies)
    let factory = SnapshotFactory(settings, zones: try LocalZones(files: LocalZones.shippedFiles))
    let before = factory.snapshot(of: settings.policies, indexes: indexes)
    let name = try Name(hostname: "api.github.com").wire
    before.servers[0].cache.store(name, .A, CachedResponse(responseCode: .NXDOMAIN, expires: .max))

    let reactor = try Reactor()
    var ends = try DescriptorPair.sockets(ofMessages: true)
    let file = try SharedCounter.makeFile(named: "sluice-alarms").release()
    defer { close(file) }
    let alarms = try SharedCounter(file)
    let plan = indexes.plan(for: settings.policies, settings)
    let link = try BridgeLink(
      reactor: reactor, child: BridgeChild(pid: .max, socket: ends.takeFirst(), alarms: alarms), plan: plan
    ) { _ in }
    let shared = SharedState(
      current: CurrentSnapshot(before), epoch: FirewallEpoch { alarms.value }, audit: OpenGate(),
      clocks: { (MonotonicTime.now().nanoseconds, WallClock.nanoseconds()) }, resolveInterface: { _ in 0 },
      sink: { _, _ in })
    let ring = AuditRing.onHeap()
    let service = ResolutionService(
      reactor: reactor,
      upstream: UpstreamPool(
        reactor: reactor, servers: [UpstreamServer(address: try #require(IPAddress("192.0.2.53")), port: 53)]),
      bridge: link, shared: shared, ring: ring, shard: 0,
      ledger: GrantLedger(lifetimes: .init(minimum: 1, grace: 0, maximum: 1), maxElementsPerServer: 16),
      options: FirewallOptions(settings),
      journal: nil, incarnation: 1)
    let generation = shared.current.generation

    let container = try #require(IPAddress("10.77.1.5"))
    service.activate(
      ClientTable([(try #require(IPPrefix("10.77.1.0/24")), 0), (IPPrefix(container, length: 32)!, 1)], serverCount: 2))
    _ = reactor.schedule(at: .now().adding(milliseconds: 20)) { reactor.stop() }
    reactor.run()

    let after = shared.current.load()
    #expect(shared.current.generation > generation, "the workers look at it")
    #expect(after === service.snapshot && after.server(of: container) == 1)
    #expect(after.policy === before.policy)
    #expect(after.servers[0] === before.servers[0] && after.servers[0].cache.count == 1)
    var buffer = [UInt8](repeating: 0, count: BridgeMessage.maximumOctets)
    let quiet = MessageSocket.receive(ends.second, into: &buffer)
    guard case .nothing = quiet else {
      Issue.record("asked of the bridge: \(quiet)")
      return
    }
    // That a request would have been seen.
    link.ping { _ in }
    guard case .octets = MessageSocket.receive(ends.second, into: &buffer) else {
      Issue.record("nothing comes by this socket")
      return
    }
  }
}
