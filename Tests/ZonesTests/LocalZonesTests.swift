import DNSWire
import Testing
import Zones

@Suite("Local zones")
struct LocalZonesTests {
  @Test("a name under no zone has no local answer, even where an ancestor of an apex is asked")
  func elsewhere() throws {
    let zones = try zones(soa("corp.example.net."))
    for name in ["example.net", "net", "www.example.net", "xcorp.example.net", "corp.example.net.org", "."] {
      #expect(try zones.answer(name) == nil, "\(name)")
    }
    #expect(try zones.answer("corp.example.net") != nil)
  }

  @Test("the longest zone that holds a name answers for it, whatever the order of the files")
  func longestApex() throws {
    let outer = (
      path: "outer", text: Array((soa("example.") + "x.sub.example. IN TXT \"t\"\nw.example. IN A 127.0.0.9\n").utf8)
    )
    let inner = (path: "inner", text: Array((soa("sub.example.") + "y.sub.example. IN A 127.0.0.8\n").utf8))
    for files in [[outer, inner], [inner, outer]] {
      let zones = try LocalZones(files: files)
      #expect(try zones.answer("nowhere.sub.example")?.soa?.owner == Name(hostname: "sub.example").wire)
      #expect(try zones.answer("below.x.sub.example")?.soa?.owner == Name(hostname: "sub.example").wire)
      #expect(try zones.answer("nowhere.example")?.soa?.owner == Name(hostname: "example").wire)
    }
  }

  @Test("a name with other types only is NODATA, one without any is NXDOMAIN")
  func denials() throws {
    let zones = try zones(soa("lan.") + "a.lan. IN A 127.0.0.2\n")
    let noData = try #require(try zones.answer("a.lan", .AAAA))
    #expect(noData.responseCode == .NOERROR)
    #expect(noData.records.isEmpty)
    let nothing = try #require(try zones.answer("b.lan"))
    #expect(nothing.responseCode == .NXDOMAIN)
    #expect(nothing.soa?.owner == [3] + Array("lan".utf8) + [0])
    #expect(try zones.answer("b.a.lan")?.responseCode == .NXDOMAIN)
  }

  @Test("a name that exists only through names below it is NODATA")
  func emptyNonTerminal() throws {
    let zones = try zones(soa("lan.") + "a.b.c.lan. IN A 127.0.0.2\n")
    for name in ["b.c.lan", "c.lan", "lan"] {
      let answer = try #require(try zones.answer(name))
      #expect(answer.responseCode == .NOERROR && answer.records.isEmpty, "\(name)")
    }
  }

  @Test("a wildcard answers for names that do not exist, under the asked name, and never over one that exists")
  func wildcard() throws {
    let zones = try zones(
      soa("lan.") + "*.lan. IN A 127.0.0.2\nhost.lan. IN TXT \"t\"\na.deep.lan. IN A 127.0.0.3\n")
    #expect(try zones.answer("x.lan")?.records.map(\.summary) == ["x.lan A 127.0.0.2"])
    #expect(try zones.answer("x.y.lan")?.records.map(\.summary) == ["x.y.lan A 127.0.0.2"])
    #expect(try zones.answer("*.lan")?.records.map(\.summary) == ["*.lan A 127.0.0.2"])
    #expect(try zones.answer("host.lan")?.records == [])
    #expect(try zones.answer("below.host.lan")?.responseCode == .NXDOMAIN, "host.lan is the closest encloser")
    #expect(try zones.answer("deep.lan")?.records == [], "an empty non-terminal exists")
    #expect(try zones.answer("b.deep.lan")?.responseCode == .NXDOMAIN)
    #expect(try zones.answer("x.lan", .AAAA)?.responseCode == .NOERROR)
  }

  @Test("a name in the data of another record is no alias")
  func noAlias() throws {
    let zones = try zones(soa("lan.") + "a.lan. IN PTR www.example.com.\n")
    let answer = try #require(try zones.answer("a.lan", .PTR))
    #expect(answer.responseCode == .NOERROR && answer.records.count == 1)
  }

