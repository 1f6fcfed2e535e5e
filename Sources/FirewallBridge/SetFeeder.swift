import Glibc
import GrantLedger
import IPNetwork
import LinuxIO

/// Opens and closes elements of one plan's sets in the kernel.
final class SetFeeder {
  let plan: FirewallPlan
  let fingerprint: UInt64
  let refresh: RefreshMethod
  private(set) var serverSets: [ServerSets]
  private let transaction: ElementTransaction
  private let kernel: KernelSets
  /// Four for each server: IPv4, IPv6, and the same again for any port.
  private let sets: [KernelSet]
  /// Elements of an earlier feeder or an earlier run: their end may be moved out, never in. Nanoseconds of our clock.
  private var inherited: [KernelElement: UInt64] = [:]

  init(
    plan: FirewallPlan, serverSets: [ServerSets], refresh: RefreshMethod, transaction: ElementTransaction,
    kernel: KernelSets
  ) {
    self.plan = plan
    fingerprint = plan.fingerprint
    self.serverSets = serverSets
    self.refresh = refresh
    self.transaction = transaction
    self.kernel = kernel
    sets = plan.servers.flatMap { server in
      [SetName.Kind.ports, .anyPort].flatMap { kind in
        [IPAddress.Family.v4, .v6].map { family in
          KernelSet(
            family: plan.family, table: plan.table,
            name: SetName(server: server.name, family: family, kind: kind).text)
        }
      }
    }
    inherit()
  }

  /// Commits units of grants; what is not named in the result is in the kernel.
  func open(_ grants: [UnitGrant]) -> [RefusedUnit] {
    var refused: [UInt32: BridgeRefusal] = [:]
    var units: [(unit: UInt32, elements: [KernelElement])] = []
    let now = inherited.isEmpty ? 0 : MonotonicTime.now().nanoseconds
    for grant in grants where refused[grant.unit] == nil {
      switch place(grant.commit.element) {
      case .failure(let refusal):
        refused[grant.unit] = refusal.refusal
      case .success(var element):
        element.lifetimeMilliseconds = lifetime(element, UInt64(grant.commit.lifetimeMilliseconds), now: now)
        if units.last?.unit == grant.unit {
          units[units.count - 1].elements.append(element)
        } else {
          units.append((grant.unit, [element]))
        }
      }
    }
    units.removeAll { refused[$0.unit] != nil }
    if !units.isEmpty, transaction.open(units.flatMap(\.elements), sets: sets, refresh: refresh) != 0 {
      // A batch is atomic: one full set must not close the door to everybody else.
      for unit in units {
        let error = transaction.open(unit.elements, sets: sets, refresh: refresh)
        if error != 0 {
          refused[unit.unit] = BridgeRefusal(errno: error)
        }
      }
    }
    return refused.map { RefusedUnit(unit: $0, refusal: $1) }
  }

  /// Closes elements; those that are gone already are no failure.
  func close(_ elements: [GrantElement]) -> BridgeRefusal? {
    var placed: [KernelElement] = []
    for element in elements {
      if case .success(let element) = place(element) {
        inherited[element] = nil
        placed.append(element)
      }
    }
    guard !placed.isEmpty else { return nil }
    guard transaction.close(placed, sets: sets) != 0 else { return nil }
    var refusal: BridgeRefusal?
    for element in placed {
      let error = transaction.close([element], sets: sets)
      if error != 0 && error != ENOENT {
        refusal = BridgeRefusal(errno: error)
      }
    }
    return refusal
  }

  func flush(server: UInt16) -> BridgeRefusal? {
    guard Int(server) < serverSets.count else { return BridgeRefusal(.noSuchServer) }
    let range = Int(server) * 4..<Int(server) * 4 + 4
    inherited = inherited.filter { !range.contains($0.key.set) }
    let error = transaction.flush(range.filter(exists).map { sets[$0] })
    return error == 0 ? nil : BridgeRefusal(errno: error)
  }

  /// Everything the kernel holds for a server.
  func list(server: UInt16) throws(SystemError) -> [ListedElement] {
    guard Int(server) < serverSets.count else { return [] }
    var listed: [ListedElement] = []
    for index in Int(server) * 4..<Int(server) * 4 + 4 where exists(index) {
      for found in try kernel.elements(sets[index], shape: shape(index)) {
        listed.append(
          ListedElement(
            element: GrantElement(
              server: server, address: found.address, transport: found.transport, port: found.port),
            remainingMilliseconds: UInt32(clamping: found.remainingMilliseconds ?? 0)))
      }
    }
    return listed
  }

  /// Asks the kernel what earlier feeders left behind.
  private func inherit() {
    let now = MonotonicTime.now().nanoseconds
    for index in sets.indices where exists(index) {
      guard let found = try? kernel.elements(sets[index], shape: shape(index)) else { continue }
      for element in found {
        let key = shape(index).key(address: element.address, transport: element.transport, port: element.port)
        inherited[KernelElement(set: index, key: key)] = now &+ (element.remainingMilliseconds ?? 0) &* 1_000_000
      }
    }
  }

  private func lifetime(_ element: KernelElement, _ wanted: UInt64, now: UInt64) -> UInt64 {
    guard let end = inherited[element] else { return wanted }
    guard end > now &+ wanted &* 1_000_000 else {
      inherited[element] = nil
      return wanted
    }
    return (end - now) / 1_000_000 + 1
  }

  private func place(_ element: GrantElement) -> Result<KernelElement, Misplaced> {
    let server = Int(element.server)
    guard server < serverSets.count else { return .failure(Misplaced(.noSuchServer)) }
    let v4 = element.address.family == .v4
    let has = serverSets[server]
    guard has.contains(v4 ? .v4 : .v6) else { return .failure(Misplaced(.missingSet)) }
    let plain = has.contains(v4 ? .plain4 : .plain6)
    let any = element.transport == 0 && !plain
    guard !any || has.contains(v4 ? .anyPort4 : .anyPort6) else { return .failure(Misplaced(.missingSet)) }
    let index = server * 4 + (any ? 2 : 0) + (v4 ? 0 : 1)
    let key = shape(index).key(address: element.address, transport: element.transport, port: element.port)
    return .success(KernelElement(set: index, key: key))
  }

  private func exists(_ index: Int) -> Bool {
    let wanted: ServerSets = [.v4, .v6, .anyPort4, .anyPort6]
    return serverSets[index / 4].intersection(wanted).contains(ServerSets(rawValue: 1 << UInt8(index % 4)))
  }

  private func shape(_ index: Int) -> SetShape {
    let plain: ServerSets = index % 4 == 0 ? .plain4 : .plain6
    let kind: SetName.Kind = index % 4 > 1 || serverSets[index / 4].contains(plain) ? .anyPort : .ports
    return SetShape(family: index % 2 == 0 ? .v4 : .v6, kind: kind)
  }
}

private struct Misplaced: Error {
  var refusal: BridgeRefusal

  init(_ reason: BridgeRefusal.Reason) {
    refusal = BridgeRefusal(reason)
  }
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
