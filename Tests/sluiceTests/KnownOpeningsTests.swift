import ControlAPI
import DNSWire
import IPNetwork
import Serving
import Testing

@testable import sluice

@Suite struct KnownOpeningsTests {
  private func entry(_ name: String, _ opened: UInt64) throws -> JournalEntry {
    JournalEntry(
      server: "agent", name: try Name(presentation: name), type: .A, address: try #require(IPAddress("45.11.0.7")),
      transport: 6, port: 443, opened: opened)
  }

  private func grant(_ name: String, _ opened: UInt64) -> ControlAPI.Grant {
    ControlAPI.Grant(
      server: "agent", address: "45.11.0.7", protocol: "tcp", port: 443, name: name,
      opened: ControlAPI.time(seconds: opened), remainingMs: 1000)
  }

  private let key = ListedElementKey(server: "agent", address: "45.11.0.7", transport: 6, port: 443)

  @Test func `names and times are the running server's, not those of what was revoked`() throws {
    let journal = [try entry("ab.wild", 100), try entry("ba.wild", 200)]
    let known = KnownOpenings(granted: [grant("ba.wild", 200)], journal: journal)
    let keyFound = known.find(key)
    #expect(keyFound.names == ["ba.wild"] && keyFound.opened == 200)
    let plain = ListedElementKey(server: "agent", address: "45.11.0.7", transport: 0, port: 0)
    let plainFound = known.find(plain)
    #expect(plainFound.names == ["ba.wild"] && plainFound.opened == 200)
  }

  @Test func `which names share the address the running server alone knows`() throws {
    var one = grant("ba.wild", 200)
    one.shared = ["cdn.example", "other.example"]
    let known = KnownOpenings(granted: [one], journal: [try entry("ab.wild", 100)])
    #expect(known.shared(key) == ["cdn.example", "other.example"])
    #expect(known.shared(ListedElementKey(server: "agent", address: "45.11.0.8", transport: 6, port: 443)) == [])
    #expect(KnownOpenings(granted: [], journal: [try entry("ab.wild", 100)]).shared(key) == [])
  }

  @Test func `the journal tells them where no server runs, and of what the server does not know`() throws {
    let journal = [try entry("ab.wild", 100), try entry("ba.wild", 200)]
    let written = KnownOpenings(granted: [], journal: journal).find(key)
    #expect(written.names == ["ab.wild", "ba.wild"] && written.opened == 100)
    let none = KnownOpenings(granted: [], journal: []).find(key)
    #expect(none.names.isEmpty && none.opened == nil)
    let other = ListedElementKey(server: "agent", address: "45.11.0.8", transport: 6, port: 443)
    #expect(KnownOpenings(granted: [grant("ba.wild", 200)], journal: journal).find(other).names.isEmpty)
  }
}
