import DNSWire
import IPNetwork
import TestSupport
import Testing

@testable import EgressPolicy

@Suite struct ForwardZonesTests {
  private func zone(_ name: String, _ prefixes: [String] = []) throws -> ForwardZone {
    ForwardZone(
      zone: try Name(hostname: name), upstreams: ["udp://192.0.2.1:53"],
      privatePrefixes: prefixes.compactMap { IPPrefix($0) })
  }

  private func names(_ names: String...) -> [[UInt8]] { names.map(Messages.name) }

  @Test(
    "what a chain may have led through counts: another zone's `private` that changed ends what a zone's names opened")
  func admittedBefore() throws {
    let corp = try zone("corp.test1", ["10.50.0.0/16"])
    let former = ForwardZones([corp, try zone("inner.test2", ["10.50.0.0/16"]), try zone("plain.test3")])
    let narrowed = ForwardZones([corp, try zone("inner.test2"), try zone("plain.test3")])
    #expect(!narrowed.admitAsBefore(former, Messages.name("x.corp.test1")))
    #expect(!ForwardZones([corp]).admitAsBefore(former, Messages.name("x.corp.test1")))
    #expect(former.admitAsBefore(former, Messages.name("x.corp.test1")))
    // A name that no zone admits anything for had nothing.
    for name in ["y.plain.test3", "www.example.com"] {
      #expect(narrowed.admitAsBefore(former, Messages.name(name)))
    }
    #expect(!narrowed.admitAsBefore(former, Messages.name("y.inner.test2")))
  }

  @Test("a name belongs to the longest zone that it is or lies below, by whole labels")
  func longest() throws {
    let zones = ForwardZones([try zone("corp.example"), try zone("lab.corp.example"), try zone("lan")])
    let expected: [(String, Int?)] = [
      ("corp.example", 0), ("a.b.corp.example", 0), ("lab.corp.example", 1), ("x.lab.corp.example", 1),
      ("xlab.corp.example", 0), ("notcorp.example", nil), ("example", nil), ("lan", 2), ("nas.lan", 2),
      ("lan.example", nil),
    ]
    for (name, place) in expected { #expect(zones.place(of: Messages.name(name)) == place, "\(name)") }
    #expect(zones.place(of: [0]) == nil && zones.place(of: []) == nil)
    #expect(ForwardZones().place(of: Messages.name("corp.example")) == nil)
  }

  @Test(
    "no octets trap, whether they are a name or not",
    arguments: [[255], [3, 1], [0], [64, 0], [1, 1, 1]] as [[UInt8]])
  func malformed(octets: [UInt8]) throws {
    #expect(ForwardZones([try zone("corp.example")]).place(of: octets) == nil)
  }

  @Test("a chain admits what each of its names' zones admits")
  func chain() throws {
    let zones = ForwardZones([
      try zone("corp.example", ["10.0.0.0/8", "fd00::/8"]),
      try zone("lab.corp.example", ["10.5.0.0/16", "192.168.0.0/16"]),
    ])
    #expect(zones.privatePrefixes(of: names("a.corp.example", "b.corp.example")) == zones.zones[0].privatePrefixes)
    #expect(
      zones.privatePrefixes(of: names("a.corp.example", "b.lab.corp.example")).map(\.description) == ["10.5.0.0/16"])
    #expect(
      zones.privatePrefixes(of: names("b.lab.corp.example", "a.corp.example")).map(\.description) == ["10.5.0.0/16"])
    #expect(zones.privatePrefixes(of: names("a.corp.example", "cdn.example.net", "b.corp.example")).isEmpty)
    #expect(zones.privatePrefixes(of: names("cdn.example.net", "b.corp.example")).isEmpty)
    #expect(zones.privatePrefixes(of: []).isEmpty)
  }
}
