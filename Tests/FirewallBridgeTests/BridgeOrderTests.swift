import Testing

@testable import FirewallBridge

@Suite("The order in which the bridge acknowledges")
struct BridgeOrderTests {
  private final class Order {
    private var order = BridgeOrder()

    init(_ sent: BridgeOrder.Work...) { for work in sent { order.send(work) } }

    var count: Int { order.count }
    func send(_ work: BridgeOrder.Work, mayBeLate: Bool = false) { order.send(work, mayBeLate: mayBeLate) }
    func restarted() { order.restarted() }
    func acknowledged(_ work: BridgeOrder.Work) -> Bool { order.acknowledged(work) }
  }

  @Test("what is acknowledged as it was asked is in order, and leaves nothing behind")
  func inOrder() {
    let order = Order(.request(1), .batch(1), .request(2))
    #expect(order.acknowledged(.request(1)))
    #expect(order.acknowledged(.batch(1)))
    #expect(order.acknowledged(.request(2)))
    #expect(order.count == 0)
  }

  @Test("what comes before its turn is out of order, and the rest is expected as before")
  func overtaken() {
    let order = Order(.batch(1), .request(1), .request(2))
    #expect(!order.acknowledged(.request(1)))
    #expect(order.acknowledged(.batch(1)))
    #expect(order.acknowledged(.request(2)))
  }

  @Test("what the bridge was not asked for, or what was acknowledged already, is out of order")
  func unasked() {
    let order = Order(.batch(1))
    #expect(!order.acknowledged(.batch(2)))
    #expect(!order.acknowledged(.request(1)))
    #expect(order.acknowledged(.batch(1)))
    #expect(!order.acknowledged(.batch(1)))
  }

  @Test(
    "a worker that is gone may have taken along what it was asked, and what its successor was asked keeps its order")
  func lost() {
    let order = Order(.batch(1), .request(1))
    order.restarted()
    order.send(.request(1))
    order.send(.batch(2))
    order.send(.request(2))
    #expect(order.acknowledged(.request(1)))
    #expect(!order.acknowledged(.request(2)))
    #expect(order.acknowledged(.batch(2)))
  }

  @Test("what takes its own time may be overtaken, and overtakes nothing")
  func late() {
    let order = Order()
    order.send(.request(1), mayBeLate: true)
    order.send(.batch(1))
    order.send(.request(2), mayBeLate: true)
    #expect(!order.acknowledged(.request(2)))
    #expect(order.acknowledged(.batch(1)))
    #expect(order.acknowledged(.request(1)))
    #expect(order.count == 0)
  }

  @Test("what was asked of several workers one after the other is done when one of them says so")
  func again() {
    let order = Order(.request(1))
    for _ in 0..<3 {
      order.restarted()
      order.send(.request(1))
    }
    order.send(.batch(1))
    #expect(order.acknowledged(.request(1)))
    #expect(order.acknowledged(.batch(1)))
    #expect(order.count == 0)
  }

  @Test("a successor that finds what its predecessor was asked acknowledges it twice, in order")
  func found() {
    let order = Order(.batch(1), .request(1))
    order.restarted()
    order.send(.request(1))
    order.send(.batch(2))
    #expect(order.acknowledged(.batch(1)))
    #expect(order.acknowledged(.request(1)))
    #expect(order.acknowledged(.request(1)))
    #expect(order.acknowledged(.batch(2)))
    #expect(order.count == 0)
  }

  @Test("what takes its own time and is found by a successor may be done after what a predecessor was asked later")
  func lateAndFound() {
    let order = Order()
    order.send(.request(1), mayBeLate: true)
    order.send(.request(2))
    order.send(.batch(1))
    order.restarted()
    order.send(.request(1), mayBeLate: true)
    order.send(.request(2))
    order.send(.batch(2))
    // All of it was still there: the second request is done first, the first one when its turn is long over.
    #expect(order.acknowledged(.request(2)))
    #expect(order.acknowledged(.request(1)))
    #expect(order.acknowledged(.batch(1)))
    #expect(order.acknowledged(.request(2)))
    #expect(order.acknowledged(.batch(2)))
    #expect(!order.acknowledged(.batch(3)))
    #expect(!order.acknowledged(.batch(2)))
  }
}
