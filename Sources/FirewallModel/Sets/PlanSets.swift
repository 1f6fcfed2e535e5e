import EgressPolicy
package import GrantLedger
import IPNetwork

/// Where an element is kept: the index of its set, and its key there.
package struct SetReference: Hashable {
  package var set: Int
  package var key: ElementKey

  package init(set: Int, key: ElementKey) {
    self.set = set
    self.key = key
  }
}

/// Where a plan's elements go: every set of every server by a number, with its shape.
///
/// A server has four opening sets (IPv4, IPv6, and both again for any port), four for each of its caps, and four for the names of
/// its connections, if they are checked: those of `SetName.Check` by family.
package struct PlanSets {
  package let sets: [KernelSet]
  package let shapes: [SetShape]
  private let plan: FirewallPlan
  private let serverSets: [ServerSets]
  /// The number of the first cap set of each server, and behind the last of all.
  private let firstCap: [Int]
  private let caps: [ByteCap.Kind?]

  package init(_ plan: FirewallPlan, _ serverSets: [ServerSets]) {
    self.plan = plan
    self.serverSets = serverSets
    var names = plan.servers.flatMap { Self.four($0.name, cap: nil) }
    var firstCap: [Int] = []
    var caps: [ByteCap.Kind?] = []
    for server in plan.servers {
      firstCap.append(names.count)
      for cap in server.caps {
        names += Self.four(server.name, cap: cap)
        caps += [cap.kind, cap.kind, cap.kind, cap.kind]
      }
      if server.checksNames {
        names += SetName.all(of: server).filter { $0.check != nil }
        caps += [nil, nil, nil, nil]
      }
    }
    sets = names.map { KernelSet(family: plan.family, table: plan.table, name: $0.text) }
    let numbered = zip(names.indices, names)
    shapes = numbered.map { index, name in
      let server = index / 4
      let isPlain =
        index < plan.servers.count * 4 && server < serverSets.count
        && serverSets[server].contains(name.family == .v4 ? .plain4 : .plain6)
      return SetShape(family: name.family, kind: isPlain ? .anyPort : name.kind)
    }
    self.firstCap = firstCap
    self.caps = caps
  }

  private static func four(_ server: String, cap: ByteCap?) -> [SetName] {
    [SetName.Kind.ports, .anyPort].flatMap { kind in
      [IPAddress.Family.v4, .v6].map { SetName(server: server, family: $0, kind: kind, cap: cap) }
    }
  }

  private var openingCount: Int { plan.servers.count * 4 }

  /// Whether the set only bounds what is sent within an hour.
  package func isHourCap(_ set: Int) -> Bool { set >= openingCount && caps[set - openingCount] == .perHour }

  /// Whether the set only says that connections are checked, or refused for a while.
  package func isCheck(_ set: Int) -> Bool { set >= openingCount && caps[set - openingCount] == nil }

  /// Whether the set admits packets, and so counts them.
  package func counts(_ set: Int) -> Bool { set < openingCount }

  /// The index of the server whose opening set it is; nil for a set that only bounds.
  package func server(of set: Int) -> UInt16? { set < openingCount ? UInt16(clamping: set / 4) : nil }

  /// Whether the set is in the kernel, as far as the installation knows.
  package func exists(_ set: Int) -> Bool {
    guard set < openingCount else {
      let server = firstCap.lastIndex { $0 <= set } ?? 0
      return set % 4 < 2 || caps[set - openingCount] == nil || plan.servers[server].opensAnyPort
    }
    guard set / 4 < serverSets.count else { return false }
    let wanted: ServerSets = [.v4, .v6, .anyPort4, .anyPort6]
    return serverSets[set / 4].intersection(wanted).contains(ServerSets(rawValue: 1 << UInt8(set % 4)))
  }

  /// The sets of a server that admit packets.
  package func openingSets(of server: UInt16) -> [Int] {
    (Int(server) * 4..<Int(server) * 4 + 4).filter(exists)
  }

  /// The cap sets that `bits` name, for the same addresses and ports as an opening set.
  package func capSets(of bits: UInt16, beside opening: Int, server: UInt16) -> [Int] {
    let server = Int(server)
    var sets = plan.servers[server].caps.indices.prefix(FirewallPlan.maximumCapCount).compactMap { index in
      bits & (1 << UInt16(index)) == 0 ? nil : firstCap[server] + index * 4 + opening % 4
    }
    if bits & NameCheck.capBit != 0, let set = checkSet(.sni, beside: opening, server: server) { sets.append(set) }
    return sets
  }

  /// The set of a check for the same addresses and ports as an opening set; nil where nothing is checked, or there are no ports.
  package func checkSet(_ check: SetName.Check, beside opening: Int, server: Int) -> Int? {
    guard plan.servers[server].checksNames, opening % 4 < 2, let place = SetName.Check.allCases.firstIndex(of: check)
    else { return nil }
    return firstCap[server] + plan.servers[server].caps.count * 4 + place * 2 + opening % 4
  }

  /// The opening set and the key of a grant's element.
  package func reference(_ element: GrantElement) -> Result<SetReference, PlacementError> {
    let server = Int(element.server)
    guard server < serverSets.count, server < plan.servers.count else {
      return .failure(PlacementError(.noSuchServer))
    }
    let v4 = element.address.family == .v4
    let has = serverSets[server]
    guard has.contains(v4 ? .v4 : .v6) else { return .failure(PlacementError(.missingSet)) }
    let plain = has.contains(v4 ? .plain4 : .plain6)
    let any = element.transport == 0 && !plain
    guard !any || has.contains(v4 ? .anyPort4 : .anyPort6) else { return .failure(PlacementError(.missingSet)) }
    let index = server * 4 + (any ? 2 : 0) + (v4 ? 0 : 1)
    let key = shapes[index].key(address: element.address, transport: element.transport, port: element.port)
    return .success(SetReference(set: index, key: key))
  }
}

/// Why an element goes into no set.
package struct PlacementError: Error {
  package var refusal: BridgeRefusal

  package init(_ reason: BridgeRefusal.Reason) {
    refusal = BridgeRefusal(reason)
  }
}
