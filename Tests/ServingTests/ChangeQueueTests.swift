import Control
import EgressPolicy
import FirewallModel
import Testing

@testable import Serving

@Suite("Changes that wait")
struct ChangeQueueTests {
  private typealias Change = PolicyChanges.Change

  private static func kinds(_ queue: inout ChangeQueue) -> [String] {
    var kinds: [String] = []
    while let change = queue.next() {
      switch change.kind {
      case .files: kinds.append("files \(change.callers) \(change.peer.map { "\($0.pid)" } ?? "")")
      case .time: kinds.append("time")
      case .remains: kinds.append("remains")
      case .sets(let sets): kinds.append("sets \(sets.map(\.rawValue))")
      case .withdraw(let ids): kinds.append("withdraw \(ids.sorted())")
      case .permit: kinds.append("permit")
      }
    }
    return kinds
  }

  @Test("a reload that waits serves all who ask for one, and what waits already is not done twice")
  func merged() {
    var queue = ChangeQueue(sets: nil)
    let peer = ControlPeer(pid: 7, uid: 0, gid: 0)
    #expect(queue.add(Change(kind: .files, callers: [1])) == true && queue.add(Change(kind: .time)) == true)
    #expect(
      queue.add(Change(kind: .files, callers: [2], peer: peer)) == false && queue.add(Change(kind: .time)) == false)
    #expect(queue.add(Change(kind: .remains)) == true && queue.add(Change(kind: .remains)) == false)
    #expect(
      queue.add(Change(kind: .withdraw([3]))) == true && queue.add(Change(kind: .withdraw([3]))) == true,
      "each has its callers")
    #expect(Self.kinds(&queue) == ["files [1, 2] 7", "time", "remains", "withdraw [3]", "withdraw [3]"])
    // One that began may have read what was there before.
    #expect(
      queue.add(Change(kind: .files)) == true && queue.add(Change(kind: .time)) == true
        && queue.add(Change(kind: .remains)) == true)
    #expect(queue.next()?.isPermit == false && queue.permitCount == 0)
  }

  @Test("sets that are as they were told last change nothing, whatever became of that change")
  func sets() {
    var queue = ChangeQueue(sets: [.v4])
    #expect(queue.add(Change(kind: .sets([.v4]))) == false)
    #expect(queue.add(Change(kind: .sets([.v6]))) == true && queue.add(Change(kind: .sets([.v6]))) == false)
    #expect(queue.add(Change(kind: .sets([.v4]))) == true)
    #expect(Self.kinds(&queue) == ["sets [2]", "sets [1]"])
  }
}
