import FirewallModel
import Glibc
import GrantLedger
import IPNetwork
import LinuxIO
import NFTables

/// Opens and closes elements of one plan's sets in the kernel, and has their counters read.
final class ElementWriter {
  let plan: FirewallPlan
  let fingerprint: UInt64
  let refresh: RefreshMethod
  let serverSets: [ServerSets]
  private let planSets: PlanSets
  private let indices: [String: UInt16]
  private let transaction: ElementTransaction
  private let kernel: KernelSets
  /// Elements of an earlier worker or an earlier run: their end may be moved out, and in where that is what a commit is
  /// for. Nanoseconds of our clock.
  private var inherited: [SetReference: UInt64] = [:]
  /// The user's own elements, which never end: they are open already, and never changed or closed here.
  private var permanent: Set<SetReference> = []
  private var hours = HourlyQuotas()
  /// The sets whose elements could not be read when this began, with the reason: of what is in them no end is moved and
  /// nothing of what they had counted is known.
  private(set) var unread: [String] = []
  /// nil where no reading of counters is configured.
  private let counters: CounterReader?
  private var schedule: CounterPollSchedule
  /// The numbers of the sets that count, by name.
  private let counting: [String: Int]

  init(
    plan: FirewallPlan, serverSets: [ServerSets], refresh: RefreshMethod, transaction: ElementTransaction,
    kernel: KernelSets, counters: CounterReader? = nil, working: () -> Void = {}
  ) {
    self.plan = plan
    fingerprint = plan.fingerprint
    self.serverSets = serverSets
    self.refresh = refresh
    self.transaction = transaction
    self.kernel = kernel
    self.counters = plan.harvestSeconds > 0 ? counters : nil
    planSets = PlanSets(plan, serverSets)
    indices = Dictionary(
      plan.servers.enumerated().map { ($1.name, UInt16(clamping: $0)) }, uniquingKeysWith: { first, _ in first })
    let planSets = planSets
    counting =
      self.counters == nil
      ? [:]
      : Dictionary(
        planSets.sets.indices.filter(planSets.counts).map { (planSets.sets[$0].name, $0) },
        uniquingKeysWith: { first, _ in first })
    schedule = CounterPollSchedule(interval: UInt64(plan.harvestSeconds))
    inherit(working)
  }

  /// Commits units of grants; what is not named in the result is in the kernel.
  func open(_ grants: [UnitGrant]) -> [RefusedUnit] {
    var refused: [UInt32: BridgeRefusal] = [:]
    var units: [(unit: UInt32, elements: [KernelElement])] = []
    let now = MonotonicTime.now().nanoseconds
    for grant in grants where refused[grant.unit] == nil {
      switch planSets.reference(grant.commit.element) {
      case .failure(let refusal):
        refused[grant.unit] = refusal.refusal
      case .success(let reference):
        let elements = permanent.contains(reference) ? [] : self.elements(of: grant.commit, reference, now: now)
        if units.last?.unit == grant.unit {
          units[units.count - 1].elements += elements
        } else {
          units.append((grant.unit, elements))
        }
      }
    }
    units.removeAll { refused[$0.unit] != nil }
    guard !units.isEmpty else { return refused.map { RefusedUnit(unit: $0, refusal: $1) } }
    let all = units.flatMap(\.elements)
    if commit(all, now: now) != 0 {
      // A batch is atomic: one full set must not refuse the grants of all others.
      for unit in units {
        let error = commit(unit.elements, now: now)
        if error != 0 {
          refused[unit.unit] = BridgeRefusal(errno: error)
        }
      }
    }
    return refused.map { RefusedUnit(unit: $0, refusal: $1) }
  }

  private func commit(_ elements: [KernelElement], now: UInt64) -> Int32 {
    let error = transaction.open(elements, sets: planSets.sets, refresh: refresh)
    guard error == 0 else { return error }
    takeClosed()
    for element in elements {
      let end = now &+ element.lifetimeMilliseconds &* 1_000_000
      if planSets.isHourCap(element.set) {
        hours.opened(element.reference, until: end, anew: element.startsAnew, now: now)
      } else if counters != nil, planSets.counts(element.set) {
        schedule.opened(element.set, until: end, now: now)
      }
    }
    return 0
  }

