import FirewallModel
import NFTables
import IPNetwork

/// The sets of the host, read straight from the kernel: some microseconds a question.
final class KernelView {
  private let sets: KernelSets
  private let table: String

  init(_ bed: Testbed, table: String = "sluice") throws {
    sets = try bed.host.perform { try KernelSets() }
    self.table = table
  }

  /// Whether the server's set holds the address with port 443 over TCP.
  func holds(_ address: IPAddress, server: String = "github-mcp") throws -> Bool {
    let name = SetName(server: server, family: address.family, kind: .ports)
    let element = try sets.element(
      KernelSet(family: .inet, table: table, name: name.text), shape: SetShape(family: address.family, kind: .ports),
      address: address, transport: 6, port: 443)
    return element != nil
  }

  /// Seconds until the element is gone; nil for none.
  func remaining(_ address: IPAddress, server: String = "github-mcp") throws -> Double? {
    let name = SetName(server: server, family: address.family, kind: .ports)
    let element = try sets.element(
      KernelSet(family: .inet, table: table, name: name.text), shape: SetShape(family: address.family, kind: .ports),
      address: address, transport: 6, port: 443)
    return element?.remainingMilliseconds.map { Double($0) / 1_000 }
  }
}
