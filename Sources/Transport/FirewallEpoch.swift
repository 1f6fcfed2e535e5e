package import LinuxIO
import Synchronization

/// The firewall's epoch: it moves on whenever the kernel may have forgotten what was committed.
///
/// An answer may leave only if its grant was committed in the current epoch (P2).
package final class FirewallEpoch: Sendable {
  private let value = Atomic<UInt64>(1)
  private let alarms: SharedCounter?

  /// - Parameter alarms: what the bridge counts the moment it sees that something was taken out of the table: each ends the
  ///   epoch before any message of the bridge is read.
  package init(alarms: SharedCounter? = nil) { self.alarms = alarms }

  package var current: UInt64 { value.load(ordering: .acquiring) &+ (alarms?.value ?? 0) }

  package func advance() {
    value.wrappingAdd(1, ordering: .acquiringAndReleasing)
  }
}
