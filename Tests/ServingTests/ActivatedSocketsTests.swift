import Foundation
import LinuxIO
import Settings
import Testing
import Transport

@testable import Serving

/// What the service manager passes is used where the configuration listens, and refused where it does not.
@Suite("Sockets of the service manager")
struct ActivatedSocketsTests {
  private static let settings = """
    listen: [ 10.77.1.1:53 ]
    upstreams: [ udp://192.0.2.53 ]
    policies: policy.yaml
    workers: 2
    control: /run/sluice/control.sock
    """

  private static func load() throws -> Settings {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-passed-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data(settings.utf8).write(to: folder.appending(path: "sluice.yaml"))
    try Data("server: agent\nnetworks: [ 10.77.1.0/24 ]\negress: []\n".utf8)
      .write(to: folder.appending(path: "policy.yaml"))
    let loaded = SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path)
    return try #require(loaded.settings, "\(loaded.diagnostics)")
  }

  private static let first = SocketAddress(isV6: false, high: 0, low: 0x0A4D_0101, port: 53)
  private static let other = SocketAddress(isV6: false, high: 0, low: 0x0A4D_0102, port: 53)
  private static let path = "/run/sluice/control.sock"

  /// What is taken of sockets of these kinds, or why it is refused.
  private func taken(
    _ kinds: [PassedSocket.Kind], named name: String = "sluice", both: Bool = false
  ) throws -> (sockets: ActivatedSockets?, reason: String) {
    let passed = kinds.enumerated().map { index, kind in
      PassedSocket(descriptor: Int32(index) + 100, name: name, kind: kind, takesBoth: both)
    }
    let settings = try Self.load()
    do throws(StartError) {
      return (try ActivatedSockets(passed, settings), "")
    } catch {
      return (nil, error.reason)
    }
  }

  @Test("each at an address of the configuration is used")
  func used() throws {
    let found = try #require(
      try taken([.datagram(Self.first), .datagram(Self.first), .stream(Self.first), .unix(Self.path)]).sockets)
    #expect(found.count == 4 && found.control == 103)
    #expect(found.datagrams == [Self.first: [100, 101]] && found.streams == [Self.first: [102]])
    #expect(found.allDatagrams.count == 2)
    #expect((0..<3).map { found.datagrams(ofWorker: $0).map(\.descriptor) } == [[100], [101], []])
  }

  @Test("one at another address is refused, over UDP and over TCP")
  func elsewhere() throws {
    for kind in [.datagram(Self.other), .stream(Self.other)] as [PassedSocket.Kind] {
      #expect(try taken([kind]).reason.contains("`listen:` does not name it"), "\(kind)")
    }
  }

  @Test("one that takes IPv4 beside IPv6 is refused, over UDP and over TCP")
  func both() throws {
    for kind in [.datagram(Self.first), .stream(Self.first)] as [PassedSocket.Kind] {
      #expect(try taken([kind], both: true).reason.contains("BindIPv6Only"), "\(kind)")
    }
  }

  @Test("the control socket is one, at its path or by its name")
  func control() throws {
    #expect(try taken([.unix("/run/other.sock")]).reason.contains("`control:` is"))
    #expect(try taken([.unix("/run/other.sock")], named: "control").sockets?.control == 100)
    #expect(try taken([.unix(Self.path), .unix(Self.path)]).reason.contains("`control:` is"))
  }

  @Test("what has no use, and more than would be read, is refused")
  func useless() throws {
    #expect(try taken([.other]).reason.contains("have a use"))
    #expect(try taken(Array(repeating: .datagram(Self.first), count: 3)).sockets?.count == 3)
    #expect(try taken(Array(repeating: .datagram(Self.first), count: 4)).reason.contains("4 UDP sockets"))
  }

  @Test("a service manager is told where it gives a socket, and nowhere else")
  func manager() {
    #expect(ServiceManager(environment: [:]) == nil)
    for socket in ["", "relative", "unix:/run/notify"] {
      #expect(ServiceManager(environment: ["NOTIFY_SOCKET": socket]) == nil, "\(socket)")
    }
    let environment = ["NOTIFY_SOCKET": "@notify", "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "7"]
    #expect(ServiceManager(environment: environment, pid: 7)?.watchdogInterval == 2_000)
    #expect(ServiceManager(environment: environment, pid: 8).map { $0.watchdogInterval } == .some(nil))
    #expect(ServiceManager(environment: environment, pid: 7)?.isAbstract == true)
    #expect(ServiceManager(environment: ["NOTIFY_SOCKET": "/run/notify"])?.isAbstract == false)
  }
}
