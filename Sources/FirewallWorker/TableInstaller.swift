import EgressPolicy
import FirewallModel
import IPNetwork
import LinuxIO
import NFTables

/// Brings the kernel's table in line with a plan, or says precisely why that cannot be.
struct TableInstaller {
  struct InstallationError: Error {
    var text: String
    /// The kernel could not be read, which says nothing of what is there.
    var isUnread = false
  }

  let kernel: KernelSets
  /// Learns the process id of every `nft` before it can change anything, and nil when it has ended.
  let working: (Int32?) -> Void
  /// What must not wait until `nft` has ended: news of others' changes.
  var watch: NftProgram.Watch?

  /// Whether a table bears the marks of a managed one: no other program's is ever changed or removed.
  static func isOurs(_ sets: [String: SetDescription]) -> Bool {
    sets["clients-4"] != nil && sets["servers-4"] != nil
  }

  /// Whether a managed table is there, or it cannot be known.
  func hasTable(_ plan: FirewallPlan) -> Bool {
    do throws(SystemError) {
      return Self.isOurs(try kernel.sets(family: plan.family, table: plan.table))
    } catch {
      return true
    }
  }

  /// Creates or repairs a managed table; elements of sets that stay are kept. Returns what can be fed.
  ///
  /// - Parameter owned: the table was Sluice's a moment ago. What another program put in its place goes, all of it.
  func install(
    _ plan: FirewallPlan, _ surroundings: Ruleset.Surroundings = .init(), owned: Bool = false
  ) throws(InstallationError) -> [ServerSets] {
    let existing = try read(plan)
    guard plan.mode == .managed else { return try verify(plan, existing) }
    var leftovers = Ruleset.Leftovers()
    do {
      try refuseMisshapen(plan, existing)
      leftovers = try self.leftovers(plan, surroundings, existing)
      leftovers.replacesTable = Self.hasOldLayout(plan, existing)
    } catch {
      guard owned, !error.isUnread else { throw error }
      leftovers.replacesTable = true
    }
    if leftovers.replacesTable {
      leftovers = Ruleset.Leftovers()
      leftovers.replacesTable = true
    }
    try apply { () throws(FirewallPlanError) in try Ruleset.render(plan, surroundings, removing: leftovers) }
    return plan.servers.map { server in
      server.isGone ? [] : server.opensAnyPort ? [.v4, .v6, .anyPort4, .anyPort6] : [.v4, .v6]
    }
  }

  /// Another enclosure around the plan that is installed.
  func enclose(
    _ plan: FirewallPlan, _ surroundings: Ruleset.Surroundings, instead former: Ruleset.Surroundings
  ) throws(InstallationError) {
    try apply { () throws(FirewallPlanError) in try Ruleset.render(plan, surroundings, instead: former) }
  }

  private func apply(_ render: () throws(FirewallPlanError) -> String) throws(InstallationError) {
    defer { working(nil) }
    do {
      try NftProgram.apply(try render(), watch: watch, started: working)
    } catch let failure as NftProgram.NftError {
      throw InstallationError(text: failure.text)
    } catch {
      throw InstallationError(text: "the plan is not valid: \(error)")
    }
  }

  /// Whether a managed table has sets without the counters and quotas that they have today: a set cannot be changed.
  private static func hasOldLayout(_ plan: FirewallPlan, _ existing: [String: SetDescription]) -> Bool {
    isOurs(existing)
      && plan.servers.flatMap(SetName.all(of:)).contains { name in
        guard let set = existing[name.text], name.cap?.kind != .perConnection else { return false }
        return !set.hasStatement
      }
  }

  private func read(_ plan: FirewallPlan) throws(InstallationError) -> [String: SetDescription] {
    do {
      return try kernel.sets(family: plan.family, table: plan.table)
    } catch {
      throw InstallationError(
        text: "the sets of table \(plan.family.name) \(plan.table) cannot be read: \(error)", isUnread: true)
    }
  }

  private func refuseMisshapen(_ plan: FirewallPlan, _ existing: [String: SetDescription]) throws(InstallationError) {
    for name in plan.servers.flatMap(SetName.all(of:)) {
      let shape = SetShape(family: name.family, kind: name.kind)
      if let fault = existing[name.text]?.fault(as: shape) {
        throw InstallationError(text: "table \(plan.family.name) \(plan.table): \(fault)")
      }
    }
  }

