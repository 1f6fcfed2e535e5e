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

  @Test("a number for which there is no room is left out whole", arguments: 0...4)
  func room(_ capacity: Int) {
    let short = [UInt8](capacity: capacity) { out in
      let fits = out.append(bigEndian: 0x0102 as UInt16)
      #expect(fits == (capacity >= 2))
    }
    #expect(short == (capacity >= 2 ? [1, 2] : []))
    let long = [UInt8](capacity: capacity) { out in
      let fits = out.append(bigEndian: 0x0102_0304 as UInt32)
      #expect(fits == (capacity >= 4))
    }
    #expect(long == (capacity >= 4 ? [1, 2, 3, 4] : []))
  }

  private func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool { left.span.equals(right.span) }
}
