package import FirewallModel
import Glibc
import IPNetwork
import LinuxIO

/// Finds out how this kernel extends a live element, on a table of its own that is gone afterwards.
package enum RefreshProbe {
  /// `replace` works everywhere, so it is the answer whenever the trial itself fails.
  package static func run(_ transaction: ElementTransaction, _ kernel: KernelSets) -> RefreshMethod {
    let name = "sluice_probe_\(getpid())"
    let set = KernelSet(family: .inet, table: name, name: "probe")
    guard transaction.makeProbe(set) == 0 else { return .replace }
    defer { _ = transaction.deleteTable(set) }
    let shape = SetShape(family: .v4, kind: .anyPort)
    let address = IPAddress(v4: 0xC000_0201)
    // The same timeout twice is the hard case: what ends in 20 s of 60 has to end in 60 s again.
    let long = KernelElement(
      set: 0, key: shape.key(address: address, transport: 0, port: 0), lifetimeMilliseconds: 60_000)
    var short = long
    short.expirationMilliseconds = 20_000
    guard transaction.open([short], sets: [set], refresh: .inPlace) == 0,
      transaction.open([long], sets: [set], refresh: .inPlace) == 0
    else { return .replace }
    do throws(SystemError) {
      let found = try kernel.element(set, shape: shape, address: address, transport: 0, port: 0)
      return (found?.remainingMilliseconds ?? 0) > 40_000 ? .inPlace : .replace
    } catch {
      return .replace
    }
  }
}
