package import FirewallModel

/// What happens to the bridge without having been asked for.
package enum BridgeEvent: Hashable, Sendable {
  /// A new worker is at work: whatever is promised has to be committed again. The greeting names the usable sets.
  case up(BridgeGreeting)
  /// Both processes are gone: no commit will succeed any more.
  case down
  /// `servers`: in whose sets elements came or went; none where that is not known.
  case foreignChange(TableChange, servers: [UInt16])
  /// What went to open addresses since the last time.
  case volumes([ElementVolume])
  /// What went to prefixes that are open without a name.
  case prefixVolumes([PrefixVolume])
  /// What the table refused.
  case refusals([RefusedConnection])
  /// How much of it was told, for each server of which anything was refused.
  case books([RefusalBook])
  /// Whether it can be told what the table refuses; it could, if nothing was said.
  case refusalsRead(Bool)
  /// Something that the bridge cannot tell; it feeds all the same.
  case notice(String)
  /// Which interfaces are enclosed, and which networks none encloses.
  case enclosure(EnclosureReport)
  /// Another process took something out of the table just now; a `foreignChange` that says what follows.
  case alarm
  /// The bridge lives but cannot feed; the text says why.
  case broken(String)
  /// It acknowledged something before its turn, or what it was not asked for: what the kernel holds is not known.
  case disordered
  /// The bridge does not run, for all that is seen of it: what the kernel holds is not known.
  case silent
  /// It does again; what it has to tell of the time between comes first.
  case heard
}

/// Why a request to the bridge had no result.
package struct BridgeRequestFailure: Error, Hashable, CustomStringConvertible {
  package var refusal: BridgeRefusal?
  package var text: String

  package var description: String { text.isEmpty ? refusal.map { "\($0)" } ?? "the bridge is gone" : text }
}
