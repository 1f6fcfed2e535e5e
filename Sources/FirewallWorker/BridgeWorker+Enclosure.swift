import BridgeProcesses
import FirewallModel
import HostNetwork
import LinuxIO

/// Keeping the table's enclosure as the host's own network is, and its held networks as the state folder says.
extension BridgeWorker {
  /// Milliseconds: a command that releases a network is done by then.
  private static let lockPatience: UInt64 = 1_000

  /// Installs a plan with what surrounds it, and takes note of what it governs.
  func install(_ plan: FirewallPlan) throws(TableInstaller.InstallationError) -> [ServerSets] {
    guard plan.mode == .managed else {
      if bounds.envelope != nil { host = try host(plan, []) }
      return try installer.install(plan)
    }
    guard let state = state.map({ StateFolder(descriptor: $0, table: plan.table) }) else {
      var networks = HeldNetworks()
      return try install(plan, &networks)
    }
    return try state.locked(patience: Self.lockPatience) { isAlone throws(TableInstaller.InstallationError) in
      if !isAlone {
        BridgeProcess.writeError("the list of governed networks is locked by another process: going on without")
      }
      var networks: HeldNetworks
      do throws(SystemError) {
        networks = try state.readNetworks()
      } catch {
        // A table that is there goes on to hold what the list named; none at all would hold no network.
        guard !installer.hasTable(plan) else { throw TableInstaller.InstallationError(text: "\(error)") }
        BridgeProcess.writeError("\(error): networks that no policy governs any more are open until it can be read")
        networks = HeldNetworks()
        return try install(plan, &networks)
      }
      let sets = try install(plan, &networks)
      do throws(StateFolder.FolderError) {
        try state.write(networks)
      } catch {
        throw TableInstaller.InstallationError(text: error.description)
      }
      return sets
    }
  }

  private func install(
    _ plan: FirewallPlan, _ networks: inout HeldNetworks
  ) throws(TableInstaller.InstallationError) -> [ServerSets] {
    let held: [HeldNetwork]
    do throws(HeldNetworks.TooManyError) {
      held = try networks.govern(plan)
    } catch {
      throw TableInstaller.InstallationError(text: error.description)
    }
    host = try host(plan, held)
    let next = Ruleset.Surroundings(plan, held: held, host: host)
    let sets = try write(plan, next)
    surroundings = next
    return sets
  }

  /// Writes the table. Nothing passes while one that other programs may change gives way to one that is Sluice's alone. That is
  /// done at the start alone, before anything is promised by what is open in it, and where nft would take the new one.
  private func write(
    _ plan: FirewallPlan, _ next: Ruleset.Surroundings
  ) throws(TableInstaller.InstallationError) -> [ServerSets] {
    guard incarnation == 1, writer == nil, installer.mustReplace(plan) else { return try installer.install(plan, next) }
    try installer.checkReplacement(plan, next)
    prepareToClose(plan, next)
    closing.wake()
    do {
      return try installer.install(plan, next, isClosed: closing.wakings != nil)
    } catch {
      if error.isTorn { needsRepair = true }
      throw error
    }
  }

  /// Says where other programs may change a table that was to be Sluice's alone.
  func tellExclusiveness(_ plan: FirewallPlan) {
    guard plan.mode == .managed, plan.isExclusive, !installer.isExclusive(plan) else { return }
    answer(
      .notice(
        installer.owner?.isSupported == true
          ? "firewall.exclusive is not in force: the table cannot be owned yet, and other programs may flush it"
          : "firewall.exclusive is not in force: it takes Linux 6.9, and other programs may flush the table"))
  }

  /// What surrounds the plan now, as far as it can be read, before its rules are put back.
  func lookAround(_ plan: FirewallPlan) {
    do throws(TableInstaller.InstallationError) {
      let host = try host(plan, surroundings.held)
      learn(host)
      surroundings = Ruleset.Surroundings(plan, held: surroundings.held, host: host)
      prepareToClose(plan, surroundings)
    } catch {
      // An enclosure that is late is better than no table.
      answer(.notice("the rules go by the host's network as it was before: \(error.text)"))
    }
  }

  /// Looks at links, addresses and routes again after the kernel told of others.
  func watchHost() {
    guard routes.drain() else { return }
    guard let plan = writer?.plan else { return }
    let isManaged = plan.mode == .managed
    guard isManaged ? !needsRepair : bounds.envelope != nil else { return }
    do throws(TableInstaller.InstallationError) {
      learn(try host(plan, isManaged ? surroundings.held : []))
    } catch {
      // A managed table is written anew with what surrounds it then; of a user's table nothing depends on it but bounds,
      // which stay as they were until the kernel tells of another change.
      if isManaged { needsRepair = true }
      return
    }
    guard isManaged else { return }
    let next = Ruleset.Surroundings(plan, held: surroundings.held, host: host)
    guard next != surroundings else { return }
    guard next.enclosure.links != surroundings.enclosure.links else {
      surroundings = next
      return reportEnclosure(plan)
    }
    do {
      try installer.enclose(plan, next, instead: surroundings)
      surroundings = next
      prepareToClose(plan, surroundings)
      reportEnclosure(plan)
    } catch {
      // The table is not as it was believed to be.
      surroundings = next
      needsRepair = true
    }
  }

  /// What can matter of the host's network: a router's million routes do not.
  private func host(_ plan: FirewallPlan, _ held: [HeldNetwork]) throws(TableInstaller.InstallationError) -> HostNetwork
  {
    let relevance = Enclosure.Relevance(plan, held: held.map(\.prefix))
    do {
      return try routes.read { relevance.contains($0) }
    } catch {
      throw TableInstaller.InstallationError(text: "the host's interfaces and routes cannot be read: \(error)")
    }
  }

  /// Tells serve what is enclosed and what is not.
  func reportEnclosure(_ plan: FirewallPlan) {
    answer(.enclosure(EnclosureReport(surroundings.enclosure)))
  }
}