  /// The element that admits a grant, and those that bound what is sent to it.
  private func elements(of commit: GrantCommit, _ reference: SetReference, now: UInt64) -> [KernelElement] {
    let wanted = UInt64(commit.lifetimeMilliseconds)
    if commit.shortens { inherited[reference] = nil }
    var elements = [
      KernelElement(set: reference.set, key: reference.key, lifetimeMilliseconds: lifetime(reference, wanted, now: now))
    ]
    guard commit.caps != 0 else { return elements }
    for set in planSets.capSets(of: commit.caps, beside: reference.set, server: commit.element.server) {
      let cap = SetReference(set: set, key: reference.key)
      if commit.shortens { inherited[cap] = nil }
      if planSets.isCheck(set) {
        // It outlives what admits, whatever an earlier run opened that for: nothing is open and not checked.
        elements.append(
          KernelElement(
            set: set, key: reference.key, lifetimeMilliseconds: elements[0].lifetimeMilliseconds + Self.checkSlack))
      } else if !planSets.isHourCap(set) {
        elements.append(
          KernelElement(set: set, key: reference.key, lifetimeMilliseconds: lifetime(cap, wanted, now: now)))
      } else if let step = hours.step(cap, lifetime: wanted, now: now) {
        elements.append(
          KernelElement(
            set: set, key: reference.key, lifetimeMilliseconds: step.lifetimeMilliseconds, startsAnew: step.startsAnew))
      }
    }
    return elements
  }

  /// Milliseconds by which a check outlives what it is of.
  private static let checkSlack: UInt64 = 1_000
  /// Milliseconds in which no new connection is tried where the gate could make none.
  static let unreachableTime: UInt64 = 30_000

  /// Has new connections refused, for a while, to elements of a set whose connections are checked; others stay as they are.
  func refuseUnreachable(_ elements: [GrantElement]) -> BridgeRefusal? {
    let placed = elements.compactMap { element -> KernelElement? in
      guard case .success(let place) = planSets.reference(element),
        let set = planSets.checkSet(.unreachable, beside: place.set, server: Int(element.server))
      else { return nil }
      return KernelElement(set: set, key: place.key, lifetimeMilliseconds: Self.unreachableTime)
    }
    let error = transaction.open(placed, sets: planSets.sets, refresh: refresh)
    return error == 0 ? nil : BridgeRefusal(errno: error)
  }

  /// Closes elements; those that are gone already are no failure.
  func close(_ elements: [GrantElement]) -> BridgeRefusal? {
    var placed: [KernelElement] = []
    for element in elements {
      if case .success(let reference) = planSets.reference(element), !permanent.contains(reference) {
        inherited[reference] = nil
        placed.append(KernelElement(set: reference.set, key: reference.key))
      }
    }
    guard close(placed) != 0 else { return nil }
    var refusal: BridgeRefusal?
    for element in placed {
      let error = close([element])
      if error != 0 && error != ENOENT {
        refusal = BridgeRefusal(errno: error)
      }
    }
    return refusal
  }

  private func close(_ elements: [KernelElement]) -> Int32 {
    let error = transaction.close(elements, sets: planSets.sets)
    if error == 0 { takeClosed() }
    return error
  }

  /// Everything the kernel holds for a server.
  func list(server: UInt16) throws(SystemError) -> [ListedElement] {
    guard Int(server) < serverSets.count else { return [] }
    var listed: [ListedElement] = []
    for index in planSets.openingSets(of: server) {
      for found in try kernel.elements(planSets.sets[index], shape: planSets.shapes[index]) {
        listed.append(
          ListedElement(
            element: GrantElement(
              server: server, address: found.address, transport: found.transport, port: found.port),
            remainingMilliseconds: found.remainingMilliseconds.map { UInt32(clamping: max($0, 1)) } ?? 0))
      }
    }
    return listed
  }

  func serverIndex(_ name: String) -> UInt16? { indices[name] }

  /// The connections that an element admitted.
  func flows(of element: GrantElement) -> FlowTarget? {
    guard Int(element.server) < plan.servers.count else { return nil }
    return IPPrefix(element.address, length: element.address.family == .v4 ? 32 : 128).map {
      FlowTarget(
        sources: plan.servers[Int(element.server)].prefixes, destination: $0, transport: element.transport,
        port: element.port)
    }
  }

  // MARK: Counters

  /// When the next set's counters are to be read, nanoseconds; nil where they are not asked for, or no set holds
  /// anything.
  var nextReading: UInt64? { schedule.next }

  /// Has the next set read whose turn it is; false where it is none's. Nothing waits for it.
  func startReading(now: UInt64) -> Bool {
    guard let counters, let set = schedule.take(now) else { return false }
    counters.submit([.read(planSets.sets[set], planSets.shapes[set], horizon: schedule.horizon(now))])
    return true
  }

