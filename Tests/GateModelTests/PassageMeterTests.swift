import EgressPolicy
import GrantLedger
import IPNetwork
import Testing

@testable import GateModel

@Suite("what connections through the gate may send")
struct PassageMeterTests {
  private static let hour: UInt64 = 3_600_000_000_000

  private func element(_ server: UInt16 = 0, _ last: UInt32 = 1) -> GrantElement {
    GrantElement(server: server, address: IPAddress(v4: 0x2D0B_0000 | last), transport: 6, port: 443)
  }

  @Test("as much as the smallest cap of theirs has left, of the connection or of the hour")
  func room() {
    var hours = HourTotals()
    var meter = PassageMeter([ByteCap(.perConnection, 1_000), ByteCap(.perHour, 1_500)], at: element())
    #expect(meter.room(hours, now: 0)! == (1_000, .perConnection))
    #expect(meter.count(900, &hours, now: 0).isEmpty && meter.sent == 900)
    #expect(meter.room(hours, now: 0)! == (100, .perConnection))
    // Another connection to the same element has what the hour has left.
    var second = PassageMeter([ByteCap(.perConnection, 1_000), ByteCap(.perHour, 1_500)], at: element())
    #expect(second.room(hours, now: 1)! == (600, .perHour))
    #expect(second.count(600, &hours, now: 1).isEmpty)
    #expect(second.room(hours, now: Self.hour - 1)! == (0, .perHour))
    // Another element, and another cap of an hour, have their own.
    #expect(PassageMeter([ByteCap(.perHour, 1_500)], at: element(0, 2)).room(hours, now: 1)! == (1_500, .perHour))
    #expect(PassageMeter([ByteCap(.perHour, 1_600)], at: element()).room(hours, now: 1)! == (1_600, .perHour))
    #expect(PassageMeter([], at: element()).room(hours, now: 1) == nil)
    // The hour begins anew when it is over.
    #expect(second.room(hours, now: Self.hour)! == (400, .perConnection))
    hours.sweep(now: Self.hour)
    #expect(meter.count(50, &hours, now: Self.hour).isEmpty)
    #expect(second.room(hours, now: Self.hour)! == (400, .perConnection))
  }

  @Test("and are told of once, by each kind of cap that audits, when they are beyond it")
  func told() {
    var hours = HourTotals()
    let caps = [ByteCap(.perConnection, ByteBound(100, .audit)), ByteCap(.perHour, ByteBound(150, .audit))]
    var first = PassageMeter(caps, at: element())
    #expect(first.room(hours, now: 0) == nil)
    #expect(first.count(100, &hours, now: 0) == [])
    #expect(first.count(1, &hours, now: 0) == [.perConnection])
    #expect(first.count(500, &hours, now: 0) == [.perHour])
    #expect(first.count(500, &hours, now: 0) == [])
    var second = PassageMeter(caps, at: element())
    #expect(second.count(1, &hours, now: 0) == [.perHour])
    hours.forget(server: 0)
    var third = PassageMeter(caps, at: element())
    #expect(third.count(1, &hours, now: 0) == [])
  }

  @Test("of more elements than are remembered of a server, what has no place is used up, and no other server's is")
  func full() {
    var hours = HourTotals()
    let cap = ByteCap(.perHour, 1_000)
    for index in 0..<UInt32(HourTotals.maximumOfServer) {
      var meter = PassageMeter([cap], at: element(0, index))
      #expect(meter.count(1, &hours, now: 0) == [])
    }
    #expect(PassageMeter([cap], at: element(0, 0)).room(hours, now: 0)! == (999, .perHour))
    #expect(PassageMeter([cap], at: element(0, 0x7FFF)).room(hours, now: 0)! == (0, .perHour))
    #expect(PassageMeter([cap], at: element(1, 0x7FFF)).room(hours, now: 0)! == (1_000, .perHour))
    // One that is told of is kept in mind no more than that.
    let audited = ByteCap(.perHour, ByteBound(1_000, .audit))
    for index in 0..<3 {
      var meter = PassageMeter([audited], at: element(0, 0x7FF0 + UInt32(index)))
      #expect(meter.count(1, &hours, now: 0) == [.perHour] && hours.count(ofServer: 0) == HourTotals.maximumOfServer)
    }
    hours.sweep(now: Self.hour)
    #expect(PassageMeter([cap], at: element(0, 0x7FFF)).room(hours, now: Self.hour)! == (1_000, .perHour))
  }
}
