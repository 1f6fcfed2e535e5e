import DNSWire
import FirewallModel
import GateModel
import GrantLedger
import IPNetwork
import LinuxIO

@testable import Serving

/// The other end of the gate's socket: it knows what it is told, and has the connections that a scenario gives it.
final class ScriptedGate {
  private let ends: DescriptorPair
  private let clock: ManualClock
  private var buffer = [UInt8](repeating: 0, count: GateMessage.maximumOctets)
  private var table = GateTable()
  /// Names by which connections pass, one for each.
  private(set) var passing: [GateHolder] = []
  /// What serve said of each connection that waited for its record.
  private(set) var records: [Bool] = []
  /// Its loop stands still.
  var isSilent = false
  private var last: UInt64 = 0

  init(_ service: ResolutionService, _ clock: ManualClock) throws {
    var ends = try DescriptorPair.sockets(ofMessages: true)
    let link = try GateLink(reactor: service.reactor, socket: ends.takeFirst()) { [unowned service] in
      service.gateChanged($0)
    }
    self.ends = ends
    self.clock = clock
    service.gate = link
    say(.hello(process: 1))
  }

  func say(_ message: GateMessage) {
    _ = MessageSocket.send(message.encoded(), ends.second, waiting: false)
  }

  func stands(_ name: Name, for element: GrantElement) -> Bool { table.stands(name, for: element, now: clock.now) }

  /// A connection says a name that stands for its address.
  func pass(_ name: Name, at element: GrantElement) { passing.append(GateHolder(element: element, name: name)) }

  func judge(_ verdict: GateVerdict, _ name: Name, at element: GrantElement) {
    last += 1
    say(
      .judged(
        connection: last,
        GatedConnection(
          verdict: verdict, element: element, client: IPAddress(v4: 0x0A4D_0109), clientPort: 40_000,
          said: name.description, length: 517, time: clock.clocks.wall())))
  }

  /// Does what it is asked; whether that was anything.
  func takeTurn() -> Bool {
    guard !isSilent else { return false }
    var isBusy = false
    while case .octets(let octets) = MessageSocket.receive(ends.second, into: &buffer) {
      isBusy = true
      if let message = try? GateMessage(decoding: octets) { take(message) }
    }
    return isBusy
  }

  private func take(_ message: GateMessage) {
    switch message {
    case .open(let request, let holdings):
      for holding in holdings { table.open(holding) }
      if request != 0 { say(.received(request: request)) }
    case .close(let request, let cuts, let holdings):
      var count: UInt32 = 0
      for holding in holdings {
        table.close(holding.element, holding.name)
        guard cuts else { continue }
        let former = passing.count
        passing.removeAll { $0.element == holding.element && $0.name == holding.name }
        count += UInt32(former - passing.count)
      }
      if cuts { say(.closed(request: request, connections: count)) }
    case .review(let request): say(.passing(request: request, isLast: true, Array(Set(passing))))
    case .evict(let elements): for element in elements { table.close(element) }
    case .recorded(_, let isRecorded): records.append(isRecorded)
    case .networks, .forget, .ready, .inspect, .cut, .hello, .received, .closed, .passing, .judged, .volumes,
      .inspected, .ended:
      break
    }
  }
}
