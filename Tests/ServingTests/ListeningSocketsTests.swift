import AuditStore
import Foundation
import Glibc
import IPNetwork
import LinuxIO
import NFTables
import Resolver
import Settings
import TestSupport
import Testing
import Transport

@testable import FirewallModel
@testable import Serving

/// What serve listens at, and what it does where that is not to be had.
@Suite("Opening what serve listens at")
struct ListeningSocketsTests {
  /// A configuration in a folder of its own.
  private final class Place {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-listening-\(UUID().uuidString)")

    init() throws {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try Data("server: agent\nnetworks: [ 10.77.1.0/24 ]\negress: []\n".utf8)
        .write(to: folder.appending(path: "policy.yaml"))
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    var path: String { folder.appending(path: "sluice.yaml").path }

    func settings(_ more: String = "") throws -> Settings {
      try Data(
        """
        listen: [ 127.0.0.1:53 ]
        upstreams: [ udp://192.0.2.53 ]
        policies: policy.yaml
        audit: { path: audit.jsonl }
        state: state
        workers: 2
        \(more)
        """.utf8
      ).write(to: URL(filePath: path))
      let loaded = SettingsLoader.load(path: path)
      return try #require(loaded.settings, "\(loaded.diagnostics)")
    }
  }

  private static func sockets(_ settings: Settings, passed: [PassedSocket] = []) throws -> ListeningSockets {
    ListeningSockets(settings, try ActivatedSockets(passed, settings), try Reactor(), nil)
  }

  // MARK: - Addresses that are not there

  /// What stands for the signals that serve gets (signalfd(2)).
  private struct Signals: ~Copyable {
    private let pipe: DescriptorPair
    var descriptor: Int32 { pipe.first }

    init() throws {
      pipe = try DescriptorPair.pipe()
      _ = fcntl(pipe.first, F_SETFL, O_NONBLOCK)
    }

    func send(_ number: Int32) {
      var octets = [UInt8](repeating: 0, count: 128)
      octets[0] = UInt8(number)
      _ = unsafe write(pipe.second, octets, octets.count)
    }
  }

  /// Tries as `open` does; how often it was tried, and whether it came to an end.
  private func attempts(_ outcomes: [Int32], signals numbers: [Int32] = []) throws -> (count: Int, error: (any Error)?)
  {
    let signals = try Signals()
    for number in numbers { signals.send(number) }
    var left = outcomes[...]
    do {
      let sockets = try Self.sockets(try Place().settings())
      try sockets.waiting(.udp, signals.descriptor) {
        let errno = left.popFirst() ?? 0
        if errno != 0 { throw SystemError(call: "bind", errno: errno) }
      }
      return (outcomes.count - left.count, nil)
    } catch {
      return (outcomes.count - left.count, error)
    }
  }

  @Test("an address that is not there is waited for, and one that is refused otherwise is a reason not to start (P7)")
  func refused() throws {
    let later = try attempts([EADDRNOTAVAIL, 0])
    #expect(later.count == 2 && later.error == nil)
    for errno in [EACCES, EAFNOSUPPORT] {
      let found = try attempts([errno, 0])
      #expect(found.count == 1 && found.error is StartError, "\(errno)")
    }
    let found = try attempts([EADDRNOTAVAIL, EACCES, 0])
    #expect(found.count == 2 && found.error is StartError)
  }

  @Test("who asks for the end while an address is waited for has it, and a reload is none")
  func stopped() throws {
    let stopped = try attempts([EADDRNOTAVAIL, 0], signals: [SIGHUP, SIGTERM])
    #expect(stopped.count == 1 && stopped.error is ListeningSockets.StoppedError)
    let reloaded = try attempts([EADDRNOTAVAIL, 0], signals: [SIGHUP])
    #expect(reloaded.count == 2 && reloaded.error == nil)
  }

  // MARK: - Sockets that were passed

