import ControlAPI
import Foundation
import Testing

/// What client and server of the control API write and read.
@Suite("The control API's JSON")
struct ControlAPITests {
  @Test("a value is read as it was written, with keys in snake case and in order")
  func roundTrip() throws {
    let query = ControlAPI.Query(
      server: "github-mcp", client: "10.77.1.2", name: "api.github.com.", type: "A", verdict: "allowed",
      from: "cache", rcode: "NOERROR", milliseconds: 0.25)
    let octets = ControlAPI.encode(query)
    #expect(octets.last == UInt8(ascii: "\n"))
    let text = ControlAPI.line(octets)
    #expect(text.hasPrefix(#"{"client":"10.77.1.2","from":"cache","grants":[],"milliseconds":0.25,"#))
    let read = try ControlAPI.decode(ControlAPI.Query.self, octets)
    #expect(ControlAPI.encode(read) == octets)
    #expect(read.server == "github-mcp" && read.cache == nil)
  }

  @Test(
    "what lacks a key, or is no JSON, is an error and no value", arguments: ["", "{}", "[1]", #"{"findings":["a"]}"#])
  func refused(text: String) {
    #expect(throws: DecodingError.self) { try ControlAPI.decode(ControlAPI.Failure.self, Array(text.utf8)) }
  }

  @Test("a grant of a server that knows no check is read, and one of a server that knows more than we do")
  func otherVersions() throws {
    let former =
      #"{"server":"a","address":"192.0.2.1","protocol":"tcp","port":443,"name":"b.example","opened":"","remaining_ms":5"#
    let read = try ControlAPI.decode(ControlAPI.Grant.self, Array((former + "}").utf8))
    #expect(read.verify == nil && read.shared == nil && read.name == "b.example")
    let later = former + #","verify":"sni","shared":["c.example"],"inspected":true}"#
    let newer = try ControlAPI.decode(ControlAPI.Grant.self, Array(later.utf8))
    #expect(newer.verify == "sni" && newer.shared == ["c.example"])
    // What we write, an earlier client reads: it needs the key.
    #expect(
      ControlAPI.line(
        ControlAPI.encode(
          ControlAPI.Grant(
            server: "a", address: "192.0.2.1", protocol: "tcp", name: "b", opened: "", remainingMs: 1))
      ).contains(#""verify":"address""#))
  }

  @Test("every call has a path of its own below the version")
  func paths() {
    let calls: [ControlAPI.Call] = [.status, .servers, .cache, .grants, .reload, .permits, .query, .explanation]
    #expect(Set(calls.map(\.path)).count == calls.count)
    #expect(calls.allSatisfy { $0.path == "/v1/\($0.rawValue)" })
  }

  @Test("times are RFC 3339 with milliseconds and read back to the second; nothing else is a time")
  func times() {
    let text = ControlAPI.time(nanoseconds: 1_763_630_062_250_000_000)
    #expect(text == "2025-11-20T09:14:22.250Z")
    #expect(ControlAPI.seconds(text) == 1_763_630_062)
    #expect(ControlAPI.time(seconds: 1_763_630_062) == "2025-11-20T09:14:22.000Z")
    // Later than nanoseconds of 64 bits reach.
    #expect(ControlAPI.time(seconds: 253_402_300_799) == "9999-12-31T23:59:59.000Z")
    for other in ["", "now", "2025-11-20", "1763630062"] { #expect(ControlAPI.seconds(other) == nil) }
  }

  @Test("a transport's name and number belong together, for all numbers")
  func transports() {
    for number in UInt8.min...UInt8.max { #expect(TransportName.number(TransportName.text(number)) == number) }
    for other in ["", "TCP", "sctp", "256", "-1"] { #expect(TransportName.number(other) == nil) }
  }

  @Test("what was lost is counted by what it was")
  func lost() {
    var lost = LostCounts()
    lost.countUnrecorded(isConnection: true)
    lost.countUnrecorded(isConnection: false)
    lost.countUnrecorded(isConnection: false)
    #expect(lost.kinds.map(\.count) == [1, 2, 0, 0])
  }
}
