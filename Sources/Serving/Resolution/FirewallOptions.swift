import GrantLedger
import Settings

/// What the resolver's thread has to know of how addresses are opened and closed.
struct FirewallOptions {
  /// Elements of a commit that no query waits for: few, because those of queries come behind them.
  static let unit = 256

  /// Milliseconds; a commit later than this is a failure.
  var commitDeadline: UInt64
  /// In the user's own sets, what never expires is the user's.
  var isManaged: Bool
  /// Family and name of the table.
  var table: String
  /// The state folder.
  var state: String
  /// Whether connections to an address that is closed early are cut.
  var cutsFlows: Bool
  /// Nanoseconds after its first opening until which an address in use stays open; nil: not at all.
  var keepInUse: UInt64?
  /// Nanoseconds; the bridge opens nothing for longer.
  var longestLifetime: UInt64
  /// Seconds between two events of a destination's volume; nil: none.
  var volumeInterval: UInt64?
  /// Whether refused connections are recorded.
  var recordsRefusals: Bool

  init(_ settings: Settings) {
    let firewall = settings.firewall
    commitDeadline = UInt64(firewall.deadlineMilliseconds)
    isManaged = firewall.mode == .managed
    table = "\(firewall.family) \(firewall.table)"
    state = settings.state
    cutsFlows = firewall.cutFlows
    keepInUse = firewall.keepInUseSeconds.map { UInt64($0) * 1_000_000_000 }
    longestLifetime = Self.longestLifetime(firewall)
    volumeInterval = settings.audit.volumeSeconds.map { UInt64($0) }
    recordsRefusals = settings.audit.drops
  }

  /// Nanoseconds for which one commit opens an address at the most.
  static func longestLifetime(_ firewall: FirewallSettings) -> UInt64 {
    max(
      UInt64(firewall.maxLifetime) * 1_000_000_000,
      firewall.keepInUseSeconds == nil ? 0 : ResolutionService.inUseExtension)
  }
}

extension GrantLedger {
  /// An empty one, bounded as the configuration says.
  init(_ firewall: FirewallSettings) {
    let second: UInt64 = 1_000_000_000
    self.init(
      lifetimes: Lifetimes(
        minimum: UInt64(firewall.minLifetime) * second, grace: UInt64(firewall.grace) * second,
        maximum: UInt64(firewall.maxLifetime) * second),
      maxElementsPerServer: firewall.maxElementsPerServer, maxElementsPerName: firewall.maxElementsPerName)
  }
}
