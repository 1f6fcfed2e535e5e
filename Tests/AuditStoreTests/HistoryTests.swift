import AuditLog
import DNSWire
import Foundation
import Glibc
import IPNetwork
import LinuxIO
import Testing

@testable import AuditStore

@Suite struct HistoryTests {
  @Test("one server's flood of grants takes no other's history, and is in the log to the last record")
  func flood() throws {
    let scratch = Scratch()
    let store = try AuditStore(
      settings: AuditStoreSettings(path: scratch.log, maxSize: 1 << 20, keep: 2, rings: 1, servers: 2))
    try store.start()
    push(store, 0, code: .notListed, members: "", server: "quiet")
    let addresses = (0..<40).map { "\"45.11.0.\($0)\"" }.joined(separator: ",")
    for number in 0..<20_000 {
      while !push(store, number, members: ",\"addresses\":[\(addresses)]", server: "loud") { usleep(100) }
    }
    push(store, 1, code: .notListed, members: "", server: "quiet")
    store.stop()
    let lines = try readEvents(scratch.log)
    let quiet = lines.filter { $0["server"] as? String == "quiet" }
    #expect(quiet.map { $0["destination"] as? String } == ["n0.example.com", "n1.example.com"])
    #expect(sum(lines) == 20_002)
    #expect(lines.contains { $0["code"] as? String == "log-quota" && $0["server"] as? String == "loud" })
  }

  @Test("special-use names are in the log, and never among the most frequent")
  func specialNames() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log)
    for _ in 0..<100 { push(store, 1, code: .special, members: "") }
    push(store, 2, code: .notListed, members: "")
    store.stop()
    #expect(try sum(readEvents(scratch.log)) == 101)
    for member in [LogLine.Member.destination, .server, .reason] {
      var tally = LogTally(by: member)
      var reader = AuditReader(path: scratch.log, filter: LogFilter())
      try reader.read { tally.add($0) }
      #expect(tally.first(10).map(\.count) == [1])
    }
  }

  @Test("what tells of other lines counts nothing a second time, and is there among the codes")
  func countedElsewhere() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log)
    push(store, 1, code: .granted, members: "")
    push(store, 1, code: .familiesDiffer, members: "")
    store.stop()
    func counts(_ member: LogLine.Member) throws -> [UInt64] {
      var tally = LogTally(by: member)
      var reader = AuditReader(path: scratch.log, filter: LogFilter())
      try reader.read { tally.add($0) }
      return tally.first(10).map(\.count)
    }
    for member in [LogLine.Member.destination, .server, .client, .type] { #expect(try counts(member) == [1]) }
    #expect(try counts(.code) == [1, 1])
  }

  @Test("what a killed run of a version with one kind of window left is in the log")
  func earlierVersion() throws {
    let scratch = Scratch()
    let made = unsafe open(scratch.log + ".ring", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    #expect(made >= 0)
    do {
      let file = FileDescriptor(made)
      let geometry = RingFile.Geometry(rings: 1, ringOctets: 65_536, windowOctets: 65_536, isEarlier: true)
      #expect(ftruncate(made, off_t(geometry.total)) == 0)
      let region = try Mapping(file, octets: geometry.total).region()
      for (word, value) in [
        (8, 1), (16, UInt64(geometry.ringOctets)), (24, UInt64(geometry.windowOctets)), (32, 7),
        (0, 0x736C_7569_6365_4131),
      ] {
        region.storeReleasing(value, word)
      }
      let start = 4096 + 65_536 + 4096
      let ring = try #require(AuditRing(region.part(start..<(start + AuditRing.overhead + 65_536))))
      let header = AuditRecordHeader(
        code: .notListed, transport: .udp, type: .A, responseCode: .NXDOMAIN, payloadSize: 40,
        client: IPAddress(v4: 1), clientPort: 53, wallClock: 1)
      let server: [UInt8] = [97]
      let name: [UInt8] = [1, 120, 0]
      #expect(ring.push(header, server: server.span, name: name.span, extra: Span()) != .full)
    }
    let store = try openStore(scratch.log)
    store.stop()
    #expect(try readEvents(scratch.log).map { $0["destination"] as? String } == ["x"])
  }
}