  /// A set was read, of this plan or of the one before.
  func wasRead(_ set: String, _ ends: CounterPollSchedule.Ends?) {
    guard let index = counting[set] else { return }
    schedule.read(index, ends, now: MonotonicTime.now().nanoseconds)
  }

  /// What elements of a set counted, by their names in this plan; nothing of a set that it does not have.
  func volumes(of set: String, _ news: [(ElementKey, ElementCounts)]) -> [ElementVolume] {
    guard let index = counting[set], let server = planSets.server(of: index) else { return [] }
    return news.compactMap { key, counts in
      guard let parts = planSets.shapes[index].element(of: key.bytes) else { return nil }
      return ElementVolume(
        element: GrantElement(server: server, address: parts.address, transport: parts.transport, port: parts.port),
        octets: counts.octets, packets: counts.packets)
    }
  }

  private func takeClosed() {
    guard let counters else { return }
    let closed = transaction.closed.filter { planSets.counts($0.set) }
    guard !closed.isEmpty else { return }
    counters.submit(closed.map { .closed(set: planSets.sets[$0.set].name, $0.key, $0.counts) })
  }

  // MARK: What earlier workers left

  /// Another program took elements away: what a destination had used up of its hour may be gone with them.
  func forgetHours() {
    hours = HourlyQuotas()
  }

  /// Learns which elements of the user's sets never end.
  func learnPermanent() {
    guard plan.mode == .sets else { return }
    var learned: Set<SetReference> = []
    for index in planSets.sets.indices where planSets.exists(index) {
      let found: [KernelSets.Found]
      do throws(SystemError) {
        found = try kernel.elements(planSets.sets[index], shape: planSets.shapes[index])
      } catch {
        // A set that cannot be read has what it had: an element of the user's must never be taken for a grant's.
        learned.formUnion(permanent.filter { $0.set == index })
        continue
      }
      for element in found where element.remainingMilliseconds == nil {
        let key = planSets.shapes[index].key(
          address: element.address, transport: element.transport, port: element.port)
        learned.insert(SetReference(set: index, key: key))
      }
    }
    permanent = learned
  }

  /// - Parameter working: called between two sets: a host of servers has thousands.
  private func inherit(_ working: () -> Void) {
    learnPermanent()
    let now = MonotonicTime.now().nanoseconds
    // What was counted before was told by the worker before this one; what this bridge counts already goes on.
    var books = counting.mapValues { _ in CounterReadings.Readings() }
    defer { counters?.submit([.keep(books)]) }
    for index in planSets.sets.indices where planSets.exists(index) {
      working()
      let found: [KernelSets.Found]
      do throws(SystemError) {
        found = try kernel.elements(planSets.sets[index], shape: planSets.shapes[index])
      } catch {
        unread.append("\(planSets.sets[index].name): \(error)")
        continue
      }
      let counts = counters != nil && planSets.counts(index)
      var readings: CounterReadings.Readings = [:]
      for element in found {
        let key = planSets.shapes[index].key(
          address: element.address, transport: element.transport, port: element.port)
        let reference = SetReference(set: index, key: key)
        let end = now &+ (element.remainingMilliseconds ?? 0) &* 1_000_000
        if planSets.isHourCap(index) {
          hours.opened(reference, until: end, anew: true, now: now)
        } else {
          inherited[reference] = end
          if counts { schedule.opened(index, until: end, now: now) }
        }
        if counts, let octets = element.octets, let packets = element.packets, packets > 0 {
          readings[key] = ElementCounts(octets: octets, packets: packets)
        }
      }
      if counts { books[planSets.sets[index].name] = readings }
    }
  }

  private func lifetime(_ reference: SetReference, _ wanted: UInt64, now: UInt64) -> UInt64 {
    guard !inherited.isEmpty, let end = inherited[reference] else { return wanted }
    guard end > now &+ wanted &* 1_000_000 else {
      inherited[reference] = nil
      return wanted
    }
    return (end - now) / 1_000_000 + 1
  }
}

extension KernelElement {
  var reference: SetReference { SetReference(set: set, key: key) }
}

extension BridgeRefusal {
  /// What an error number of nf_tables means for a grant.
  init(errno: Int32) {
    switch errno {
    case ENFILE: self.init(.setFull, errno: errno)
    case ENOENT: self.init(.missingSet, errno: errno)
    case EPERM: self.init(.notPermitted, errno: errno)
    default: self.init(.failed, errno: errno)
    }
  }
}
