import CNetfilter
import FirewallModel
import Glibc
import TestSupport
import Testing

@testable import NFTables

@Suite("Dumps of nf_tables", .enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)), .serialized)
struct DumpTests {
  private static let count = 2_000

  /// A table with chains that take many messages to tell.
  private static func fill() throws {
    try Kernel.run(
      "(echo 'add table inet t'; for i in $(seq \(count)); do echo \"add chain inet t c$i\"; done) | nft -f -")
  }

  /// Dumps the chains, and changes something in the middle of each of the first `interruptions` dumps.
  private func dump(
    _ socket: NetlinkSocket, interruptions: Int
  ) throws -> (begun: Int, chains: Int) {
    var (begun, chains) = (0, 0)
    try unsafe socket.dump(
      NetlinkSocket.DumpRequest(type: nfTables(NFT_MSG_GETCHAIN), family: FirewallPlan.Family.inet.rawValue),
      { _ in },
      begin: {
        begun += 1
        chains = 0
      },
      { _ in
        chains += 1
        if chains == 1, begun <= interruptions { _ = try? Kernel.run("nft 'add table inet x; delete table inet x'") }
      })
    return (begun, chains)
  }

  @Test("one that a change interrupts is read again from its beginning, and one that none does is read once")
  func interrupted() throws {
    try Kernel.inNamespace {
      try Self.fill()
      let socket = try NetlinkSocket()
      #expect(try dump(socket, interruptions: 0) == (1, Self.count))
      #expect(try dump(socket, interruptions: 2) == (3, Self.count))
      #expect(try KernelSets(socket).chains(family: .inet, table: "t").count == Self.count)
    }
  }

  @Test("one that changes interrupt for ever stands as it is the last time")
  func endless() throws {
    try Kernel.inNamespace {
      try Self.fill()
      let socket = try NetlinkSocket()
      #expect(try dump(socket, interruptions: 100).begun == 5)
      #expect(try KernelSets(socket).chains(family: .inet, table: "t").count == Self.count)
    }
  }
}
