import DNSWire
import Foundation
import IPNetwork
import Testing

extension EndToEnd {
  @Suite("Commit before answer", .timeLimit(.minutes(5)))
  struct CommitTests {
    @Test("a thousand names in a row: the kernel holds each address when its answer arrives")
    func thousandInARow() throws {
      try Testbed.run { (bed: Testbed) throws in
        let kernel = try KernelView(bed)
        let socket = try bed.socket()
        var misses = 0
        for index in 0..<1_000 {
          let reply = try #require(socket.ask(Question("n\(index).bulk.net"), id: UInt16(index)), "n\(index)")
          let address = try #require(reply.addresses.first, "n\(index): \(reply.code)")
          if try !kernel.holds(address) { misses += 1 }
        }
        #expect(misses == 0)
        let listing = try bed.nft("list set inet sluice github-mcp-4")
        for index in 0..<1_000 {
          #expect(listing.contains("\(TestbedSettings.address(0x1000 + index)) . tcp . 443"))
        }
      }
    }

    @Test("an answer's address accepts a connection at once, also under load")
    func connectableUnderLoad() throws {
      try Testbed.run { (bed: Testbed) throws in
        let load = try Load((0..<10_000).map { "n\($0).load.net" }, queriesPerSecond: 500, on: bed)
        let kernel = try KernelView(bed)
        let socket = try bed.socket()
        // At least 500 names, and long enough that the load has sent 1,000 queries.
        let end = Date() + 3
        var asked = 0
        while asked < 500 || Date() < end {
          let name = "n\(asked % 1_000).bulk.net"
          let reply = try #require(socket.ask(Question(name), id: UInt16(truncatingIfNeeded: asked)))
          let address = try #require(reply.addresses.first, "\(name) has no address")
          #expect(try kernel.holds(address))
          #expect(try bed.connects(address.description), "\(name)")
          asked += 1
        }
        #expect(try load.stop() > 500)
      }
    }

    @Test("an answer from the cache is committed again when its element is gone")
    func cacheHit() throws {
      try Testbed.run { (bed: Testbed) throws in
        let kernel = try KernelView(bed)
        let socket = try bed.socket()
        let address = try #require(IPAddress("45.11.0.10"))
        #expect(socket.ask(Question("api.github.com"), id: 1)?.addresses == [address])
        _ = try bed.nft("delete element inet sluice github-mcp-4 { 45.11.0.10 . tcp . 443 }")
        let packets = try bed.upstream.packets()
        try eventually("an answer with an address") {
          let reply = socket.ask(Question("api.github.com"), id: 2)
          guard reply?.addresses == [address] else { return false }
          let isHeld = try kernel.holds(address)
          #expect(isHeld)
          return true
        }
        #expect(try bed.upstream.packets() == packets, "it came from the cache")
      }
    }
  }
}
