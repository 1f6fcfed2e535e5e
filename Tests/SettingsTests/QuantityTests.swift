import IPNetwork
import Testing

@testable import Settings

@Suite("Numbers with units, and addresses with ports")
struct QuantityTests {
  @Test("an integer is digits alone")
  func integers() {
    #expect(Quantity.integer("0") == 0 && Quantity.integer("007") == 7)
    for text in ["", "+1", "-1", " 1", "1_000", "0x1", "\u{FF11}", "99999999999999999999"] {
      #expect(Quantity.integer(text) == nil, "\(text)")
    }
  }

  @Test("a time is whole seconds of one unit or several, and no sum that is too large")
  func seconds() {
    #expect(Quantity.seconds("90s") == 90 && Quantity.seconds("1h30m") == 5_400 && Quantity.seconds("2000ms") == 2)
    for text in ["", "s", "90", "500ms", "1500ms", "1h 30m", "1h30", "-1s", "1w"] {
      #expect(Quantity.seconds(text) == nil, "\(text)")
    }
    let most: UInt64 = 9_223_372_036_854_775
    #expect(Quantity.seconds(String(repeating: "\(most)s", count: 2_000)) == 2_000 * most)
    #expect(Quantity.seconds(String(repeating: "\(most)s", count: 2_001)) == nil)
  }

  @Test("a time is written as it is read, in the largest units")
  func durations() {
    for (seconds, text) in [(0, "0s"), (59, "59s"), (5_400, "1h30m"), (86_400, "1d"), (90_061, "1d1h1m1s")]
      as [(UInt64, String)]
    {
      #expect(Quantity.duration(seconds: seconds) == text)
      #expect(Quantity.seconds(text) == seconds)
    }
  }

  @Test("an address with a port is read, and what only looks like one is not")
  func endpoints() throws {
    for (text, port) in [
      ("192.0.2.1", nil), ("192.0.2.1:53", 53), ("[2001:db8::1]", nil), ("[2001:db8::1]:53", 53), ("2001:db8::1", nil),
    ] as [(String, UInt16?)] {
      let found = try #require(Endpoint.parse(text), "\(text)")
      #expect(found.1 == port, "\(text)")
    }
    for text in [
      "[2001:db8::1]53", "[2001:db8::1]x53", "[2001:db8::1", "[192.0.2.1]:53", "1:2:3:4:5:6:7:8:53", "192.0.2.1:",
      "192.0.2.1:0", ":53",
    ] {
      #expect(Endpoint.parse(text) == nil, "\(text)")
    }
  }

  @Test("a word that is far too long is near none")
  func distances() {
    let words = ["listen", String(repeating: "a", count: 64)]
    #expect(EditDistance.nearest(to: "lisen", among: words) == "listen")
    #expect(EditDistance.nearest(to: String(repeating: "a", count: 64), among: words) == words[1])
    #expect(EditDistance.nearest(to: String(repeating: "a", count: 65), among: words) == nil)
  }
}