  /// Sets and chains that only Sluice can have made and that the plan does not name.
  private func leftovers(
    _ plan: FirewallPlan, _ surroundings: Ruleset.Surroundings, _ existing: [String: SetDescription]
  ) throws(InstallationError) -> Ruleset.Leftovers {
    let wanted = Set(plan.servers.flatMap(SetName.all(of:)))
    let stale = existing.values.compactMap { SetName($0.name) }.filter { name in
      let shape = SetShape(family: name.family, kind: name.kind)
      return !wanted.contains(name) && existing[name.text]?.fault(as: shape) == nil
        && existing[name.text]?.size == UInt32(FirewallPlan.setSize)
    }
    let chains: Set<String>
    do {
      chains = try kernel.chains(family: plan.family, table: plan.table)
    } catch {
      throw InstallationError(
        text: "the chains of table \(plan.family.name) \(plan.table) cannot be read: \(error)", isUnread: true)
    }
    guard Self.isOurs(existing) || chains.isDisjoint(with: ["forward", "input"]) else {
      throw InstallationError(text: "table \(plan.family.name) \(plan.table) exists and is not of our making")
    }
    let wantedChains = Set(Ruleset.chains(of: plan, surroundings) + Ruleset.deviceChains(surroundings))
    let wantedMaps = Set(Ruleset.hashedMaps(plan, surroundings.held))
    // A chain of a server that is gone, or of a part of the ruleset: no server's own name holds a '/'.
    let servers = Set(stale.map(\.server))
    let names = chains.subtracting(wantedChains).filter {
      Ruleset.isChain($0) && ($0.contains("/") || servers.contains($0))
    }
    var leftovers = Ruleset.Leftovers(chains: names.sorted(), sets: stale.sorted { $0.text < $1.text })
    let wantedCounters = Set(Ruleset.counters(of: plan))
    do {
      leftovers.counters = try kernel.counters(family: plan.family, table: plan.table).keys.filter {
        Ruleset.counted(by: $0) != nil && !wantedCounters.contains($0)
      }.sorted()
    } catch {
      throw InstallationError(
        text: "the counters of table \(plan.family.name) \(plan.table) cannot be read: \(error)", isUnread: true)
    }
    leftovers.maps = existing.keys.filter(Ruleset.isNetworkTable).filter { !wantedMaps.contains($0) }.sorted()
    return leftovers
  }

  /// Mode `sets`: the user's table must hold at least one set for each server, of a shape that can be fed.
  private func verify(_ plan: FirewallPlan, _ existing: [String: SetDescription]) throws(InstallationError)
    -> [ServerSets]
  {
    let table = "table \(plan.family.name) \(plan.table)"
    var result: [ServerSets] = []
    for server in plan.servers {
      var sets: ServerSets = []
      for family in plan.addressFamilies {
        sets.formUnion(try usable(server, family, existing, table))
      }
      guard !sets.isEmpty || server.isGone else {
        let names = plan.addressFamilies.map { "\(server.name)-\($0.rawValue)" }.joined(separator: " nor ")
        throw InstallationError(text: "\(table) holds neither set \(names)")
      }
      result.append(sets)
    }
    return result
  }

  private func usable(
    _ server: FirewallPlan.Server, _ family: IPAddress.Family, _ existing: [String: SetDescription], _ table: String
  ) throws(InstallationError) -> ServerSets {
    let name = SetName(server: server.name, family: family, kind: .ports).text
    guard let main = existing[name] else { return [] }
    let v4 = family == .v4
    let plain = SetShape(family: family, kind: .anyPort)
    if main.keyType == plain.keyType {
      if let fault = main.fault(as: plain) {
        throw InstallationError(text: "\(table): \(fault)")
      }
      return v4 ? [.v4, .plain4] : [.v6, .plain6]
    }
    let ports = SetShape(family: family, kind: .ports)
    if let fault = main.fault(as: ports) {
      let isOtherType = main.keyType != ports.keyType
      throw InstallationError(
        text: "\(table): \(fault)\(isOtherType ? ", and it is no set of plain addresses either" : "")")
    }
    var sets: ServerSets = v4 ? .v4 : .v6
    if server.opensAnyPort {
      let anyName = SetName(server: server.name, family: family, kind: .anyPort).text
      guard let any = existing[anyName] else {
        throw InstallationError(text: "\(table) lacks set \(anyName), which a rule with ports: any needs")
      }
      if let fault = any.fault(as: plain) {
        throw InstallationError(text: "\(table): \(fault)")
      }
      sets.insert(v4 ? .anyPort4 : .anyPort6)
    }
    return sets
  }
}
