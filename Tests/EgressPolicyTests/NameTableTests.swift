import DNSWire
import Testing

@testable import EgressPolicy

@Suite("The table of names")
struct NameTableTests {
  @Test("searches begin evenly all over a part, whatever its size", arguments: [2, 100, 167])
  func homes(slots: Int) throws {
    let hash = NameHash(seed: 3)
    var part = NameTable.Part()
    part.slotCount = UInt32(slots)
    var homes = [Int](repeating: 0, count: slots)
    for index in 0..<(1000 * slots) {
      var wire = Array("\u{7}0000000\u{7}allowed\u{3}net\u{0}".utf8)
      for digit in 0..<7 { wire[1 + digit] = 48 + UInt8(index >> (3 * digit) & 7) }
      homes[NameTable.home(hash(wire.span), part)] += 1
    }
    // 1,000 each; seven standard deviations.
    #expect(homes.allSatisfy { (780...1220).contains($0) })
  }
}
