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
}
