import ControlAPI
import Foundation
import Testing

@testable import sluice

/// What `sluice top` shows on terminals of different sizes.
@Suite struct TopScreenTests {
  /// As a running server answers.
  private static let status = #"""
    {"audit":{"blocked":false,"corrupt":0,"events":22,"path":"audit.jsonl","pending":0,"records":25,"recovered":0,"replaced":0,"room":1048576,"suppressed":3},"bridge":{"absent":[],"degraded":false,"displaced":[],"enclosed":["br-mcp-github"],"exposed":[],"grants":1,"held":[],"incarnation":1,"mode":"managed","others":[],"state":"up","table":"inet sluice"},"cache_entries":1,"faults":[],"in_flight":0,"listen":["10.77.2.1:53"],"lost":{"connections":0,"events":0,"evictions":0,"revocations":0},"needs_restart":[],"permits":0,"pid":19002,"policy":{"fingerprint":"5ddd2ea50125ea966ccd35359342b3a0","names":2,"servers":1,"since":"2026-11-29T12:33:39.933Z"},"queries":{"cached":3,"denied":4,"failed":0,"malformed":0,"resolved":5,"special":0,"total":12},"ready":true,"refusal_log_read":true,"since":"2026-11-29T12:33:36.305Z","upstream_exchanges":5,"upstream_wrong_answers":0,"upstreams":[{"address":"udp://192.0.2.54:53","answered":true,"by_tcp":false,"failures":0,"healthy":true,"latency_ms":1.5705559709472658,"refusals":0,"refusing":false}],"uptime":6,"version":"0.1.0","violations":{"missing":0,"refused":0,"strangers":0,"unrecorded":0}}
    """#

  private func screen(servers: Int, events: Int) throws -> TopScreen {
    let status = try ControlAPI.decode(ControlAPI.Status.self, Array(Self.status.utf8))
    let list = try ControlAPI.decode(
      ControlAPI.ServerList.self,
      Array(
        #"{"servers":[\#((0..<servers).map { #"{"server":"mcp-\#($0)","cache_entries":1,"grants":2,"queries":{"total":4,"cached":1,"resolved":1,"denied":2,"special":0,"failed":0,"malformed":0}}"# }.joined(separator: ","))]}"#
          .utf8))
    let rows = (0..<events).map {
      ["14:33:36", "mcp-0", "block", "not-listed", "A", "x\($0).evil.example.com", "10.77.2.3", "1"]
    }
    var screen = TopScreen()
    screen.take(status, list.servers, events: .init(rows: rows), at: 1)
    return screen
  }

  @Test(arguments: [24, 40, 80], [1, 3, 60])
  func `events fill what servers leave of the height, the newest last, below the names of their columns`(
    height: Int, servers: Int
  ) throws {
    let lines = try screen(servers: servers, events: 90).lines(width: 200, height: height)
    #expect(lines.count == height)
    let title = try #require(lines.firstIndex(of: "newest events"))
    #expect(lines[title + 1].contains("TIME      SERVER  DECISION  CODE"))
    #expect(lines.last?.contains("x89.evil.example.com") == true)
    #expect(height - title - 2 >= height / 4)
    #expect(title - 5 >= min(servers, height / 4))
  }

  @Test(arguments: [50, 60, 70, 80, 100, 120])
  func `on a narrow terminal columns are left out, and none is cut`(width: Int) throws {
    let lines = try screen(servers: 2, events: 5).lines(width: width, height: 24)
    let server = try #require(lines.first { $0.hasPrefix("mcp-1") })
    let event = try #require(lines.first { $0.contains("x4.evil") })
    #expect(server.hasPrefix("mcp-1   0.0        0.0"))
    #expect(event.contains("not-listed") && event.contains("x4.evil.example.com"))
    #expect(server.count <= width && event.count <= width)
    #expect(event.hasSuffix("10.77.2.3  1") == (width >= 100))
  }

  @Test func `why events cannot be read stands in their place`() throws {
    var screen = try screen(servers: 1, events: 0)
    let status = try ControlAPI.decode(ControlAPI.Status.self, Array(Self.status.utf8))
    screen.take(status, [], events: .init(fault: "audit.jsonl: Permission denied"), at: 2)
    #expect(screen.lines(width: 80, height: 24).suffix(2) == ["newest events", "audit.jsonl: Permission denied"])
  }
}
