import DNSWire
import TestSupport
import Testing

@Suite("Octets")
struct OctetsTests {
  @Test("two runs are equal if each octet is, wherever they differ and however long they are", arguments: 0...40)
  func equality(_ count: Int) {
    var random = SeededRandom(seed: UInt64(count))
    let octets = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    #expect(equal(octets, octets))
    for index in octets.indices {
      var other = octets
      other[index] ^= 1 << UInt8(index % 8)
      #expect(!equal(octets, other))
    }
    #expect(!equal(octets, octets + [0]))
    #expect(!equal(octets + [0], octets))
  }

  @Test("a part of a run is equal to the same octets elsewhere", arguments: 0...9)
  func parts(_ start: Int) {
    let octets = (0..<32).map { UInt8($0) }
    let part = Array(octets[start..<(start + 20)])
    let same = octets.span.extracting(start..<(start + 20)).equals(part.span)
    #expect(same)
    let shifted = octets.span.extracting((start + 1)..<(start + 21)).equals(part.span)
    #expect(!shifted)
  }

  private func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool { left.span.equals(right.span) }
}
