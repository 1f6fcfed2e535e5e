import DNSWire
import Foundation
import IPNetwork
import TestSupport

@testable import AuditLog

func makeRing(_ capacity: Int = 4096) -> (AuditRing, HeapMemory) {
  let memory = HeapMemory(AuditRing.overhead + capacity)
  guard let ring = AuditRing(memory.region) else { fatalError("no ring of \(capacity)") }
  return (ring, memory)
}

func windows(_ capacity: Int = 1 << 20) -> HeapMemory { HeapMemory(Coalescer.octets(windows: capacity)) }

/// A wire name of labels given as octets.
func wire(_ labels: [UInt8]...) -> [UInt8] {
  labels.flatMap { [UInt8($0.count)] + $0 } + [0]
}

func wire(_ text: String) -> [UInt8] {
  text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
}

func header(
  _ code: AuditCode = .notListed, client: UInt32 = 0x0A4D_0102, type: RRType = .A,
  wall: UInt64 = 1_763_630_062_481_000_000
) -> AuditRecordHeader {
  AuditRecordHeader(
    code: code, transport: .udp, type: type, responseCode: .NXDOMAIN, payloadSize: 45, client: IPAddress(v4: client),
    clientPort: 40188, wallClock: wall)
}

func record(
  _ header: AuditRecordHeader = header(), server: [UInt8] = Array("github-mcp".utf8),
  name: [UInt8] = wire("evil.example.com"), members: [UInt8] = []
) -> AuditRecord {
  var record = AuditRecord()
  record.header = header
  record.octets = server + name + members
  record.serverEnd = server.count
  record.nameEnd = server.count + name.count
  return record
}

extension AuditRing {
  func push(_ record: AuditRecord) -> PushResult {
    let octets = record.octets.span
    return push(
      record.header, server: octets.extracting(record.server), name: octets.extracting(record.name),
      extra: octets.extracting(record.members))
  }
}

func makeCoalescer(_ memory: HeapMemory, run: UInt64 = 1, bounds: LogBounds? = nil) -> Coalescer {
  guard let coalescer = Coalescer(memory.region, run: run, bounds: bounds) else { fatalError("no coalescer") }
  return coalescer
}

/// The lines of an output, each of which must be one JSON object.
func events(_ output: [UInt8]) throws -> [[String: Any]] {
  guard !output.isEmpty else { return [] }
  struct Torn: Error {}
  guard output.last == UInt8(ascii: "\n") else { throw Torn() }
  return try output.dropLast().split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { line in
    guard let object = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any] else { throw Torn() }
    return object
  }
}

/// How many records the events tell of: those of the log itself tell of none.
func sum(_ events: [[String: Any]]) -> Int {
  events.filter { !["log-quota", "noise"].contains($0["code"] as? String) }.reduce(0) {
    $0 + ($1["count"] as? Int ?? -1_000_000)
  }
}

func keys(_ line: [UInt8]) -> [String] {
  // Keys in order: a string right after `{` or `,` and before `:` at depth 1.
  let text = String(decoding: line, as: UTF8.self)
  return text.matches(of: /[{,]"([a-z_]+)":/).map { String($0.1) }
}

let second: UInt64 = 1_000_000_000
