import DNSWire
import FirewallModel
import GateModel
import GrantLedger
import IPNetwork
import LinuxIO
import Testing

@testable import Serving

@Suite("Serve's end of the gate")
struct GateLinkTests {
  /// The other end, as a gate has it.
  private final class Gate {
    let reactor: Reactor
    let link: GateLink
    private var ends: DescriptorPair
    private var buffer = [UInt8](repeating: 0, count: GateMessage.maximumOctets)

    init() throws {
      reactor = try Reactor()
      ends = try DescriptorPair.sockets(ofMessages: true)
      link = try GateLink(reactor: reactor, socket: ends.takeFirst()) { _ in }
    }

    func say(_ message: GateMessage) {
      _ = MessageSocket.send(message.encoded(), ends.second, waiting: false)
      for _ in 0..<3 { reactor.turn() }
    }

    func heard() throws -> [GateMessage] {
      var messages: [GateMessage] = []
      while case .octets(let octets) = MessageSocket.receive(ends.second, into: &buffer) {
        messages.append(try GateMessage(decoding: octets))
      }
      return messages
    }

    func end() {
      ends.closeSecond()
      for _ in 0..<3 { reactor.turn() }
    }
  }

  private func holdings(_ count: Int) throws -> [GateHolding] {
    let address = try #require(IPAddress("192.0.2.1"))
    return try (0..<count).map { index in
      GateHolding(
        element: GrantElement(server: 0, address: address, transport: 6, port: 443),
        name: try Name(hostname: "n\(index).example.com"), until: 5, isChecked: true)
    }
  }

  private var later: MonotonicTime { MonotonicTime.now().adding(milliseconds: 60_000) }

  @Test("what was resolved is known once every part of it was received, and not before")
  func receipt() throws {
    let gate = try Gate()
    var outcome: Bool?
    gate.link.open(try holdings(GateMessage.maximumHoldings + 1), deadline: later) { outcome = $0 }
    let requests = try gate.heard().compactMap { message -> UInt32? in
      if case .open(let request, _) = message { request } else { nil }
    }
    #expect(requests.count == 2 && Set(requests).count == 1)
    gate.say(.received(request: requests[0]))
    #expect(outcome == nil)
    gate.say(.received(request: requests[0]))
    #expect(outcome == true)
  }

  @Test("a gate that is started again is told once more what it has not received")
  func again() throws {
    let gate = try Gate()
    var outcome: Bool?
    gate.link.open(try holdings(1), deadline: later) { outcome = $0 }
    let first = try gate.heard()
    gate.say(.hello(process: 7))
    #expect(try gate.heard() == first && outcome == nil)
  }

  @Test("that all is told is told the gate that greeted last, by its number")
  func readiness() throws {
    let gate = try Gate()
    for process: UInt32 in [7, 8] {
      gate.say(.hello(process: process))
      gate.link.ready()
      #expect(try gate.heard() == [.ready(process: process)])
    }
  }

  @Test("without a receipt by the deadline, or without a gate, nothing is known")
  func failures() throws {
    let gate = try Gate()
    var outcomes: [Bool] = []
    gate.link.open(try holdings(1), deadline: MonotonicTime.now()) { outcomes.append($0) }
    for _ in 0..<3 { gate.reactor.turn() }
    #expect(outcomes == [false])
    gate.link.open(try holdings(1), deadline: later) { outcomes.append($0) }
    gate.end()
    #expect(outcomes == [false, false] && !gate.link.isOpen)
    gate.link.open(try holdings(1), deadline: later) { outcomes.append($0) }
    for _ in 0..<3 { gate.reactor.turn() }
    #expect(outcomes == [false, false, false])
  }

  @Test("how many connections were cut is known once the gate has told of every part, and none by one that is gone")
  func cuts() throws {
    let gate = try Gate()
    var counts: [Int] = []
    gate.link.cut([]) { counts.append($0) }
    gate.link.cut(try holdings(GateMessage.maximumHoldings + 1)) { counts.append($0) }
    let requests = try gate.heard().compactMap { message -> UInt32? in
      if case .close(let request, true, _) = message { request } else { nil }
    }
    try #require(requests.count == 2 && Set(requests).count == 1)
    gate.say(.closed(request: requests[0], connections: 2))
    #expect(counts == [0])
    gate.say(.closed(request: requests[0], connections: 3))
    gate.say(.closed(request: requests[0], connections: 9))
    #expect(counts == [0, 5])
    gate.link.cut(try holdings(1)) { counts.append($0) }
    gate.say(.hello(process: 8))
    #expect(counts == [0, 5, 0], "the connections of the process before went with it")
    gate.end()
    gate.link.cut(try holdings(1)) { counts.append($0) }
    #expect(counts == [0, 5, 0, 0])
  }

  @Test("the names by which connections pass are known once the last part is there, or with the gate's end")
  func review() throws {
    let gate = try Gate()
    let element = GrantElement(server: 0, address: try #require(IPAddress("192.0.2.1")), transport: 6, port: 443)
    let holder = GateHolder(element: element, name: try Name(hostname: "api.example.com"))
    var found: [[GateHolder]] = []
    gate.link.review { found.append($0) }
    guard case .review(let request) = try gate.heard().first else { return #expect(Bool(false), "it was not asked") }
    gate.say(.passing(request: request, isLast: false, [holder]))
    #expect(found.isEmpty)
    gate.say(.passing(request: request, isLast: true, [holder]))
    #expect(found == [[holder, holder]])
    gate.link.review { found.append($0) }
    gate.end()
    gate.link.review { found.append($0) }
    #expect(found == [[holder, holder], [], []])
  }
}
