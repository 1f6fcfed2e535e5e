import FirewallModel
import NFTables
import TestSupport
import Testing

@testable import FirewallWorker

@Suite("Whose a refused packet is")
struct RefusalPrefixTests {
  private static let v4: [UInt8] =
    [0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 77, 1, 2, 45, 11, 0, 66] + [0x9C, 0xFC, 0x01, 0xBB, 0, 0, 0, 0]

  @Test("only the table's own words make an event")
  func prefixes() throws {
    try Kernel.inNamespaceIfRoot {
      let socket = try NetlinkSocket()
      let kernel = KernelSets(socket)
      let plan = FirewallPlan.sample()
      let worker = ElementWriter(
        plan: plan, serverSets: [], refresh: .inPlace, transaction: ElementTransaction(socket), kernel: kernel)
      func kind(_ prefix: String) -> (RefusedConnection.Kind, UInt16?)? {
        RefusedPacket(prefix: prefix, packet: Self.v4, time: 7).flatMap(worker.connection).map { ($0.kind, $0.server) }
      }
      #expect(kind("sluice github-mcp ")! == (.closed, 0))
      #expect(kind("sluice db_tools max-bytes ")! == (.maxBytes, 1))
      #expect(kind("sluice db_tools max-bytes-per-hour ")! == (.maxBytesPerHour, 1))
      #expect(kind("sluice db_tools over-max-bytes ")! == (.overMaxBytes, 1))
      #expect(kind("sluice db_tools over-max-bytes-per-hour ")! == (.overMaxBytesPerHour, 1))
      #expect(kind("sluice github-mcp spoofed ")! == (.spoofed, 0))
      #expect(kind("sluice github-mcp unconnected ")! == (.unconnected, 0))
      #expect(kind("sluice github-mcp unreachable ")! == (.unreachable, 0))
      #expect(kind("sluice host ")! == (.host, nil))
      for foreign in [
        "", "sluice", "sluice host unconnected ", "sluice host spoofed or not ", "sluice nobody ", "other github-mcp ",
        "sluice github-mcp why not ", "sluice github-mcp odd ",
      ] {
        #expect(kind(foreign) == nil, "\(foreign)")
      }
    }
  }
}

extension Kernel {
  /// As `inNamespace`, and nothing at all without root.
  fileprivate static func inNamespaceIfRoot(_ body: () throws -> Void) throws {
    guard isRoot else { return print(reason) }
    try inNamespace(body)
  }
}
