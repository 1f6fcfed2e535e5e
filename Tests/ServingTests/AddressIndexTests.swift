import ControlAPI
import DNSWire
import IPNetwork
import Testing

@testable import Serving

@Suite("Who shares an address")
struct AddressIndexTests {
  @Test("the other names at an address, of whatever server, sorted, each once, and no more than a line holds")
  func others() throws {
    var index = AddressIndex()
    let (one, two) = (try #require(IPAddress("192.0.2.1")), try #require(IPAddress("192.0.2.2")))
    let names = try ["b.example", "a.example", "c.example"].map { try Name(presentation: $0) }
    for name in names + names { index.add(name, at: one) }
    index.add(names[0], at: two)
    #expect(index.others(than: names[0], at: one) == ["a.example", "c.example"])
    #expect(index.others(than: names[0], at: two) == nil)
    for number in 0..<100 { index.add(try Name(presentation: "n\(number).example"), at: two) }
    #expect(index.others(than: names[0], at: two)?.count == 16)
  }

  @Test("check tells of names that go by their address, and not of those that have to be said")
  func texts() {
    func grant(_ name: String, _ verify: String, _ shared: [String]?) -> ControlAPI.Grant {
      var grant = ControlAPI.Grant(
        server: "agent", address: "192.0.2.1", protocol: "tcp", port: 443, name: name, opened: "", remainingMs: 1)
      (grant.verify, grant.shared) = (verify, shared)
      return grant
    }
    let told = SharedAddresses.texts([
      grant("b.example", "address", ["a", "c", "d", "e"]), grant("a.example", "address", ["b.example"]),
      grant("a.example", "address", ["b.example"]), grant("c.example", "sni", ["a"]),
      grant("d.example", "address", nil),
    ])
    #expect(told.map(\.name) == ["a.example", "b.example"])
    #expect(
      told.last?.text
        == "192.0.2.1, open for b.example, is that of a, c, d and 1 more too: with verify: address it admits all")
  }
}
