import DNSWire
import EgressPolicy
import GrantLedger
import IPNetwork
import TestSupport
import Testing

@testable import GateModel

@Suite("which connections pass")
struct GateTableTests {
  private static let address = IPAddress("192.0.2.1")!

  private func element(_ server: UInt16 = 0, port: UInt16 = 443) -> GrantElement {
    GrantElement(server: server, address: Self.address, transport: port == 0 ? 0 : 6, port: port)
  }

  private func holding(
    _ name: String, _ element: GrantElement, until: UInt64 = 100, isChecked: Bool = true, allowsHiding: Bool = false
  ) throws -> GateHolding {
    GateHolding(
      element: element, name: try Name(hostname: name), until: until, isChecked: isChecked, allowsHiding: allowsHiding)
  }

  private func hello(_ name: String?, hides: Bool = false) throws -> ClientHello {
    var hello = Hello(name)
    if hides { hello.extensions = [(0xFE0D, [0])] }
    return try ClientHello(hello.message)
  }

  @Test("a name that its server resolved to the address, for as long as it stands, and no other")
  func names() throws {
    var table = GateTable()
    table.open(try holding("api.example.com", element()))
    table.open(try holding("other.example.com", element(1)))
    #expect(table.judge(try hello("API.example.com"), to: element(), now: 99) == .verified)
    #expect(table.judge(try hello("api.example.com"), to: element(), now: 100) == .mismatch)
    #expect(table.judge(try hello("other.example.com"), to: element(), now: 0) == .mismatch)
    #expect(table.judge(try hello("api.example.com"), to: element(1), now: 0) == .mismatch)
    #expect(table.judge(try hello("api.example.com"), to: element(port: 8443), now: 0) == .mismatch)
    #expect(table.judge(try hello("www.api.example.com"), to: element(), now: 0) == .mismatch)
    #expect(table.judge(try hello(nil), to: element(), now: 0) == .nameMissing)
  }

  @Test("a name that questions for two types hold at an address stands until the later end, whichever was said last")
  func ofTwoTypes() throws {
    var table = GateTable()
    table.open(try holding("api.example.com", element(), until: 100))
    table.open(try holding("api.example.com", element(), until: 50))
    #expect(table.judge(try hello("api.example.com"), to: element(), now: 99) == .verified)
    table.close(element(), try Name(hostname: "api.example.com"))
    table.open(try holding("api.example.com", element(), until: 50))
    #expect(table.judge(try hello("api.example.com"), to: element(), now: 50) == .mismatch)
  }

  @Test("is under the caps of the name that it says, and one that passes unread under those of every name")
  func caps() throws {
    var table = GateTable()
    var (one, other) = (try holding("api.example.com", element()), try holding("web.example.com", element(), until: 50))
    one.limits = ByteLimits(maxBytes: 1_024)
    other.limits = ByteLimits(maxBytes: ByteBound(2_048, .audit), maxBytesPerHour: 4_096)
    table.open(one)
    table.open(other)
    let (api, web) = (ByteCap(.perConnection, 1_024), ByteCap(.perConnection, ByteBound(2_048, .audit)))
    #expect(table.caps(of: one.name, at: element(), now: 0) == [api])
    #expect(table.caps(of: other.name, at: element(), now: 0) == [web, ByteCap(.perHour, 4_096)])
    #expect(table.caps(of: nil, at: element(), now: 0) == [web, api, ByteCap(.perHour, 4_096)])
    #expect(table.caps(of: nil, at: element(), now: 50) == [api])
    #expect(table.caps(of: one.name, at: element(1), now: 0) == [])
  }

  @Test("one that may hide another name only where its entry lets it")
  func hiding() throws {
    var table = GateTable()
    table.open(try holding("api.example.com", element()))
    table.open(try holding("web.example.com", element(), allowsHiding: true))
    #expect(table.judge(try hello("api.example.com", hides: true), to: element(), now: 0) == .mayHide)
    #expect(table.judge(try hello("web.example.com", hides: true), to: element(), now: 0) == .verified)
    #expect(table.judge(try hello("evil.example", hides: true), to: element(), now: 0) == .mismatch)
  }

  @Test(
    "any, where a name holds the address that is not checked, on its port or on every one, and as long as that lives")
  func unchecked() throws {
    var table = GateTable()
    table.open(try holding("api.example.com", element()))
    #expect(!table.isOpen(element(), now: 0))
    table.open(try holding("plain.example.com", element(), until: 50, isChecked: false))
    #expect(table.isOpen(element(), now: 49) && !table.isOpen(element(), now: 50))
    table.open(try holding("any.example.com", element(port: 0), isChecked: false))
    #expect(table.isOpen(element(), now: 99) && !table.isOpen(element(1), now: 0))
  }

  @Test("what is closed, evicted, over or another server's is not known any more")
  func ends() throws {
    var table = GateTable()
    let api = try hello("api.example.com")
    table.open(try holding("api.example.com", element()))
    table.open(try holding("web.example.com", element()))
    table.close(element(), try Name(hostname: "web.example.com"))
    #expect(table.judge(api, to: element(), now: 0) == .verified && table.count == 1)
    table.close(element())
    #expect(table.judge(api, to: element(), now: 0) == .mismatch)
    table.open(try holding("api.example.com", element()))
    table.open(try holding("api.example.com", element(1)))
    table.forget(server: 0)
    #expect(table.judge(api, to: element(), now: 0) == .mismatch)
    #expect(table.judge(api, to: element(1), now: 0) == .verified)
    table.sweep(now: 100)
    #expect(table.count == 0)
  }
}
