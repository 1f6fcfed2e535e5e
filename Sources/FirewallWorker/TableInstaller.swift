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
    /// What was there is gone, and nothing came in its place.
    var isTorn = false
  }

  let kernel: KernelSets
  /// Learns the process id of every `nft` before it can change anything, and nil when it has ended.
  let working: (Int32?) -> Void
  /// Keeps the table from other programs where a plan wants that; nil where none can.
  var owner: TableOwner?
  /// What must not wait until `nft` has ended: news of others' changes.
  var watch: NftProgram.Watch?

  /// Whether a table bears the marks of a managed one: no other program's is ever changed or removed.
  static func isOurs(_ sets: [String: SetDescription]) -> Bool {
    sets["clients-4"] != nil && sets["servers-4"] != nil || sets.keys.contains(where: Ruleset.isClosing)
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
  /// - Parameters:
  ///   - owned: the table was Sluice's a moment ago. What another program put in its place goes, all of it.
  ///   - isClosed: the closing rules are awake, so that the table may be away for an instant.
  func install(
    _ plan: FirewallPlan, _ surroundings: Ruleset.Surroundings = .init(), owned: Bool = false, isClosed: Bool = false
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
    let isReplaced = makeExclusive(
      plan, surroundings, takes: !leftovers.replacesTable, isClosed: isClosed)
    do {
      if isReplaced { leftovers = try self.leftovers(plan, surroundings, try read(plan)) }
      try apply(to: plan) { () throws(FirewallPlanError) in
        try Ruleset.render(plan, surroundings, removing: leftovers)
      }
    } catch {
      var error = error
      error.isTorn = isReplaced
      throw error
    }
    // Its text makes a table that nothing owns.
    if leftovers.replacesTable { owner?.forget() }
    return plan.servers.map { server in
      server.isGone ? [] : server.opensAnyPort ? [.v4, .v6, .anyPort4, .anyPort6] : [.v4, .v6]
    }
  }

  /// Whether nft would take the plan's table in the place of the one that is there, which stays as it is.
  func checkReplacement(_ plan: FirewallPlan, _ surroundings: Ruleset.Surroundings) throws(InstallationError) {
    var all = Ruleset.Leftovers()
    all.replacesTable = true
    try give { () throws(FirewallPlanError) in
      try Ruleset.render(plan, surroundings, removing: all)
    } to: { text throws(NftProgram.NftError) in
      try NftProgram.apply(text, checkOnly: true, watch: watch)
    }
  }

  /// Another enclosure around the plan that is installed.
  func enclose(
    _ plan: FirewallPlan, _ surroundings: Ruleset.Surroundings, instead former: Ruleset.Surroundings
  ) throws(InstallationError) {
    try apply(to: plan) { () throws(FirewallPlanError) in
      try Ruleset.render(plan, surroundings, instead: former)
    }
  }

  // MARK: Owning the table

  /// Whether no other program can change the plan's table.
  func isExclusive(_ plan: FirewallPlan) -> Bool { owner?.table == plan.table }

  /// Whether a plan is to have the table for Sluice alone and one is there that cannot be: it has to be replaced, and what
  /// passes to be closed meanwhile.
  func mustReplace(_ plan: FirewallPlan) -> Bool {
    guard plan.mode == .managed, plan.isExclusive, owner?.isSupported == true else { return false }
    do throws(SystemError) {
      return try kernel.kind(family: plan.family, table: plan.table) == .plain
    } catch {
      return false
    }
  }

  /// Makes the table Sluice's alone where the plan wants that and it can be; returns whether one that lets nothing pass took its
  /// place.
  private func makeExclusive(
    _ plan: FirewallPlan, _ surroundings: Ruleset.Surroundings, takes: Bool, isClosed: Bool
  ) -> Bool {
    guard plan.isExclusive, let owner else { return false }
    if takes, owner.take(plan.table) { return false }
    return isClosed && owner.replace(plan.table, closedBy: ClosingRules(plan, surroundings))
  }

  /// A text without its first line where the table is there and stays when its owner ends: nft cannot say so, and to name it
  /// otherwise is refused.
  static func text(_ text: String, table: String, in kernel: KernelSets) -> String {
    let line = "add table inet \(table)\n"
    guard text.hasPrefix(line) else { return text }
    do throws(SystemError) {
      return try kernel.kind(family: .inet, table: table) == .persistent ? String(text.dropFirst(line.count)) : text
    } catch {
      return text
    }
  }

  private func apply(
    to plan: FirewallPlan, _ render: () throws(FirewallPlanError) -> String
  ) throws(InstallationError) {
    let owner = isExclusive(plan) ? owner : nil
    defer {
      working(nil)
      owner?.takeBack()
    }
    try give(render) { text throws(NftProgram.NftError) in
      // By the owner's socket they are the worker's own changes, whichever process sends them.
      try NftProgram.apply(
        Self.text(text, table: plan.table, in: kernel), owner: owner?.descriptor, watch: watch,
        started: owner == nil ? working : { _ in })
    }
  }

  /// Makes a text and has nft take it; says in one way why either cannot be.
  private func give(
    _ render: () throws(FirewallPlanError) -> String, to nft: (String) throws(NftProgram.NftError) -> Void
  ) throws(InstallationError) {
    let text: String
    do {
      text = try render()
    } catch {
      throw InstallationError(text: "the plan is not valid: \(error)")
    }
    do {
      try nft(text)
    } catch {
      throw InstallationError(text: error.text)
    }
  }

  /// Whether a managed table has sets without the counters and quotas that they have today: a set cannot be changed.
  private static func hasOldLayout(_ plan: FirewallPlan, _ existing: [String: SetDescription]) -> Bool {
    isOurs(existing)
      && plan.servers.flatMap(SetName.all(of:)).contains { name in
        guard let set = existing[name.text], name.hasStatement else { return false }
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
        Ruleset.isCounter($0) && !wantedCounters.contains($0)
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
