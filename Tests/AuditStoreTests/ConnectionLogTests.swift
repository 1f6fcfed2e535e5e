import AuditLog
import DNSWire
import Foundation
import Glibc
import IPNetwork
import Testing

@testable import AuditStore

@Suite(.serialized) struct ConnectionLogTests {
  private static func refused(
    _ store: AuditStore, _ destination: String, port: UInt16, transport: UInt8 = 6, code: AuditCode = .neverResolved
  ) -> Bool {
    let header = AuditRecordHeader(
      connection: code, transport: transport, port: port, payloadSize: 60, client: IPAddress(v4: 0x0A4D_0102),
      clientPort: 40_000, wallClock: UInt64(Date().timeIntervalSince1970 * 1e9))
    let members = Array(#","address":"198.51.100.7","protocol":"tcp","port":\#(port)"#.utf8)
    return push(store, header, destination, members)
  }

  private static func push(
    _ store: AuditStore, _ header: AuditRecordHeader, _ destination: String, _ members: [UInt8] = []
  ) -> Bool {
    let (server, name) = (Array("s1".utf8), Array(destination.utf8))
    switch store.ring(0)?.push(header, server: server.span, name: name.span, extra: members.span) {
    case .stored: return true
    case .storedWakeConsumer:
      store.wake()
      return true
    case .full, nil: return false
    }
  }

  private func lines(_ path: String, _ filter: LogFilter = LogFilter()) throws -> [LogLine] {
    var reader = AuditReader(path: path, filter: filter)
    var lines: [LogLine] = []
    try reader.read { lines.append($0) }
    #expect(reader.badLines == 0)
    return lines
  }

  @Test("a scan of all 65,535 ports is 1,024 lines of the log and a digest, and every packet is counted")
  func portScan() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log)
    for port in 1...UInt16.max {
      while !Self.refused(store, "198.51.100.7", port: port) { usleep(100) }
    }
    store.stop()
    let events = try readEvents(scratch.log)
    #expect(sum(events) == 65_535)
    // One that says so, and a digest a minute.
    #expect((1026...1030).contains(events.count))
    #expect(events.contains { ($0["samples"] as? [String])?.contains { $0.hasSuffix("/tcp") } == true })
  }

  @Test("SIGKILL leaves events of connections and of the service to the next run, none lost")
  func kill() async throws {
    let scratch = Scratch()
    let path: String = scratch.log
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
      let tally = Files.openToAppend(path + ".tally")
      let store = try openStore(path, maxSize: 1 << 20)
      Thread.detachNewThread {
        while store.counters.records < 300 { usleep(50) }
        Glibc.kill(getpid(), SIGKILL)
      }
      var number: UInt64 = 0
      while true {
        let isStored =
          number % 50 == 49
          ? Self.push(store, AuditRecordHeader(service: .revoked, wallClock: number), "198.51.100.\(number % 200)")
          : Self.refused(
            store, "198.51.100.\(number / 3 % 200)", port: UInt16(number % 30), transport: [6, 17, 1][Int(number % 3)])
        if isStored { Files.tick(tally) }
        number += 1
      }
    }
    let store = try openStore(path, maxSize: 1 << 20)
    store.stop()
    let pushed = try FileManager.default.attributesOfItem(atPath: path + ".tally")[.size] as? Int ?? 0
    let events = try readEvents(path)
    #expect(pushed >= 300)
    #expect(sum(events) >= pushed && sum(events) <= pushed + AuditWriter.batchRecords * 2)
    #expect(events.allSatisfy { $0["type"] is NSNull && $0["rcode"] is NSNull })
    #expect(events.contains { $0["code"] as? String == "revoked" && $0["client"] is NSNull })
    #expect(events.contains { $0["code"] as? String == "never-resolved" && $0["transport"] is NSNull })
  }

  @Test("sluice log finds connections by name, address, server and decision, and shows destination, code and port")
  func shown() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log)
    #expect(Self.refused(store, "api.example.com", port: 22, code: .wrongPort))
    #expect(Self.refused(store, "2001:db8::1", port: 853, transport: 17, code: .dnsOverTLS))
    #expect(Self.push(store, AuditRecordHeader(service: .enforcementDegraded, wallClock: 1), ""))
    store.stop()
    let events = try lines(scratch.log)
    #expect(events.map(\.typeOrPort) == ["22/tcp", "853/tcp", "-"])
    #expect(events.map { $0.text(.client) } == ["10.77.1.2", "10.77.1.2", "-"])
    #expect(events.map { $0.text(.code) } == ["wrong-port", "dns-over-tls", "enforcement-degraded"])
    #expect(try lines(scratch.log, LogFilter(name: "api.*")).count == 1)
    #expect(try lines(scratch.log, LogFilter(name: "198.51.100.*")).count == 2)
    #expect(try lines(scratch.log, LogFilter(server: "s1", decision: "error")).count == 1)
    var table = LogTable(timeZone: .gmt)
    let heading = table.heading()
    let row = try #require(table.line(events[0]).split(separator: "\n").last.map(String.init))
    for (title, value) in [("CODE", "wrong-port"), ("TYPE/PORT", "22/tcp"), ("DESTINATION", "api.example.com")] {
      let column = heading.range(of: title).map { heading.distance(from: heading.startIndex, to: $0.lowerBound) }
      #expect(row.range(of: value).map { row.distance(from: row.startIndex, to: $0.lowerBound) } == column)
    }
    #expect(table.line(events[2]).contains("  -  "))
  }

  @Test(
    "a code that an earlier version spelled otherwise is shown as it is spelled now, and one of a later version as it is"
  )
  func spellings() throws {
    func line(_ code: String) throws -> LogLine {
      let text = #"{"ts":"2026-11-20T09:14:22.481Z","server":"*","decision":"error","code":"\#(code)","count":1}"#
      return try #require(LogLine(Array(text.utf8)[...]))
    }
    var table = LogTable(timeZone: .gmt)
    for (written, code, shown) in [
      ("enforcement_degraded", AuditCode.enforcementDegraded, "enforcement-degraded"),
      ("enforcement_restored", .enforcementRestored, "enforcement-restored"),
      ("enforcement-restored", .enforcementRestored, "enforcement-restored"), ("not-yet", nil, "not-yet"),
    ] as [(String, AuditCode?, String)] {
      let line = try line(written)
      #expect(line.code == code && line.codeText == shown)
      #expect(table.line(line).contains(" \(shown) "))
      #expect(
        String(decoding: line.octets, as: UTF8.self).contains("\"\(written)\""), "--json shows it as it was written")
    }
  }

  @Test("every member that log looks for is a key of the event")
  func members() {
    let keys =
      AuditMembers.Text.allCases.map(\.rawValue) + AuditMembers.Number.allCases.map(\.rawValue)
      + AuditMembers.List.allCases.map(\.rawValue) + AuditEvent.fixedKeys
    for member in LogLine.Member.allCases { #expect(keys.contains(member.key)) }
  }

  @Test("a string of null is no null, and the transport stands in where no protocol is told")
  func nulls() throws {
    func line(_ rest: String) throws -> LogLine {
      let text = #"{"ts":"2026-11-20T09:14:22.481Z","decision":"block",\#(rest)}"#
      return try #require(LogLine(Array(text.utf8)[...]))
    }
    #expect(try line(#""type":"null","destination":"null""#).typeOrPort == "null")
    #expect(try line(#""type":"null","destination":"null""#).text(.destination) == "null")
    #expect(try line(#""type":null,"destination":null"#)[.destination] == nil)
    #expect(try line(#""transport":"tcp","type":null"#).typeOrPort == "tcp")
    #expect(try line(#""transport":"udp","type":null,"port":53"#).typeOrPort == "53/udp")
    #expect(try line(#""transport":"udp","type":"A","port":53"#).typeOrPort == "A")
  }
}