  @Test(
    "where nothing can be bound beside a socket that was passed all workers read it, and there is none for a flood",
    .enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)))
  func shared() throws {
    let place = try Place()
    try Kernel.inNamespace {
      try Kernel.run("ip link set lo up")
      let address = SocketAddress(isV6: false, high: 0, low: 0x7F00_0001, port: 53)
      let first = try Sockets.listenUDP(address, tellsInterface: false)
      let descriptor = first.raw
      let folder = place.folder.path
      let settings = try place.settings()
      func count(_ workers: Int) throws -> Int {
        // Without the right to bind a port below 1024.
        try Unprivileged.perform {
          var settings = settings
          settings.workers = workers
          let audit = try AuditStore(
            settings: AuditStoreSettings(
              path: "\(folder)/audit\(workers)", rings: ThreadIndexes(workers: workers).count))
          let zones = try ZoneFiles.load(settings)
          var indexes = FirewallIndexes()
          indexes.assign(settings.policies)
          let snapshot = SnapshotFactory(settings, zones: zones).snapshot(of: settings.policies, indexes: indexes)
          let shared = SharedState(
            current: CurrentSnapshot(snapshot), epoch: FirewallEpoch(), audit: OpenGate(),
            clocks: { (monotonic: 1, wall: 1) }, resolveInterface: { _ in 0 }, sink: { _, _ in })
          let passed = PassedSocket(descriptor: descriptor, name: "sluice", kind: .datagram(address), takesBoth: false)
          return try Self.sockets(settings, passed: [passed]).openWorkers(shared, audit).count
        }
      }
      #expect(try count(1) == 1 && count(2) == 2)
      _ = consume first
    }
  }

  // MARK: - The control socket

  @Test("without its control socket serve starts where nothing of the configuration depends on it, and nowhere else")
  func control() throws {
    func isThere(_ isDefault: Bool, metrics: ListenAddress?) throws -> Bool? {
      var settings = try Place().settings()
      settings.control = ControlSettings(path: "/nowhere/at/all/control.sock", isDefault: isDefault)
      settings.metrics = metrics
      let sockets = try Self.sockets(settings)
      do throws(StartError) {
        return try sockets.openControl(nil) { _, _ in } != nil
      } catch {
        #expect(error.reason.hasPrefix("control: /nowhere/at/all/control.sock: its folder"))
        return nil
      }
    }
    #expect(try isThere(true, metrics: nil) == false)
    #expect(try isThere(false, metrics: nil) == nil)
    let metrics = ListenAddress(address: IPAddress(v4: 0x7F00_0001), port: 0)
    #expect(try isThere(true, metrics: metrics) == nil)
  }

  // MARK: - What a start has to have

  @Test(
    "a table that another sluice serves keeps this one from its start, and without a table there is nothing to lock",
    .enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)))
  func locks() throws {
    try Kernel.inNamespace {
      let place = try Place()
      let managed = try Service(settings: try place.settings(), configurationPath: place.path)
      let off = try Service(
        settings: try place.settings("firewall: { mode: \"off\" }"), configurationPath: place.path)
      let lock = try managed.lockTable()
      #expect(throws: StartError.self) { _ = try managed.lockTable() }
      let isLocked = if case .some = try off.lockTable() { true } else { false }
      #expect(!isLocked)
      _ = consume lock
    }
  }

  @Test("where no address is opened or closed no bridge is started")
  func bridge() throws {
    let place = try Place()
    let service = try Service(
      settings: try place.settings("firewall: { mode: \"off\" }"), configurationPath: place.path)
    let isStarted = try service.startBridge(FirewallPlan(mode: .managed, servers: []), zones: nil) != nil
    #expect(!isStarted)
  }

  @Test("privileges that cannot be given up are a reason not to start (P7)")
  func privileges() throws {
    try Privileges.require(0, "capabilities cannot be given up")
    let error = #expect(throws: StartError.self) { try Privileges.require(EPERM, "capabilities cannot be given up") }
    #expect(error?.reason.hasPrefix("capabilities cannot be given up: ") == true)
  }

  @Test("what became of an earlier run's addresses is told where there were any")
  func takenOver() {
    func text(_ kept: Int, _ closed: Int) -> String? { ResolutionService.TakenOver(kept: kept, closed: closed).text }
    #expect(text(0, 0) == nil)
    #expect(text(1, 0) == "of the addresses of an earlier run 1 stays open, and 0 are closed")
    #expect(text(0, 1) == "of the addresses of an earlier run 0 stay open, and 1 is closed")
    #expect(text(2, 3) == "of the addresses of an earlier run 2 stay open, and 3 are closed")
  }

  @Test(
    "the host's network is read once at a time, and again where something changed meanwhile or it could not be read")
  func readings() {
    var turns = ReadingTurns()
    var begun = turns.rested()
    #expect(!begun, "nothing changed")
    begun = turns.changed()
    #expect(begun)
    for _ in 0..<3 {
      begun = turns.changed()
      #expect(!begun, "one is under way")
    }
    turns.ended(hasFailed: false)
    begun = turns.changed()
    #expect(!begun, "not before a rest")
    begun = turns.rested()
    #expect(begun)
    turns.ended(hasFailed: true)
    begun = turns.rested()
    #expect(begun)
    turns.ended(hasFailed: false)
    begun = turns.rested()
    #expect(!begun)
  }
}
