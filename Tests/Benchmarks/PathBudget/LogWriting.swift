import AuditLog
import AuditStore
import CCallgrind
import DNSWire
import Glibc
import IPNetwork
import LinuxIO
import TestSupport

/// What the log's writer takes for each event of one kind, with all lines that are written at the end: see writer.py.
///
///     PathBudget --writer KIND EVENTS FOLDER
enum LogWriting: String, CaseIterable {
  /// The same few unlisted names again and again, as an agent's telemetry.
  case denied
  /// Answers that opened addresses, each of another name.
  case granted
  /// Connections that the firewall refused, to destinations that come again.
  case refused
  /// Another unlisted name each time.
  case flood
  /// The same of a server that is over its share of the log.
  case quota

  private static let servers = 8
  private static let ringOctets = 8 << 20

  /// Prints how many events were written, and the nanoseconds that the writer's thread took for one.
  func run(_ events: Int, in folder: String) throws {
    let store = try AuditStore(
      settings: AuditStoreSettings(
        path: folder + "/audit.jsonl", maxSize: self == .quota ? 1 << 20 : 1 << 30, keep: self == .quota ? 2 : 8,
        rings: 1,
        ringOctets: Self.ringOctets, servers: Self.servers))
    guard let ring = store.ring(0) else { fail("no ring") }
    // Made ahead: what it costs to push is not what is asked.
    let records = (0..<min(events, 65_536)).map { record($0) }
    try store.start()
    store.begin()
    sluice_callgrind_start()
    let before = Self.ofOtherThreads
    var pushed = 0
    while pushed < events {
      var record = records[pushed % records.count]
      record.header.wallClock = WallClock.nanoseconds()
      switch ring.push(record.header, server: record.server.span, name: record.name.span, extra: record.members.span) {
      case .stored: pushed += 1
      case .storedWakeConsumer:
        pushed += 1
        store.wake()
      case .full: usleep(200)
      }
    }
    store.stop()
    let took = Self.ofOtherThreads - before
    sluice_callgrind_stop()
    let counters = store.counters
    guard counters.records == UInt64(events) else { fail("\(counters.records) of \(events) events came to the writer") }
    print("\(rawValue) \(events) events, \(counters.written) lines, \(took / UInt64(events)) ns")
  }

  private struct Record {
    var header: AuditRecordHeader
    var server: [UInt8]
    var name: [UInt8]
    var members: [UInt8]
  }

  private func record(_ number: Int) -> Record {
    let server = Array("server-\(self == .quota ? 0 : number % Self.servers)".utf8)
    let client = IPAddress(v4: 0x0A4D_0102 + UInt32(number % Self.servers) << 8)
    let random = String(UInt64(number + 1) &* 0x9E37_79B9_7F4A_7C15, radix: 16)
    func query(_ code: AuditCode, _ name: String, _ members: String = "") -> Record {
      Record(
        header: AuditRecordHeader(
          code: code, transport: .udp, type: .A, responseCode: code == .granted ? .NOERROR : .NXDOMAIN, payloadSize: 45,
          client: client, clientPort: 40_188, wallClock: 0),
        server: server, name: Messages.name(name), members: Array(members.utf8))
    }
    switch self {
    case .denied: return query(.notListed, "telemetry-\(number % 40).tracker.example.net")
    case .flood, .quota: return query(.notListed, "\(random).tracker.example.net")
    case .granted:
      return query(
        .granted, "\(random).example.com",
        #","rule":"/etc/sluice/policies/agent.yaml:17","chain":["edge.example.net"],"addresses":["192.0.2.1","192.0.2.2"],"#
          + #""ports":["443/tcp"],"ttl":60,"lifetime":90,"upstream":"192.0.2.53:53""#)
    case .refused:
      let address = IPAddress(v4: 0x2D0B_0900 + UInt32(number % 200))
      return Record(
        header: AuditRecordHeader(
          connection: .rawAddress, transport: 6, port: 443, payloadSize: 60, client: client, clientPort: 40_188,
          wallClock: 0),
        server: server, name: Array(address.description.utf8),
        members: Array(#","address":"\#(address)","protocol":"tcp","port":443"#.utf8))
    }
  }

  /// CPU time of the process without this thread's: nanoseconds.
  private static var ofOtherThreads: UInt64 {
    // This thread's first: it goes on, and the process has what it took.
    let own = time(CLOCK_THREAD_CPUTIME_ID)
    return time(CLOCK_PROCESS_CPUTIME_ID) - own
  }

  private static func time(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    // It is written to the variable above.
    _ = unsafe clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
