import BridgeProcesses
import FirewallModel
import NFTables
import FirewallWorker
import ControlAPI
import EgressPolicy
import Glibc
import LinuxIO
import Serving
import Settings

/// `firewall install --state`: the rules, before any container starts and whatever has become of the configuration.
///
/// From the configuration; where that is broken, as they were last in force; where nothing is remembered either, not at
/// all, and who requires them does not start.
struct EarlyRules {
  let configuration: String
  /// The folder of `RememberedRules`.
  let state: String

  /// - Throws: `StartError` where no rules are in force in the end.
  func install() throws(StartError) {
    let loaded = SettingsLoader.load(path: configuration)
    for finding in loaded.diagnostics where finding.severity == .error { StandardError.write(finding.description) }
    guard let settings = loaded.settings else {
      return try restore("\(configuration) is broken")
    }
    guard settings.firewall.mode == .managed else {
      StandardError.write("sluice: firewall.mode is \(settings.firewall.mode): table and rules are not ours to write")
      return remember(settings)
    }
    // A folder of policies that was emptied is no reason to let everything out.
    if settings.policies.isEmpty, hasRemembered {
      return try restore("\(configuration) holds no policy at all")
    }
    do throws(StartError) {
      let table = settings.firewall.table
      guard let lock = try lock(table) else {
        return StandardError.write("sluice: a running sluice holds table inet \(table): its rules are in force")
      }
      _ = try BridgeSession(FirewallPlan(settings, settings.policies.inForceNow()), state: settings.state)
      _ = consume lock
    } catch {
      return try restore(error.reason)
    }
    remember(settings)
  }

  /// Remembers what a configuration wants, if it can be used.
  ///
  /// - Throws: `StartError` where it cannot; then what was remembered stays.
  static func remember(_ settings: Settings, in state: String) throws(StartError) {
    let time = ControlAPI.time(nanoseconds: WallClock.nanoseconds())
    guard settings.firewall.mode == .managed else {
      return try RememberedRules(table: nil, time: time, text: "").write(state)
    }
    guard !settings.policies.isEmpty else {
      throw StartError("there is no policy at all: what was remembered stays")
    }
    // When they are needed, the time of what has an end may be over.
    let plan = FirewallPlan(settings, settings.policies.map { $0.inForce(at: .max) })
    let text: String
    do {
      text = try Ruleset.render(plan, Ruleset.Surroundings(plan, state: settings.state), hooksDevices: false)
    } catch let error as FirewallPlanError {
      throw StartError("the plan is not valid: \(error.reason)")
    } catch {
      throw StartError("interfaces and routes cannot be read: \(error)")
    }
    try RememberedRules(table: plan.table, time: time, text: text).write(state)
  }

  // MARK: - Parts

  /// Whether rules of a table were remembered; that what was cannot be read is told.
  private var hasRemembered: Bool {
    do throws(StartError) {
      return try RememberedRules.read(state)?.table != nil
    } catch {
      StandardError.write("sluice: warning: what was last in force cannot be used: \(error.reason)")
      return false
    }
  }

  /// The rules are in force: that they cannot be remembered is told, and no more.
  private func remember(_ settings: Settings) {
    do {
      try Self.remember(settings, in: state)
    } catch {
      StandardError.write("sluice: warning: the rules in force are not remembered: \(error.reason)")
    }
  }

  private func restore(_ reason: String) throws(StartError) {
    let found: RememberedRules?
    do throws(StartError) {
      found = try RememberedRules.read(state)
    } catch {
      throw StartError("\(reason); what was last in force cannot be used: \(error.reason)")
    }
    guard let rules = found else {
      throw StartError("\(reason), and no rules that were in force are remembered in \(state): mend the configuration")
    }
    guard let table = rules.table else {
      return StandardError.write(
        "sluice: \(reason); the rules were not ours to write on \(rules.time), and are not now")
    }
    guard let lock = try lock(table) else {
      return StandardError.write(
        "sluice: \(reason); a running sluice holds table inet \(table): its rules stay in force")
    }
    do {
      try EarlierRuleset.install(rules.text, table: table)
    } catch {
      throw StartError("\(reason), and the rules remembered on \(rules.time) cannot be installed: \(error.text)")
    }
    _ = consume lock
    StandardError.write(
      "sluice: \(reason): table inet \(table) is as it was on \(rules.time), and no name is answered until that is mended"
    )
  }

  /// The table's lock; nil where a running sluice has it, and the table is there.
  ///
  /// - Throws: `StartError` where the lock is held for nothing.
  private func lock(_ table: String) throws(StartError) -> TableLock? {
    let wait = LockWait(table: table, since: MonotonicTime.now())
    while true {
      do {
        return try TableLock(family: .inet, table: table)
      } catch is TableLock.TakenError {
        let found = Result { () throws(StartError) in try isInstalled(table) }
        if try wait.isInForce(found, now: MonotonicTime.now()) { return nil }
        usleep(LockWait.rhythm)
      } catch {
        throw StartError("firewall.table: \(error)")
      }
    }
  }

  private func isInstalled(_ table: String) throws(StartError) -> Bool {
    do throws(SystemError) {
      return try EarlierRuleset.isInstalled(table: table)
    } catch {
      throw StartError("table inet \(table), which another process holds, cannot be read: \(error)")
    }
  }
}
