import FirewallModel
import LinuxIO
import NFTables

/// Watching what others do to the table, and putting it right.
extension BridgeWorker {
  private func drain(_ plan: FirewallPlan) -> TableChanges {
    watcher.drain(family: plan.family, table: plan.table)
  }

  func watch() {
    guard let plan = writer?.plan else {
      _ = watcher.drain(family: .inet, table: "")
      return
    }
    let news = drain(plan)
    guard !news.isEmpty else { return }
    repair(news)
  }

  /// Says what happened, and puts a managed table back or looks at the user's again.
  func repair(_ news: TableChanges) {
    guard let plan = writer?.plan else { return }
    if news.isHarmful || news.changes.contains(.elementsRemoved) { writer?.forgetHours() }
    switch plan.mode {
    case .managed: reinstall(plan, news)
    case .sets: verify(plan, news)
    }
  }

  /// Says what happened, puts a managed table back and says that too: serve must not hand out an address from its
  /// caches while the table is being written.
  private func reinstall(_ plan: FirewallPlan, _ news: TableChanges) {
    var report = news
    let now = MonotonicTime.now().nanoseconds
    if news.isHarmful { needsRepair = true }
    if needsRepair, now >= nextRepair {
      sendChanges(news, plan)
      // What was refused until now, and what the counters that went with the table had not told.
      settleBooks(closes: true)
      // Another program may change it again meanwhile; a few times, then the pause holds.
      for _ in 0..<Self.repairsInARow {
        newsWhileInstalling = TableChanges()
        lookAround(plan)
        guard putBack(plan) else { break }
        report.changes.insert(.reinstalled)
        var more = drain(plan)
        more.formUnion(newsWhileInstalling)
        report.formUnion(more)
        guard more.isHarmful else {
          needsRepair = false
          break
        }
        report.changes.remove(.reinstalled)
        sendChanges(more, plan)
      }
      if needsRepair { nextRepair = MonotonicTime.now().nanoseconds &+ Self.repairPause }
    }
    sendChanges(report, plan)
  }

  /// Installs the table anew; false where that is not possible.
  private func putBack(_ plan: FirewallPlan) -> Bool {
    do throws(TableInstaller.InstallationError) {
      _ = try installer.install(plan, surroundings, owned: true, isClosed: closing.wakings != nil)
      installFault = nil
      return true
    } catch {
      tellOnce(error)
      return false
    }
  }

  /// Lets go of the closing rules where the table is known to be whole.
  func reopen() {
    guard !needsRepair, let wakings = closing.wakings else { return }
    // What the kernel has told since is looked at first.
    watch()
    if !needsRepair { closing.sleep(since: wakings) }
  }

  /// Has the closing rules ready for the networks and interfaces as they are.
  func prepareToClose(_ plan: FirewallPlan, _ surroundings: Ruleset.Surroundings) {
    let error = closing.prepare(
      plan.mode == .managed ? ClosingRules(plan, surroundings) : nil, reading: kernel)
    guard error != 0 else { return }
    answer(
      .notice(
        "the rules that close at once cannot be prepared (\(SystemError(call: "nf_tables", errno: error))): after a foreign "
          + "flush packets pass until the table is back"))
  }

  /// The user's table: what of it may have gone or changed its shape is looked at again, and never written.
  private func verify(_ plan: FirewallPlan, _ news: TableChanges) {
    // Rules are the user's own, and so is every set that no server of the plan has.
    if !news.changes.isDisjoint(with: [.elementsAdded, .elementsRemoved, .unknown]) { writer?.learnPermanent() }
    let told = TableChanges(changes: news.changes.subtracting(.rulesChanged), sets: news.sets)
    guard news.isHarmful else { return sendChanges(told, plan) }
    if !told.isEmpty { sendChanges(told, plan) }
    let wasBroken = needsRepair
    do {
      let sets = try installer.install(plan)
      guard wasBroken || sets != writer?.serverSets || !told.isEmpty else { return }
      try follow(plan)
    } catch {
      needsRepair = true
      nextRepair = MonotonicTime.now().nanoseconds &+ Self.repairPause
      if !wasBroken { broken(error.text) }
    }
  }

  /// Tells serve at once what others do while `nft` works for the worker.
  func announce() {
    guard let plan = writer?.plan else { return }
    let news = drain(plan)
    guard !news.isEmpty else { return }
    newsWhileInstalling.formUnion(news)
    sendChanges(news, plan)
  }

  private func sendChanges(_ news: TableChanges, _ plan: FirewallPlan) {
    answer(.foreignChange(news.changes, servers: news.servers(of: plan)))
  }

  func isMissing(_ plan: FirewallPlan) -> Bool {
    do throws(SystemError) {
      return try kernel.sets(family: plan.family, table: plan.table).isEmpty
    } catch {
      // What cannot be read is looked at again, as what is not there is.
      return true
    }
  }
}
