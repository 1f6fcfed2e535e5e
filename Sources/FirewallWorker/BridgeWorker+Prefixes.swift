import FirewallModel
import LinuxIO
import NFTables

/// Telling serve what was sent to what `cidr:` entries open, where it asks for that.
extension BridgeWorker {
  struct PrefixVolumes {
    /// Nil where the plan asks for none, or the kernel has not told yet.
    var readings: PrefixReadings?
    /// When the counters are to be read next, nanoseconds.
    var due = UInt64.max
    /// What serve had no room for yet.
    var untold = UntoldQueue<PrefixVolume>()
  }

  /// Begins to count for a plan that is in force, or goes on: the counters outlive a plan.
  func countPrefixes(_ plan: FirewallPlan) {
    guard plan.harvestSeconds > 0, plan.mode == .managed, plan.servers.contains(where: { !$0.staticRules.isEmpty })
    else {
      prefixes = PrefixVolumes()
      return
    }
    if prefixes.readings == nil { prefixes.readings = prefixCounts(plan).map { PrefixReadings($0) } }
    prefixes.due = MonotonicTime.now().nanoseconds &+ UInt64(plan.harvestSeconds) * 1_000_000_000
  }

  /// Reads what is due, and tells as much as serve has room for.
  func readPrefixes() {
    let now = MonotonicTime.now().nanoseconds
    // What serve does not take stays in the kernel's counters.
    if now >= prefixes.due, prefixes.untold.isEmpty, let plan = writer?.plan {
      prefixes.due = now &+ UInt64(plan.harvestSeconds) * 1_000_000_000
      takePrefixes(plan)
    }
    prefixes.untold.tell(atOnce: BridgeMessage.maximumVolumes) { sendNotice(.prefixVolumes($0)) }
  }

  /// Tells all that was counted by now, by the numbers that servers have in the plan that was in force.
  func tellAllPrefixes() {
    if prefixes.readings != nil, let plan = writer?.plan { takePrefixes(plan) }
    prefixes.untold.tell(atOnce: BridgeMessage.maximumVolumes) { part in
      answer(.prefixVolumes(part))
      return true
    }
  }

  private func takePrefixes(_ plan: FirewallPlan) {
    guard let counts = prefixCounts(plan) else { return }
    guard let news = prefixes.readings?.read(counts) else {
      prefixes.readings = PrefixReadings(counts)
      return
    }
    let volumes = news.compactMap { name, counted -> PrefixVolume? in
      guard let (server, prefix) = Ruleset.opened(by: name), let index = writer?.serverIndex(server) else { return nil }
      return PrefixVolume(server: index, prefix: prefix, octets: counted.octets, packets: counted.packets)
    }
    prefixes.untold.append(contentsOf: volumes)
  }

  private func prefixCounts(_ plan: FirewallPlan) -> [String: ElementCounts]? {
    do throws(SystemError) {
      return try kernel.counters(family: plan.family, table: plan.table).filter { Ruleset.opened(by: $0.key) != nil }
    } catch {
      // Without an answer it is told with the next reading.
      return nil
    }
  }
}
