import IPNetwork
import Testing

@testable import FirewallModel

@Suite("Reading fixed fields")
struct OctetReaderTests {
  @Test("no number of octets below nothing is read, and none beyond the end")
  func bytes() {
    for count in [-1, 3, Int.max] {
      var reader = OctetReader([1, 2])
      #expect(throws: BridgeFormatError.truncated) { try reader.bytes(count) }
      #expect(reader.remaining == 2)
    }
  }

  @Test("a text is as long as it may be, and no longer")
  func text() throws {
    var writer = OctetWriter()
    writer.text("abcde", limit: 5)
    var reader = OctetReader(writer.octets)
    #expect(try reader.text(limit: 5) == "abcde")
    reader = OctetReader(writer.octets)
    #expect(throws: BridgeFormatError.tooLong) { try reader.text(limit: 4) }
  }

  @Test("an IPv4 address has 32 bits")
  func addresses() throws {
    for (high, low, isRight) in [(0, 0xFFFF_FFFF, true), (0, 0x1_0000_0000, false), (1, 1, false)]
      as [(UInt64, UInt64, Bool)]
    {
      var writer = OctetWriter()
      writer.integer(IPAddress.Family.v4.rawValue)
      writer.integer(high)
      writer.integer(low)
      var reader = OctetReader(writer.octets)
      #expect(((try? reader.address()) != nil) == isRight, "\(high) \(low)")
    }
  }
}
