/// What every thread that answers queries shares.
package struct SharedState: Sendable {
  /// Nanoseconds of the monotonic clock, and nanoseconds since 1970, UTC.
  package typealias Clocks = @Sendable () -> (monotonic: UInt64, wall: UInt64)

  package let current: CurrentSnapshot
  package let epoch: FirewallEpoch
  package let audit: any AuditGate
  private let clocks: Clocks
  package let resolveInterface: @Sendable (String) -> UInt32
  /// Takes the questions that need upstream or the firewall.
  package let sink: PendingSink

  /// - Parameters:
  ///   - clocks: reads the clocks; called from any thread.
  ///   - resolveInterface: the index of an interface by name, 0 for none; called from any thread.
  package init(
    current: CurrentSnapshot, epoch: FirewallEpoch, audit: any AuditGate, clocks: @escaping Clocks,
    resolveInterface: @escaping @Sendable (String) -> UInt32, sink: @escaping PendingSink
  ) {
    self.current = current
    self.epoch = epoch
    self.audit = audit
    self.clocks = clocks
    self.resolveInterface = resolveInterface
    self.sink = sink
  }

  /// Reads the clocks and the firewall's epoch.
  package func clock() -> QueryClock {
    let (monotonic, wall) = clocks()
    return QueryClock(monotonic: monotonic, wall: wall, epoch: epoch.current)
  }
}
