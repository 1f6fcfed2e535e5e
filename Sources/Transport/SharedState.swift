package import LinuxIO
package import Resolver

/// The face of the audit log that the query paths need.
package protocol AuditGate: Sendable {
  /// True while the log cannot be written.
  var isBlocked: Bool { get }
  /// Wakes the writer.
  func wake()
}

/// What every thread that answers queries shares.
package struct SharedState: Sendable {
  package let current: CurrentSnapshot
  package let epoch: FirewallEpoch
  package let audit: any AuditGate
  package let resolveInterface: @Sendable (String) -> UInt32
  /// Takes the questions that need upstream or the firewall.
  package let sink: PendingSink
  private let clocks: Clocks

  package init(
    current: CurrentSnapshot, epoch: FirewallEpoch, audit: any AuditGate,
    resolveInterface: @escaping @Sendable (String) -> UInt32, clocks: Clocks = .kernel, sink: @escaping PendingSink
  ) {
    self.current = current
    self.epoch = epoch
    self.audit = audit
    self.resolveInterface = resolveInterface
    self.clocks = clocks
    self.sink = sink
  }

  /// Reads the clocks and the firewall's epoch.
  package func clock() -> QueryClock {
    QueryClock(monotonic: clocks.monotonic().nanoseconds, wall: clocks.wall(), epoch: epoch.current)
  }
}
