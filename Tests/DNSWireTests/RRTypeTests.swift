import DNSWire
import Testing

@Suite("Types and codes")
struct RRTypeTests {
  @Test("every type's text is read as the same type, mnemonic or TYPE123 (RFC 3597 section 5)")
  func roundTrip() {
    for value in 0...UInt16.max {
      let type = RRType(rawValue: value)
      #expect(RRType(mnemonic: type.description) == type)
      #expect(RRType(mnemonic: "TYPE\(value)") == type)
    }
  }

  @Test("the numbers are those of the registry")
  func numbers() {
    let registry: [(RRType, String, UInt16)] = [
      (.A, "A", 1), (.CNAME, "CNAME", 5), (.SOA, "SOA", 6), (.PTR, "PTR", 12), (.MX, "MX", 15), (.TXT, "TXT", 16),
      (.AAAA, "AAAA", 28), (.SRV, "SRV", 33), (.DNAME, "DNAME", 39), (.OPT, "OPT", 41), (.RRSIG, "RRSIG", 46),
      (.SVCB, "SVCB", 64), (.HTTPS, "HTTPS", 65), (.TSIG, "TSIG", 250), (.IXFR, "IXFR", 251), (.AXFR, "AXFR", 252),
      (.ANY, "ANY", 255), (.CAA, "CAA", 257),
    ]
    for (type, mnemonic, number) in registry {
      #expect(type.rawValue == number && type.description == mnemonic)
    }
  }

  @Test(
    "text that is no type is refused", arguments: ["", "a", "TYPE", "TYPE65536", "TYPE-1", "TYPE+1", "TYPE1 ", "AAAAA"])
  func refused(_ text: String) {
    #expect(RRType(mnemonic: text) == nil)
  }

  @Test("types that no record has are meta types (threats W18)")
  func meta() {
    let meta: [RRType] = [RRType(rawValue: 0), .OPT, .TKEY, .TSIG, .IXFR, .AXFR, .MAILB, .MAILA, .ANY]
    for type in meta { #expect(type.isMeta, "\(type)") }
    for type in [.A, .AAAA, .TXT, .RRSIG, .HTTPS, .CAA, RRType(rawValue: 1000), RRType(rawValue: .max)] as [RRType] {
      #expect(!type.isMeta, "\(type)")
    }
  }

  @Test("an unknown response code has a name too")
  func codes() {
    #expect(ResponseCode.NXDOMAIN.description == "NXDOMAIN" && ResponseCode.BADVERS.rawValue == 16)
    #expect(ResponseCode(rawValue: 4095).description == "RCODE4095")
  }
}
