import DNSWire
import EgressPolicy
import FirewallBridge
import FirewallModel
import GrantLedger
import IPNetwork
import LinuxIO
import Resolver

/// What an earlier run left open: taken over where policy and journal still have it, and closed where not (P3, P4).
extension ResolutionService {
  /// At start: takes over what the kernel holds and policy still admits for the names of the last run, closes the rest.
  func reconcile(_ entries: [JournalEntry], _ completion: @escaping (Result<TakenOver, StartError>) -> Void) {
    let known = Dictionary(grouping: entries, by: \.server)
    remember(entries)
    var taken = TakenOver()
    var foreignElements: [GrantElement] = []
    // What stands no more, and whose time was over before.
    var lapsed: [GrantElement] = []
    // What names that stand no more had open for longer ends with those that do; what was opened when `max-lifetime` was
    // longer, by what it is now.
    var overlong: [GrantElement] = []
    var standing: Set<JournalEntry> = []
    list(snapshot.servers.map(\.firewallIndex)[...]) { [unowned self] server, listed in
      guard let serverIndex = snapshot.server(firewallIndex: server) else { return }
      let name = String(decoding: snapshot.servers[serverIndex].name, as: UTF8.self)
      let byAddress = Dictionary(grouping: known[name] ?? [], by: \.address)
      for element in listed {
        let found = takeOver(element, byAddress[element.element.address] ?? [], epoch: shared.epoch.current)
        standing.formUnion(found.entries)
        if found.standsUntil > 0 {
          taken.kept += 1
          taken.hasCaps = taken.hasCaps || found.caps != 0
          if isOverlong(element, found) { overlong.append(element.element) }
        } else if found.isLapsed {
          lapsed.append(element.element)
        } else if options.isManaged || element.remainingMilliseconds > 0 {
          foreignElements.append(element.element)
        }
      }
    } done: { [unowned self] failure in
      if let failure {
        return completion(.failure(StartError("the kernel's sets cannot be read: \(failure)")))
      }
      taken.closed = foreignElements.count + lapsed.count
      end(entries.filter { !standing.contains($0) })
      guard let bridge else { return completion(.success(taken)) }
      // A rule that got a cap since the last run: its address stays open, but no longer without it.
      if taken.hasCaps { commitCaps() }
      shorten(overlong)
      // As at the end of its time: connections live on.
      bridge.revoke(lapsed, cutsFlows: false) { [unowned self] failure, _ in
        if let failure { revocationFailed(lapsed, failure) }
      }
      bridge.revoke(foreignElements, cutsFlows: options.cutsFlows) { failure, _ in
        completion(
          failure.map { .failure(StartError("addresses of an earlier run cannot be closed: \($0)")) }
            ?? .success(taken))
      }
    }
  }

  /// What was open in an earlier run is known as such, whether it is taken over or not.
  private func remember(_ entries: [JournalEntry]) {
    let indexes = Dictionary(
      snapshot.servers.map { (String(decoding: $0.name, as: UTF8.self), $0.firewallIndex) },
      uniquingKeysWith: { first, _ in first })
    for entry in entries {
      guard let server = indexes[entry.server] else { continue }
      engine.ledger.remember(
        GrantLedger.Key(server: server, name: entry.name, type: entry.type),
        GrantElement(server: server, address: entry.address, transport: entry.transport, port: entry.port),
        opened: monotonic(ofWallSeconds: entry.opened), now: now)
    }
  }

  /// What an element that an earlier run left has to go by.
  private struct Inheritance {
    /// The latest end of the names for which it was taken over; 0 where there is none.
    var standsUntil: UInt64 = 0
    /// The caps that it stands under.
    var caps: UInt16 = 0
    /// What it was taken over for.
    var entries: [JournalEntry] = []
    /// The latest end of the names that policy does not allow it for any more.
    var withdrawnUntil: UInt64 = 0
    /// The time of a name that policy allows it for was over before.
    var hasLapsed = false

