import AuditLog
import DNSWire
import Foundation
import Glibc
import IPNetwork
import Synchronization

@testable import AuditStore

/// A directory of its own, removed with its owner.
final class Scratch: Sendable {
  let path: String

  init() {
    path = NSTemporaryDirectory() + "sluice-audit-" + UUID().uuidString
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var log: String { path + "/audit.jsonl" }
}

struct Impossible: Error {}

func openStore(_ path: String, maxSize: Int = 64 << 20, keep: Int = 10, rings: Int = 1, ringOctets: Int = 1 << 20)
  throws -> AuditStore
{
  let store = try AuditStore(
    settings: AuditStoreSettings(path: path, maxSize: maxSize, keep: keep, rings: rings, ringOctets: ringOctets))
  try store.start()
  return store
}

/// Pushes like a worker, and wakes like one; false when the ring is full.
@discardableResult
func push(
  _ store: AuditStore, _ number: Int, ring: Int = 0, client: UInt32 = 1, code: AuditCode = .granted,
  members: String = ",\"ttl\":1", server: String = "s1"
) -> Bool {
  let label = Array("n\(number)".utf8)
  let name = [UInt8(label.count)] + label + [7] + Array("example".utf8) + [3] + Array("com".utf8) + [0]
  let header = AuditRecordHeader(
    code: code, transport: .udp, type: .A, responseCode: .NOERROR, payloadSize: 40, client: IPAddress(v4: client),
    clientPort: 5353, wallClock: UInt64(Date().timeIntervalSince1970 * 1e9))
  let members = Array(members.utf8)
  let server = Array(server.utf8)
  switch store.ring(ring)?.push(header, server: server.span, name: name.span, extra: members.span) {
  case .stored: return true
  case .storedWakeConsumer:
    store.wake()
    return true
  case .full, nil: return false
  }
}

/// Every whole line of the log and its rotated files, oldest first; each must be a JSON object.
func readEvents(_ path: String) throws -> [[String: Any]] {
  var names = [path]
  while FileManager.default.fileExists(atPath: "\(path).\(names.count)") { names.append("\(path).\(names.count)") }
  return try names.reversed().flatMap { name in
    let octets = try Data(contentsOf: URL(fileURLWithPath: name))
    guard octets.isEmpty || octets.last == 10 else { throw Impossible() }
    return try octets.split(separator: 10).map { line in
      guard let event = try JSONSerialization.jsonObject(with: line) as? [String: Any] else { throw Impossible() }
      return event
    }
  }
}

/// How many records the events tell of: those of the log itself tell of none.
func sum(_ events: [[String: Any]]) -> Int {
  events.filter { !["log-quota", "noise"].contains($0["code"] as? String) }.reduce(0) {
    $0 + ($1["count"] as? Int ?? -1_000_000)
  }
}

/// Looks until it is so, for at most thirty seconds.
func eventually(_ isSo: () throws -> Bool) rethrows -> Bool {
  let deadline = Date().addingTimeInterval(30)
  while Date() < deadline {
    if try isSo() { return true }
    usleep(2000)
  }
  return try isSo()
}

func text(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
