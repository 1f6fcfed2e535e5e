import EgressPolicy
import GateModel
import GrantLedger
import IPNetwork
import LinuxIO
import TestSupport
import Testing

@testable import Gate

@Suite("Connections that go through an inspector")
struct GateInspectionTests {
  private static let name = "api.example.com"
  private static let hello = Hello(name).records()
  private static let answer = Hello.records(Hello.answer([UInt8](repeating: 5, count: 32)))
  private static let accepted = Array("HTTP/1.1 200 Connection established\r\n\r\n".utf8)

  /// A gate that is told to send what says a name through an inspector, which listens.
  private func played(knows: Bool = true) throws -> (PlayedGate, PlayedInspector) {
    let gate = try PlayedGate()
    let inspector = try PlayedInspector()
    gate.order = { inspector.order("connection-\($0)") }
    try gate.open(Self.name, isInspected: knows)
    gate.ready()
    return (gate, inspector)
  }

  /// A client that has said its name, and what the inspector has of it.
  private func begin(_ gate: PlayedGate, _ inspector: PlayedInspector) throws -> (client: Plug, proxy: Plug) {
    let client = try gate.client()
    client.send(Self.hello)
    gate.settle()
    return (client, try #require(inspector.next()))
  }

  @Test(
    "its inspector is told whose it is, hears the hello once it has said yes, and its address is never connected to",
    arguments: [1, 1_000])
  func passes(_ size: Int) throws {
    let (gate, inspector) = try played()
    let (client, proxy) = try begin(gate, inspector)
    proxy.look()
    let head = String(decoding: proxy.received, as: UTF8.self)
    let target = "127.0.0.1:\(gate.element.port)"
    #expect(head.hasPrefix("CONNECT \(target) HTTP/1.1\r\nHost: \(target)\r\nSluice-Name: \(Self.name)\r\n"))
    #expect(head.hasSuffix("Sluice-Connection: connection-1\r\n\r\n"), "and nothing of the hello before the answer")
    for start in stride(from: 0, to: Self.accepted.count, by: size) {
      proxy.send(Array(Self.accepted[start..<min(start + size, Self.accepted.count)]))
      gate.settle()
    }
    proxy.look()
    #expect(Array(proxy.received.dropFirst(head.utf8.count)) == Self.hello)
    #expect(gate.told == [.inspected(connection: 1)])
    proxy.send(Self.answer)
    gate.settle()
    client.send([1, 2, 3])
    gate.settle()
    #expect(client.look() == .open && client.received == Self.answer)
    #expect(proxy.look() == .open && Array(proxy.received.suffix(3)) == [1, 2, 3])
    #expect(gate.peers.isEmpty)
    client.cut()
    gate.settle()
    #expect(proxy.look() == .reset && gate.told == [.inspected(connection: 1), .ended(connection: 1)])
  }

  @Test(
    "one that says no, or anything else, has the client cut, and its address hears nothing",
    arguments: [
      ("HTTP/1.1 403 Forbidden\r\n\r\n", .inspectorRefused, 403), ("SSH-2.0-x\r\n", .inspectorGarbled, 0),
      ("HTTP/1.1 200 OK\r\n\r\nmore", .inspectorGarbled, 0),
      ("HTTP/1.1 200 OK\r\nX: " + String(repeating: "y", count: 5_000), .inspectorGarbled, 0),
    ] as [(String, GateVerdict, UInt16)])
  func refusals(_ said: String, _ verdict: GateVerdict, _ status: UInt16) throws {
    let (gate, inspector) = try played()
    let (client, proxy) = try begin(gate, inspector)
    proxy.send(Array(said.utf8))
    gate.settle()
    #expect(client.look() == .reset && proxy.look() == .reset && gate.peers.isEmpty)
    #expect(gate.judged.map(\.verdict) == [.verified, verdict] && gate.judged.last?.status == status)
    #expect(gate.judged.last?.said == Self.name && gate.told == [.ended(connection: 1)])
  }

  @Test("one that is not there, that ends, or that says nothing for a second: cut, and never passed by")
  func faults() throws {
    let (gate, inspector) = try played()
    let (first, ends) = try begin(gate, inspector)
    ends.cut()
    gate.settle()
    #expect(first.look() == .reset && gate.judged.last?.verdict == .inspectorGone)
    let (second, silent) = try begin(gate, inspector)
    gate.pass(milliseconds: 900)
    #expect(second.look() == .open)
    gate.pass(milliseconds: 200)
    #expect(second.look() == .reset && silent.look() == .reset && gate.judged.last?.verdict == .inspectorSilent)
    // Half an answer is none.
    let (third, slow) = try begin(gate, inspector)
    slow.send(Array("HTTP/1.1 200 OK\r\n".utf8))
    gate.pass(milliseconds: 1_100)
    #expect(third.look() == .reset && gate.judged.last?.verdict == .inspectorSilent)
    inspector.close()
    let last = try gate.client()
    last.send(Self.hello)
    gate.settle()
    #expect(last.look() == .reset && gate.judged.last?.verdict == .inspectorGone && gate.peers.isEmpty)
  }

  @Test("what serve says counts where the gate knew otherwise: a policy changed meanwhile")
  func changes() throws {
    // Thought to go straight: what was begun towards its address is given up, and nothing was said there.
    let (gate, inspector) = try played(knows: false)
    let (client, proxy) = try begin(gate, inspector)
    proxy.send(Self.accepted)
    gate.settle()
    proxy.look()
    #expect(proxy.received.suffix(Self.hello.count) == Self.hello[...] && client.look() == .open)
    #expect(gate.peers.allSatisfy { $0.look() != .open && $0.received.isEmpty })
    // Thought to go through one.
    let (straight, none) = try played()
    straight.order = nil
    let direct = try straight.client()
    direct.send(Self.hello)
    straight.settle()
    let peer = try #require(straight.peers.first)
    #expect(peer.look() == .open && peer.received == Self.hello && none.next() == nil)
  }

  @Test(
    "two clients have a connection to the inspector each, with fields of their own, and only one is cut by its number")
  func apart() throws {
    let (gate, inspector) = try played()
    try gate.open("other.example.com", isInspected: true)
    let (first, one) = try begin(gate, inspector)
    let second = try gate.client()
    second.send(Hello("other.example.com").records())
    gate.settle()
    let two = try #require(inspector.next())
    two.send(Self.accepted)
    one.send(Self.accepted)
    gate.settle()
    one.look()
    two.look()
    let (heard, other) = (String(decoding: one.received, as: UTF8.self), String(decoding: two.received, as: UTF8.self))
    #expect(heard.contains("Sluice-Name: api.example.com\r\n") && heard.contains("Sluice-Connection: connection-1\r\n"))
    #expect(other.contains("Sluice-Name: other.example.com\r\n") && other.contains("connection-2\r\n"))
    #expect(one.received.suffix(Self.hello.count) == Self.hello[...])
    gate.tell(.cut(connection: 1))
    #expect(first.look() == .reset && one.look() == .reset && second.look() == .open && two.look() == .open)
    gate.tell(.cut(connection: 99))
    #expect(second.look() == .open)
  }

  @Test("a record that does not stand sends nothing to an inspector (P6), and a client that left is told as ended")
  func records() throws {
    let (gate, inspector) = try played()
    gate.order = nil
    gate.records = false
    let client = try gate.client()
    client.send(Self.hello)
    gate.settle()
    #expect(client.look() == .reset && inspector.next() == nil && gate.peers.isEmpty)
    gate.tell(.inspect(connection: 7, inspector.order("gone")))
    #expect(gate.told == [.ended(connection: 7)] && inspector.next() == nil)
  }
}

/// A proxy of this host, whose answers are a test's.
final class PlayedInspector {
  private var listener: FileDescriptor?
  private var number: Int32?
  private let inspector: Inspector

  init() throws {
    let socket = try Sockets.listenTCP(SocketAddress(isV6: false, high: 0, low: 0x7F00_0001, port: 0))
    inspector = Inspector(address: IPAddress(v4: 0x7F00_0001), port: Plug.port(of: socket.raw))
    try PassingSockets.listen(socket.raw, backlog: 8)
    number = socket.raw
    listener = consume socket
  }

  func order(_ id: String) -> InspectionOrder {
    InspectionOrder(inspector: inspector, id: id, server: "github-mcp", rule: "policy.yaml:3")
  }

  /// The next connection that waits.
  func next() -> Plug? { number.flatMap { Plug(accepting: $0) } }

  /// Nothing listens any more.
  func close() {
    listener = nil
    number = nil
  }
}