  @Test("an alias is followed inside the zones, its records first; asked for itself it is not")
  func alias() throws {
    let zones = try zones(
      soa("lan.") + "www.lan. IN CNAME web.lan.\nweb.lan. IN CNAME h.other.\n" + soa("other.")
        + "h.other. IN A 127.0.0.4\n*.w.other. IN CNAME h.other.\n")
    #expect(
      try zones.answer("www.lan")?.records.map(\.summary)
        == ["www.lan CNAME web.lan", "web.lan CNAME h.other", "h.other A 127.0.0.4"])
    #expect(try zones.answer("www.lan", .CNAME)?.records.map(\.summary) == ["www.lan CNAME web.lan"])
    #expect(
      try zones.answer("q.w.other")?.records.map(\.summary) == ["q.w.other CNAME h.other", "h.other A 127.0.0.4"])
  }

  @Test("an alias to a local name that does not exist has the response code of its target")
  func danglingAlias() throws {
    let answer = try #require(try zones(soa("lan.") + "www.lan. IN CNAME gone.lan.\n").answer("www.lan"))
    #expect(answer.responseCode == .NXDOMAIN)
    #expect(answer.records.map(\.summary) == ["www.lan CNAME gone.lan"])
  }

  @Test("only an address outside the loopback networks counts as routable")
  func routable() throws {
    let zones = try zones(
      soa("lan.") + """
        loop.lan. IN A 127.9.9.9
        loop.lan. IN AAAA ::1
        out.lan. IN A 10.0.0.1
        out.lan. IN AAAA fd00::1
        mapped.lan. IN AAAA ::ffff:127.0.0.1
        mixed.lan. IN A 127.0.0.1
        mixed.lan. IN A 203.0.113.1
        far.lan. IN CNAME out.lan.
        text.lan. IN TXT "10.0.0.1"

        """)
    for (name, type, expected) in [
      ("loop.lan", RRType.A, false), ("loop.lan", .AAAA, false), ("out.lan", .A, true), ("out.lan", .AAAA, true),
      ("mapped.lan", .AAAA, true), ("mixed.lan", .A, true), ("far.lan", .A, true), ("far.lan", .AAAA, true),
      ("text.lan", .TXT, false), ("out.lan", .TXT, false), ("gone.lan", .A, false),
    ] {
      #expect(try zones.answer(name, type)?.holdsRoutableAddress == expected, "\(name) \(type)")
    }
  }

  @Test("the SOA of a denial lives as long as the smaller of its TTL and its minimum")
  func negativeTTL() throws {
    let zones = try zones(soa("lan.") + ". 900 IN SOA a. b. 1 2 3 4 7\n")
    #expect(try zones.answer("x.lan")?.soa?.ttl == 60)
    #expect(zones.sinkholeSOA.ttl == 7)
    #expect(try zones.answer("anything") == nil, "the zone of the root holds no names")
  }

  @Test("without a zone of the root, denials carry the shipped SOA")
  func builtInSinkhole() throws {
    #expect(try LocalZones(files: []).sinkholeSOA == LocalZones(files: LocalZones.shippedFiles).sinkholeSOA)
  }

  @Test("records of one name and type have one TTL, the smallest")
  func ttl() throws {
    let zones = try zones(soa("lan.") + "a.lan. 50 IN A 127.0.0.2\na.lan. 20 IN A 127.0.0.3\na.lan. 9 IN TXT \"t\"\n")
    #expect(try zones.answer("a.lan")?.records.map(\.ttl) == [20, 20])
  }

  @Test("names of any octets and of the greatest length are looked up without harm")
  func oddNames() throws {
    let zones = try LocalZones(files: LocalZones.shippedFiles)
    let longest: [UInt8] = deep(127) + [0]
    #expect(zones.answer(name: longest.span, type: .A) == nil)
    let local: [UInt8] = deep(124) + [5] + Array("local".utf8) + [0]
    #expect(zones.answer(name: local.span, type: .A)?.responseCode == .NXDOMAIN)
    #expect(try zones.answer("\\000\\255.localhost")?.records.map(\.ttl) == [300])
    #expect(try zones.answer("a\\.localhost") == nil, "a dot inside a label is no border of labels")
    #expect(zones.answer(name: [0].span, type: .SOA) == nil)
    // Octets that are no name: refused before they get here, and still no trap.
    #expect(zones.answer(name: [63, 1].span, type: .A) == nil)
    #expect(zones.answer(name: [UInt8]().span, type: .A) == nil)
  }

  @Test("a hundred thousand names are found, and their neighbours are not")
  func manyNames() throws {
    var text = soa("lan.")
    for number in 0..<99_000 {
      text += "n\(number).lan. IN A 127.0.0.2\n"
    }
    let zones = try zones(text)
    for number in stride(from: 0, to: 99_000, by: 997) {
      #expect(try zones.answer("n\(number).lan")?.records.count == 1)
      #expect(try zones.answer("m\(number).lan")?.responseCode == .NXDOMAIN)
    }
  }
}

/// So many labels of one octet, without the root.
private func deep(_ labels: Int) -> [UInt8] {
  Array(repeatElement([1, UInt8(ascii: "a")], count: labels).joined())
}
