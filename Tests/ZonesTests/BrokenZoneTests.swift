import DNSWire
import TestSupport
import Testing
import Zones

@Suite("Broken zones")
struct BrokenZoneTests {
  @Test(
    "a fault is reported with the line that it stands on",
    arguments: [
      ("; comment\n\n" + soa("lan.") + "a.lan. IN A 1.2.3\n", 4, "rdata"),
      (soa("lan.") + soa("LAN."), 2, "second SOA"),
      (". IN SOA a. b. 1 2 3 4 5\n. IN SOA a. b. 1 2 3 4 5\n", 2, "second SOA"),
      (". IN SOA a. b. 1 2 3 4 5\n. IN A 127.0.0.1\n", 2, "only the SOA of denials"),
      ("a.lan. IN A 127.0.0.1\n", 1, "in no zone"),
      (soa("lan.") + "a.xlan. IN A 127.0.0.1\n", 2, "in no zone"),
      (soa("lan.") + "a.lan. IN A 127.0.0.1\na.lan. IN CNAME b.lan.\n", 3, "CNAME"),
      (soa("lan.") + "a.lan. IN CNAME b.lan.\na.lan. IN TXT \"x\"\nb.lan. IN A 127.0.0.1\n", 3, "CNAME"),
      (soa("lan.") + "a.lan. IN CNAME b.lan.\na.lan. IN CNAME c.lan.\n", 3, "CNAME"),
      (soa("lan.") + "lan. IN CNAME a.lan.\na.lan. IN A 127.0.0.1\n", 2, "CNAME"),
      (soa("lan.") + "a.lan. IN CNAME www.example.com.\n", 2, "in no local zone"),
      (soa("b.lan.") + "a.b.lan. IN CNAME lan.\n", 2, "in no local zone"),
      (soa("lan.") + "a.lan. IN CNAME a.lan.\n", 2, "loops"),
      (soa("lan.") + "sub.lan. IN NS ns.lan.\n", 2, "delegation"),
      (soa("lan.") + "sub.lan. IN DNAME other.lan.\n", 2, "DNAME"),
      (soa("lan.") + "a.lan. IN TYPE255 \\# 1 00\n", 2, ""),
    ])
  func faultWithLine(_ text: String, _ line: Int, _ words: String) throws {
    let faults = faults(text)
    #expect(faults.count == 1)
    let fault = try #require(faults.first)
    #expect(fault.file == "a.zone")
    #expect(fault.line == line)
    #expect(fault.message.contains(words), "\(fault.message)")
  }

  @Test("every fault of every file is reported at once, in the order of files and lines")
  func allAtOnce() throws {
    let first = (path: "a", text: Array("x.lan. IN A 1\n\(soa("lan."))y.lan. IN A 2\n".utf8))
    let second = (path: "b", text: Array("z.org. IN A 127.0.0.1\n".utf8))
    let error = #expect(throws: ZoneErrors.self) { try LocalZones(files: [second, first]) }
    #expect(error?.errors.map { "\($0.file):\($0.line)" } == ["a:1", "a:3", "b:1"])
  }

  @Test("every alias of a loop is refused, also one of the greatest length")
  func longLoop() {
    let links = (0..<9).map { "a\($0).lan. IN CNAME a\(($0 + 1) % 9).lan.\n" }
    #expect(faults(soa("lan.") + links.joined()).count == 9)
  }

  @Test("the servers of the root, which a zone of the root has to name, are passed over")
  func rootServers() throws {
    let zones = try zones(". IN SOA a. b. 1 2 3 4 5\n. IN NS localhost.\n" + soa("lan."))
    #expect(try zones.answer("lan") != nil)
  }

  @Test("carriage returns, tabs, a missing last line end and the same record twice are no faults")
  func tolerated() throws {
    let zones = try zones(
      "$ORIGIN lan.\r\n$TTL 1h\r\n@\tIN SOA a b 1 2 3 4 5\r\nX IN A 127.0.0.2\r\nx A 127.0.0.2\r\n\tAAAA ::1")
    #expect(try zones.answer("x.lan")?.records.map(\.summary) == ["x.lan A 127.0.0.2"])
    #expect(try zones.answer("x.lan", .AAAA)?.records.count == 1)
  }

  @Test("whatever is cut off, doubled or replaced in a zone file, reading it ends and never traps")
  func mutations() {
    var random = SeededRandom(seed: 7)
    let seed = Array(
      (soa("lan.") + "a.lan. 5 IN A 127.0.0.1\nb IN TXT \"x\\\"y\" ( \"z\"\n ) ; c\n$TTL 4\n* MX 5 m.lan.\n").utf8)
    for _ in 0..<3000 {
      var text = seed
      for _ in 0...Int(random.next() % 4) {
        let at = Int(random.next() % UInt64(text.count))
        switch random.next() % 4 {
        case 0: text[at] = UInt8(truncatingIfNeeded: random.next())
        case 1: text.removeSubrange(at..<min(text.count, at + 1 + Int(random.next() % 8)))
        case 2: text.insert(contentsOf: text[at...].prefix(20), at: at)
        default: text.insert(Array("()\"\\$;\n\t@*.".utf8)[Int(random.next() % 11)], at: at)
        }
        if text.isEmpty { text = [10] }
      }
      #expect(faults(text).allSatisfy { $0.file == "a.zone" && $0.line >= 0 })
    }
  }
}
