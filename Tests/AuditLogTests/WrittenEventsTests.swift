import DNSWire
import Foundation
import IPNetwork
import Testing

@testable import AuditLog

/// Events as they were written before codes and members had types: what is in a log stays what it is.
@Suite struct WrittenEventsTests {
  /// The members that events of a code have, in the octets that they always had.
  static let members: [UInt8: [String]] = [
    5: [
      #","upstream":"192.0.2.53:53","addresses":["169.254.169.254"],"refused_as":"metadata""#,
      #","upstream":"[2001:db8::53]:853","addresses":["10.0.0.1"]"#,
    ],
    6: [#","upstream":"192.0.2.53:53""#],
    11: [
      #","rule":"/etc/sluice/a.yaml:3","chain":["b.example.net"],"addresses":["192.0.2.1","2001:db8::1"],"#
        + #""ports":["443/tcp","443/udp"],"ttl":60,"lifetime":90,"upstream":"192.0.2.53:53""#,
      #","rule":"a\"b.yaml:3","chain":["a.example","z.example"],"chain_length":7,"addresses":[],"ports":["any"],"#
        + #""ttl":0,"lifetime":0,"upstream":"local zone""#,
    ],
    12: [
      #","rule":"a.yaml:3","chain":[],"addresses":["192.0.2.1"],"ports":["443/tcp"],"ttl":60,"lifetime":0,"#
        + #""upstream":"192.0.2.53:53""#
    ],
    15: [
      #","policy":"0a1b2c3d","former":"00000000","servers":3,"servers_changed":1,"addresses_closed":2,"flows_cut":0,"#
        + #""networks_held":["10.77.9.0/24"],"uid":0,"pid":4711,"cause":"files","names_added":1,"names_removed":2"#,
      #","policy":"0a1b2c3d","former":"00000000","servers":3,"servers_changed":1,"addresses_closed":2,"flows_cut":0,"#
        + #""networks_open":["10.77.9.0/24","fd00::/64"],"cause":"time""#,
    ],
    16: [#","policy":"00000000","errors":4,"uid":1000,"pid":2,"cause":"files""#],
    17: [#","address":"192.0.2.1","protocol":"tcp","port":443"#],
    18: [#","address":"2001:db8::1","protocol":"udp","port":53"#],
    19: [
      #","address":"192.0.2.1","protocol":"tcp","port":443,"opened":"2025-11-20T09:14:22.481Z","#
        + #""closed":"2025-11-20T09:15:22.481Z""#,
      #","address":"192.0.2.1","protocol":"icmp","opened":"2025-11-20T09:14:22.481Z","closed_by":"restart""#,
    ],
    20: [#","address":"192.0.2.1","protocol":"132""#],
    28: [#","address":"192.0.2.1","protocol":"tcp","port":443,"bytes":18446744073709551615,"packets":2,"interval":60"#],
    29: [#","cause":"elements-removed""#],
    30: [
      #","cause":"table-removed","duration_ms":1234,"disturbances":2,"counters_lost":["a","b"],"counters_lost_more":3,"#
        + #""counted_until":"2025-11-20T09:14:22.481Z""#,
      #","cause":"bridge-gone","duration_ms":0,"disturbances":1"#,
    ],
    31: [
      #","addresses":["192.0.2.1","2001:db8::1"],"address_count":2,"flows_cut":1,"policy":"00000000","uid":0,"pid":3"#,
      #","addresses":["192.0.2.1"],"address_count":1,"flows_cut":0,"policy":"00000000","cause":"address-refused""#,
    ],
    32: [#","entries":9,"addresses_closed":2,"flows_cut":1,"uid":0,"pid":4711"#],
    33: [#","names":9,"addresses_closed":2,"flows_cut":1,"uid":0,"pid":4711"#],
    34: [
      #","permit":7,"until":"2025-11-20T10:00:00Z","ports":["443/tcp"],"types":["A","AAAA"],"#
        + #""justification":"it is \"needed\"","uid":0,"pid":4711"#
    ],
    35: [
      #","permit":7,"until":"2025-11-20T10:00:00Z","ports":["any"],"types":["A","AAAA"],"justification":"needed""#
    ],
    36: [#","as":"10.77.1.2","query_type":"TYPE65","uid":0,"pid":4711"#],
    37: [
      #","address":"192.0.2.1","protocol":"tcp","port":443,"network":"10.77.9.0/24","#
        + #""remedy":"sluice firewall release 10.77.9.0/24""#
    ],
    38: [#","address":"10.77.1.2","protocol":"tcp","port":8080,"remedy":"inbound: [ 8080/tcp ]""#],
    39: [#","upstream":"192.0.2.53:53""#],
    40: [#","interface":"br-0a1b","others":["10.88.0.0/16"]"#, #","interface":"veth1","others":[]"#],
    41: [#","network":"10.77.1.0/24","interface":"eth0","cause":"default-route""#],
    42: [
      #","refused":10,"told":3,"since":"2025-11-20T09:14:22.481Z","counter_lost_since":"2025-11-20T09:14:22.481Z""#,
      #","refused":10,"told":3,"since":"2025-11-20T09:14:22.481Z""#,
    ],
    43: [
      #","address":"192.0.2.1","protocol":"tcp","port":443,"opened":"2025-11-20T09:14:22.481Z","#
        + #""closed":"2025-11-20T09:15:22.481Z","closed_by":"policy""#
    ],
    44: [#","address":"192.0.2.1","protocol":"icmpv6""#],
    48: [#","version":"1.2.3","pid":4711"#],
    49: [#","version":"1.2.3","error":"both processes of the bridge are \"gone\"""#, #","version":"1.2.3""#],
    50: [#","began":"2025-11-20T09:14:22.481Z""#],
    51: [#","fault":"not-rotated","error":"No space left on device""#, #","fault":"replaced""#],
  ]

  private static let wall: UInt64 = 1_763_630_062_481_000_000

  /// Two records of each code that is a line of its own.
  private static func records() -> [AuditRecord] {
    var records: [AuditRecord] = []
    for number in (1...51) as ClosedRange<UInt8> where ![14, 45, 46, 47].contains(number) {
      let code = AuditCode(rawValue: number)
      let own = members[number] ?? [""]
      for (index, members) in [own[0], own[own.count - 1]].enumerated() {
        let client = index == 0 ? IPAddress(v4: 0x0A4D_0102) : IPAddress(high: 0x2001_0DB8 << 32, low: 2)
        let wall = wall + UInt64(number) * second + UInt64(index)
        let header =
          if code.isQuery {
            AuditRecordHeader(
              code: code, transport: index == 0 ? .udp : number % 2 == 0 ? .tcp : .control,
              type: index == 0 ? .A : RRType(rawValue: 65280), responseCode: ResponseCode(rawValue: UInt16(number % 6)),
              payloadSize: 45, client: client, clientPort: 40_188, wallClock: wall)
          } else if code.isConnection {
            AuditRecordHeader(
              connection: code, transport: [6, 17, 1][Int(number) % 3], port: 443, payloadSize: 60, client: client,
              clientPort: 40_188, wallClock: wall)
          } else {
            AuditRecordHeader(service: code, client: index == 0 ? nil : client, wallClock: wall)
          }
        let name =
          code.isQuery
          ? index == 0 ? wire("api.example.com") : wire(Array("a\"\\.b".utf8), [0, 255], Array("example".utf8))
          : Array((index == 0 ? "api.example.com" : "").utf8)
        records.append(
          record(
            header, server: Array((index == 0 ? "github-mcp" : "").utf8), name: name, members: Array(members.utf8)))
      }
    }
    return records
  }

  /// Lines that tell of several records.
  private static func several() -> [UInt8] {
    var coalescer = makeCoalescer(windows())
    var output: [UInt8] = []
    for number in 0..<3 {
      let members = #","rule":"a.yaml:3","addresses":["192.0.2.\#(number)","192.0.2.9"],"ttl":60"#
      _ = coalescer.absorb(record(header(.granted), members: Array(members.utf8)), now: 0, into: &output)
      _ = coalescer.absorb(record(header(.special), name: wire("n\(number)")), now: 0, into: &output)
    }
    for number in 0..<25 {
      _ = coalescer.absorb(record(name: wire("n\(number).junk.com")), now: 0, into: &output)
    }
    for number in 0..<3 {
      let header = AuditRecordHeader(
        connection: .rawAddress, transport: 6, port: 443, payloadSize: 60, client: IPAddress(v4: 1),
        clientPort: UInt16(number), wallClock: wall + UInt64(number) * second)
      _ = coalescer.absorb(
        record(header, name: Array("192.0.2.1".utf8), members: Array((members[17]?[0] ?? "").utf8)), now: 0,
        into: &output)
    }
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    return output
  }

  /// Lines of a server that is over its share of the log, but for those that are as every server's.
  private static func coarse() -> [UInt8] {
    var coalescer = makeCoalescer(windows(), bounds: LogBounds(history: 1 << 20, servers: 1))
    var output: [UInt8] = []
    func take(_ record: AuditRecord) {
      while !coalescer.absorb(record, now: 1000 * second, into: &output) {
        coalescer.retireForRoom(into: &output, limit: .max)
        coalescer.commit()
      }
    }
    for number in 0..<2000 {
      take(record(name: wire("n.junk\(number).com")))
      for code in [AuditCode.egressVolume, .revoked] {
        let members =
          code == .revoked
          ? #","addresses":["192.0.2.1"],"address_count":3,"flows_cut":2,"policy":"00""#
          : #","address":"192.0.2.1","protocol":"tcp","port":443,"bytes":7,"packets":2,"interval":20"#
        take(
          record(
            AuditRecordHeader(service: code, wallClock: wall), name: Array("192.0.2.1".utf8),
            members: Array(members.utf8)))
      }
    }
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    let kept = output.split(separator: 10).filter { line in
      let text = String(decoding: line, as: UTF8.self)
      return text.contains(#""destination":"*""#)
    }
    return Array(kept.joined(separator: [10])) + [10]
  }

  /// All of them. Of a summary, `distinct` is an estimate under a seed of the process, and samples are taken at random.
  private static func lines() -> [String] {
    var encoder = EventEncoder(run: 7)
    var output: [UInt8] = []
    for record in records() { encoder.append(record, to: &output) }
    output += several() + coarse()
    return String(decoding: output, as: UTF8.self).replacing(/"distinct":\d+/, with: #""distinct":0"#)
      .replacing(/"samples":\["n\.junk[^\]]*\]/, with: #""samples":[]"#)
      .split(separator: "\n").map(String.init)
  }

  /// What was written then.
  static func former() throws -> [String] {
    let file = try #require(Bundle.module.url(forResource: "Fixtures/events", withExtension: "jsonl"))
    return try String(decoding: Data(contentsOf: file), as: UTF8.self).split(separator: "\n").map(String.init)
  }

  /// A former line as it is written now.
  static func spelledAnew(_ line: String) -> String {
    line.replacing(/"code":"enforcement_(degraded|restored)"/) { "\"code\":\"enforcement-\($0.1)\"" }
  }

  @Test("every event has the octets that it always had, but for the spelling of two codes")
  func octets() throws {
    let lines = Self.lines()
    let former = try Self.former()
    #expect(lines.count == former.count)
    for (line, former) in zip(lines, former) { #expect(line == Self.spelledAnew(former)) }
  }
}
