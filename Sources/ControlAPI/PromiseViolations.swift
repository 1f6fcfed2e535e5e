/// How often it was seen that a promise did not hold, since the start: all of them stay 0 while all is well.
package struct PromiseViolations: Sendable, Codable {
  /// P2: what was committed was not in the kernel any more: elements, sets, rules or the table were taken away.
  package var missing: UInt64 = 0
  /// P2, P3: the kernel refused a connection to what was open by then.
  package var refused: UInt64 = 0
  /// P4: elements were in the kernel without a grant.
  package var strangers: UInt64 = 0
  /// P6: damaged stretches of the audit rings.
  package var unrecorded: UInt64 = 0

  package init() {}

  /// With the promise that each is about.
  package var kinds: [(promise: String, kind: String, count: UInt64)] {
    [
      ("P2", "missing", missing), ("P3", "refused", refused), ("P4", "strangers", strangers),
      ("P6", "unrecorded", unrecorded),
    ]
  }
}
