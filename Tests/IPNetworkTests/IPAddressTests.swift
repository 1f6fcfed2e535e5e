import IPNetwork
import TestSupport
import Testing

@Suite("IP addresses")
struct IPAddressTests {
  @Test(
    "text that is read is printed in its canonical form (RFC 5952)",
    arguments: [
      ("192.0.2.1", "192.0.2.1"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("::", "::"), ("::1", "::1"),
      ("1::", "1::"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
      ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("64:ff9b::c000:201", "64:ff9b::c000:201"),
    ])
  func canonicalText(_ text: String, _ canonical: String) {
    #expect(IPAddress(text)?.description == canonical)
  }

  @Test(
    "text that is no address is refused",
    arguments: [
      "", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.4 ", "1..2.3", ":", ":::", "1:2", "::1::", "12345::",
      "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8", "fe80::1%eth0", "::1.2.3", "g::", "1:2:3:4:5:6:7:", "0x1.2.3.4",
      "1:2:3:4:5:6:7:8:", "::1:", ":1:2:3:4:5:6:7:8", ":1::",
    ])
  func refusedText(_ text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test("octets, text and value say the same", arguments: 0..<500)
  func roundTrip(_ index: Int) throws {
    var random = SeededRandom(seed: UInt64(index))
    let address =
      index % 2 == 0
      ? IPAddress(v4: UInt32(truncatingIfNeeded: random.next()))
      : IPAddress(high: random.next() & random.next(), low: random.next() & random.next())
    #expect(IPAddress(address.description) == address)
    #expect(IPAddress(octets: address.octets.span) == address)
  }

  @Test(
    "addresses that no answer may open are not public (threats U15)",
    arguments: [
      "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255",
      "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
      "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::8.8.8.8",
      "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1",
      "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
    ])
  func notPublic(_ text: String) throws {
    #expect(try #require(IPAddress(text)).isPublic == false)
  }

  @Test(
    "ordinary addresses are public",
    arguments: ["1.1.1.1", "8.8.8.8", "45.11.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"])
  func isPublic(_ text: String) throws {
    #expect(try #require(IPAddress(text)).isPublic)
  }

  @Test("an IPv4-mapped address counts as its IPv4 form")
  func unmapped() throws {
    #expect(try #require(IPAddress("::ffff:10.1.2.3")).unmapped == IPAddress("10.1.2.3"))
    #expect(try #require(IPAddress("::1")).unmapped == IPAddress("::1"))
    #expect(try #require(IPAddress("1::ffff:a01:203")).unmapped == IPAddress("1::ffff:a01:203"))
    #expect(try #require(IPAddress("10.1.2.3")).unmapped == IPAddress("10.1.2.3"))
  }

  @Test("an IPv4 address holds no other one")
  func embedded() throws {
    for text in ["8.8.8.8", "10.0.0.1"] { #expect(try #require(IPAddress(text)).embedded == []) }
    #expect(try #require(IPAddress("::ffff:10.0.0.1")).embedded == [IPAddress("10.0.0.1")])
  }

  @Test("octets for which there is no room are left out whole", arguments: 0...16)
  func room(_ capacity: Int) throws {
    let (four, six) = (try #require(IPAddress("192.0.2.1")), try #require(IPAddress("2001:db8::1")))
    #expect([UInt8](capacity: capacity) { four.append(to: &$0) } == (capacity >= 4 ? four.octets : []))
    #expect([UInt8](capacity: capacity) { six.append(to: &$0) } == (capacity >= 16 ? six.octets : []))
  }

  @Test("a prefix has a length of digits that its family has, and no bit beyond it")
  func prefixes() throws {
    for (text, error) in [
      ("10.0.0.0/33", .length), ("10.0.0.0/+8", .length), ("10.0.0.0/-8", .length), ("10.0.0.0/", .length),
      ("10.0.0.0/08", .length), ("10.0.0.0/1000", .length), ("::/129", .length), ("10.0.0/8", .address),
      ("10.0.0.1/8", .hostBits(try .parse("10.0.0.0/8"))), ("fd00:1::/8", .hostBits(try .parse("fd00::/8"))),
      ("fd00::1/64", .hostBits(try .parse("fd00::/64"))),
    ] as [(String, IPPrefixError)] {
      #expect(throws: error, "\(text)") { try IPPrefix.parse(text) }
    }
    let address = try #require(IPAddress("10.1.2.3"))
    #expect(IPPrefix(address, length: -1) == nil && IPPrefix(address, length: 33) == nil)
    #expect(IPPrefix(address, length: 8)?.description == "10.0.0.0/8")
    let network = try IPPrefix.parse("2001:db8::/32")
    #expect(network.contains(try #require(IPAddress("2001:db8:1::1"))))
    #expect(!network.contains(try #require(IPAddress("2001:db9::1"))))
  }

  @Test("ranges end where their network does, also where one ends with the one around it")
  func ranges() throws {
    let entries = [
      (prefix: try IPPrefix.parse("10.0.0.0/24"), owner: 0), (prefix: try IPPrefix.parse("10.0.0.128/25"), owner: 1),
    ]
    let ranges = DisjointRanges(entries, family: .v4).ranges
    #expect(ranges.map(\.owner) == [0, 1])
    #expect(ranges.map { $0.last - $0.first } == [127, 127])
  }
}
