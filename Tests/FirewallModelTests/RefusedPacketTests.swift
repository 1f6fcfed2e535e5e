import IPNetwork
import TestSupport
import Testing

@testable import FirewallModel

@Suite("Reading a refused packet")
struct RefusedPacketTests {
  private static let v4: [UInt8] =
    [0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 77, 1, 2, 45, 11, 0, 66] + [0x9C, 0xFC, 0x01, 0xBB, 0, 0, 0, 0]
  private static let source6: [UInt8] = [0xFD, 0, 0, 0x77, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]
  private static let target6: [UInt8] = [0x2A, 0x10, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x66]

  private static func v6(_ next: UInt8, _ rest: [UInt8]) -> [UInt8] {
    [0x60, 0, 0, 0, 0, UInt8(rest.count), next, 64] + source6 + target6 + rest
  }

  @Test("addresses, ports and length of IPv4")
  func ipv4() throws {
    let packet = try #require(RefusedPacket(prefix: "sluice a ", packet: Self.v4, time: 7))
    #expect(packet.source == IPAddress("10.77.1.2") && packet.destination == IPAddress("45.11.0.66"))
    #expect(packet.transport == 6 && packet.sourcePort == 40_188 && packet.port == 443 && packet.length == 60)
  }

  @Test(
    "no ports in a later fragment of IPv4, nor of a transport without; no packet with a header of less than 20 octets")
  func withoutPorts() throws {
    var fragment = Self.v4
    fragment[7] = 1
    let later = try #require(RefusedPacket(prefix: "", packet: fragment, time: 7))
    #expect(later.port == 0 && later.sourcePort == 0 && later.transport == 6)
    var ping = Self.v4
    ping[9] = 1
    let other = try #require(RefusedPacket(prefix: "", packet: ping, time: 7))
    #expect(other.port == 0 && other.sourcePort == 0 && other.transport == 1)
    var short = Self.v4
    short[0] = 0x44
    #expect(RefusedPacket(prefix: "", packet: short, time: 7) == nil)
  }

  @Test("ports behind extension headers of IPv6, and none in a later fragment")
  func ipv6() throws {
    let ports: [UInt8] = [0, 53, 0x03, 0x55, 0, 8, 0, 0]
    let plain = try #require(RefusedPacket(prefix: "", packet: Self.v6(17, ports), time: 7))
    #expect(plain.port == 853 && plain.transport == 17 && plain.length == 48)
    let hop: [UInt8] = [60, 0, 0, 0, 0, 0, 0, 0]
    let options: [UInt8] = [17, 1, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 8)
    let behind = try #require(RefusedPacket(prefix: "", packet: Self.v6(0, hop + options + ports), time: 7))
    #expect(behind.port == 853 && behind.transport == 17)
    let later = try #require(
      RefusedPacket(prefix: "", packet: Self.v6(44, [17, 0, 0x01, 0, 0, 0, 0, 1] + ports), time: 7))
    #expect(later.port == 0 && later.transport == 17)
    let endless = try #require(
      RefusedPacket(prefix: "", packet: Self.v6(0, [UInt8](repeating: 0, count: 8 * 30)), time: 7))
    #expect(endless.port == 0)
  }

  @Test("a packet that is cut off anywhere, or is no IP at all, traps nothing")
  func hostile() {
    var random = SeededRandom(seed: 9)
    let samples = [Self.v4, Self.v6(0, [43, 255, 0, 0, 0, 0, 0, 0, 17, 0]), Self.v6(6, [1, 2, 3, 4])]
    for sample in samples {
      for count in 0...sample.count { _ = RefusedPacket(prefix: "", packet: Array(sample[..<count]), time: 0) }
    }
    for _ in 0..<50_000 {
      var octets = (0..<Int.random(in: 0...128, using: &random)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      if let first = octets.first { octets[0] = (random.next() % 2 == 0 ? 0x40 : 0x60) | first & 0x0F }
      _ = RefusedPacket(prefix: "", packet: octets, time: 7)
    }
    #expect(RefusedPacket(prefix: "", packet: [], time: 7) == nil)
    #expect(RefusedPacket(prefix: "", packet: [UInt8](repeating: 0x55, count: 60), time: 7) == nil)
  }
}
