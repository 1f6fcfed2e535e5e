import Synchronization

/// The firewall's epoch: it moves on whenever the kernel may have forgotten what was committed.
///
/// An answer may leave only if its grant was committed in the current epoch (P2).
package final class FirewallEpoch: Sendable {
  private let value = Atomic<UInt64>(1)
  private let alarms: @Sendable () -> UInt64

  /// - Parameter alarms: how often the bridge saw that something was taken out of the table, counted the moment it sees
  ///   it: each ends the epoch before any message of the bridge is read.
  package init(alarms: @escaping @Sendable () -> UInt64 = { 0 }) { self.alarms = alarms }

  package var current: UInt64 { value.load(ordering: .acquiring) &+ alarms() }

  /// Ends the epoch: what was committed in it is committed again before an answer leaves.
  package func advance() {
    value.wrappingAdd(1, ordering: .acquiringAndReleasing)
  }
}
