import BridgeProcesses
import FirewallModel
import Glibc
import GrantLedger
import LinuxIO
import Testing

@testable import FirewallBridge

/// The socket of a real bridge, in the namespace of this thread, without serve's end: for what serve would not send.
final class BridgeWire {
  private let pid: Int32
  private let socket: FileDescriptor
  private var buffer = [UInt8](repeating: 0, count: BridgeMessage.maximumOctets)
  private(set) var told: [BridgeMessage] = []

  init(_ plan: FirewallPlan, executable: String) throws {
    let child = try BridgeChild.spawn(plan, executable: executable)
    pid = child.pid
    socket = child.takeSocket()
    try receive("a greeting") { $0.contains { if case .hello = $0 { true } else { false } } }
  }

  func receive(_ what: String, until condition: ([BridgeMessage]) -> Bool) throws {
    try Session.poll(what) {
      while case .octets(let octets) = MessageSocket.receive(socket.raw, into: &buffer) {
        told.append(try BridgeMessage(decoding: octets))
      }
      return condition(told)
    }
  }

  /// What a request is refused for; nil where it is done.
  func ask(_ request: UInt32, _ message: BridgeMessage) throws -> BridgeRefusal.Reason? {
    var refusal: BridgeRefusal?
    #expect(MessageSocket.send(message.encoded(), socket.raw, waiting: true) == .sent)
    try receive("an answer to \(message)") { told in
      told.contains {
        switch $0 {
        case .done(request, let reason, _, _):
          refusal = reason
          return true
        case .page(request, true, _): return true
        default: return false
        }
      }
    }
    return refusal?.reason
  }

  /// Opens an element.
  func open(_ element: GrantElement, _ plan: FirewallPlan) throws {
    let grant = UnitGrant(unit: 1, commit: GrantCommit(element: element, lifetimeMilliseconds: 60_000))
    let message = BridgeMessage.grants(batch: 1, plan: plan.fingerprint, grants: [grant])
    #expect(MessageSocket.send(message.encoded(), socket.raw, waiting: true) == .sent)
    try receive("an outcome") { $0.contains(.outcome(batch: 1, refused: [])) }
  }

  /// Closes our end and waits for the supervisor's.
  func end() throws {
    shutdown(socket.raw, Int32(SHUT_RDWR))
    try Session.poll("the bridge ends") {
      var state: Int32 = 0
      return unsafe waitpid(pid, &state, WNOHANG) == pid
    }
  }
}
