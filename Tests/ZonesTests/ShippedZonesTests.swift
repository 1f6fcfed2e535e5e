import DNSWire
import Foundation
import Testing
import Zones

@Suite("Shipped zones")
struct ShippedZonesTests {
  private let zones: LocalZones

  init() throws {
    zones = try LocalZones(files: LocalZones.shippedFiles)
  }

  @Test("the zones in the executable are the files in zones/, octet for octet")
  func equalFiles() throws {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../zones").standardizedFileURL
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".zone") }
    #expect(files.sorted() == LocalZones.shippedFiles.map(\.path))
    for (path, text) in LocalZones.shippedFiles {
      #expect(try Data(contentsOf: folder.appending(path: path)) == Data(text), "run .ci/embed-zones")
    }
  }

  @Test("localhost and every name below it is loopback, over both families")
  func localhost() throws {
    for name in ["localhost", "a.localhost", "a.b.localhost"] {
      #expect(try zones.answer(name, .A)?.records.map(\.rdata) == [[127, 0, 0, 1]])
      #expect(try zones.answer(name, .AAAA)?.records.map(\.rdata) == [[UInt8](repeating: 0, count: 15) + [1]])
      #expect(try zones.answer(name, .TXT)?.responseCode == .NOERROR)
      #expect(try zones.answer(name)?.holdsRoutableAddress == false)
    }
  }

  @Test(
    "special-use names and the reverse zones of private space do not exist",
    arguments: [
      "invalid", "a.invalid", "test", "a.b.test", "local", "printer.local", "onion", "abc.onion", "alt", "x.alt",
      "home.arpa", "nas.home.arpa", "service.arpa", "use-application-dns.net", "x.resolver.arpa", "x.ipv4only.arpa",
      "1.0.0.10.in-addr.arpa", "10.in-addr.arpa", "1.16.172.in-addr.arpa", "31.172.in-addr.arpa",
      "5.0.168.192.in-addr.arpa", "254.169.254.169.in-addr.arpa", "1.0.0.127.in-addr.arpa", "0.0.0.0.in-addr.arpa",
      "1.64.100.in-addr.arpa", "1.127.100.in-addr.arpa", "1.2.0.192.in-addr.arpa", "1.100.51.198.in-addr.arpa",
      "1.113.0.203.in-addr.arpa", "255.255.255.255.in-addr.arpa", "1.c.f.ip6.arpa", "d.f.ip6.arpa",
      "8.e.f.ip6.arpa", "b.e.f.ip6.arpa", "1.8.b.d.0.1.0.0.2.ip6.arpa",
      "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
    ])
  func absent(_ name: String) throws {
    for type in [RRType.A, .AAAA, .PTR, .TXT] {
      let answer = try #require(try zones.answer(name, type))
      #expect(answer.responseCode == .NXDOMAIN)
      #expect(answer.records.isEmpty)
      #expect(answer.soa?.type == .SOA)
    }
  }

  @Test(
    "ordinary names are in no shipped zone",
    arguments: [
      "example.com", "example", "host.docker.internal", "internal", "net", "arpa", "in-addr.arpa", "ip6.arpa",
      "172.in-addr.arpa", "1.32.172.in-addr.arpa", "1.15.172.in-addr.arpa", "1.63.100.in-addr.arpa",
      "1.128.100.in-addr.arpa", "8.8.8.8.in-addr.arpa", "application-dns.net", "xlocalhost", "local.com", "wpad",
    ])
  func ordinary(_ name: String) throws {
    #expect(try zones.answer(name) == nil)
  }

  @Test("no other resolver is designated and no NAT64 announced: the names exist without the asked type")
  func noData() throws {
    for (name, type) in [("_dns.resolver.arpa", RRType(rawValue: 64)), ("ipv4only.arpa", .AAAA), ("ipv4only.arpa", .A)]
    {
      let answer = try #require(try zones.answer(name, type))
      #expect(answer.responseCode == .NOERROR)
      #expect(answer.records.isEmpty)
    }
  }

  @Test("denials live five seconds")
  func sinkhole() {
    #expect(zones.sinkholeSOA.owner == [0])
    #expect(zones.sinkholeSOA.ttl == 5)
    #expect(zones.sinkholeSOA.rdata.suffix(4) == [0, 0, 0, 5])
  }
}