    /// It is held by nothing, and withdrawn from nothing either.
    var isLapsed: Bool { hasLapsed && standsUntil == 0 && withdrawnUntil == 0 }
  }

  /// Takes over an element for each name of the last run that policy still allows it for, until that name's own end. Where
  /// policy asks for more of signatures and chains than was shown of the answer by then, it is as if it had not been listed.
  private func takeOver(_ listed: ListedElement, _ entries: [JournalEntry], epoch: UInt64) -> Inheritance {
    let element = listed.element
    var found = Inheritance()
    guard listed.remainingMilliseconds > 0 else { return found }
    let latest = now + min(listed.lifetime, options.longestLifetime)
    for entry in entries where (element.transport, element.port) == (entry.transport, entry.port) {
      let until = min(entry.end, latest)
      guard let caps = caps(of: element, for: entry) else {
        if entry.end > now { found.withdrawnUntil = max(found.withdrawnUntil, until) }
        continue
      }
      guard until > now else {
        found.hasLapsed = true
        continue
      }
      let inherited = GrantLedger.Inherited(
        key: GrantLedger.Key(server: element.server, name: entry.name, type: entry.type), element: element,
        until: until, caps: caps, opened: monotonic(ofWallSeconds: entry.opened), terms: entry.terms)
      guard engine.ledger.takeOver(inherited, now: now, epoch: epoch) else { continue }
      found.standsUntil = max(found.standsUntil, until)
      found.caps |= caps
      found.entries.append(entry)
    }
    return found
  }

  /// The caps of the rule by which policy allows an element for the name of an entry; nil where it does not.
  private func caps(of element: GrantElement, for entry: JournalEntry) -> UInt16? {
    guard
      let rule = snapshot.rule(server: element.server, name: entry.name.wire, type: entry.type),
      admits(element.address, rule, server: element.server, name: entry.name.wire, type: entry.type),
      let serverIndex = snapshot.server(firewallIndex: element.server),
      snapshot.servers[serverIndex].targets(of: rule.ports, family: element.address.family)
        .contains(where: { $0 == (element.transport, element.port) }),
      entry.terms.satisfy(
        rule, list: snapshot.policy.listMark(server: serverIndex),
        denials: snapshot.policy.denialMark(server: serverIndex))
    else { return nil }
    return rule.capBits(in: snapshot.servers[serverIndex].byteCaps)
      | rule.checkBit(transport: element.transport, port: element.port)
  }

  /// How much later than the names that hold it an element ends by itself: the kernel counts from the commit's arrival.
  private static let commitSlack: UInt64 = 5_000_000_000

  private func isOverlong(_ listed: ListedElement, _ found: Inheritance) -> Bool {
    listed.lifetime > options.longestLifetime || found.withdrawnUntil > found.standsUntil
      || now + listed.lifetime > found.standsUntil + Self.commitSlack
  }

  /// When on the monotonic clock; never later than now, whatever the journal says.
  private func monotonic(ofWallSeconds seconds: UInt64) -> UInt64 {
    let age = (shared.clock().wall / 1_000_000_000).subtractingReportingOverflow(seconds)
    guard !age.overflow, age.partialValue < now / 1_000_000_000 else { return age.overflow ? now : 0 }
    return now - age.partialValue * 1_000_000_000
  }

  struct TakenOver {
    var kept = 0
    var closed = 0
    var hasCaps = false

    /// What is told of it; nil where an earlier run left nothing.
    var text: String? {
      guard kept + closed > 0 else { return nil }
      return "of the addresses of an earlier run \(kept) \(kept == 1 ? "stays" : "stay") open, and \(closed) "
        + "\(closed == 1 ? "is" : "are") closed"
    }
  }
}

extension ListedElement {
  /// Nanoseconds.
  fileprivate var lifetime: UInt64 { UInt64(remainingMilliseconds) * 1_000_000 }
}
