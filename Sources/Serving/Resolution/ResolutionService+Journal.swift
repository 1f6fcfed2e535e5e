import DNSWire
import EgressPolicy
import FirewallBridge
import FirewallModel
import GrantLedger
import IPNetwork
import LinuxIO
import Resolver

/// The journal of grants: for which name an address is open and until when, for the next run.
extension ResolutionService {
  /// Notes for which name addresses will be open, and until when. It is written while the kernel is at work, or just before
  /// the answer leaves.
  func keepRecord(of planned: ResolutionEngine.Planned) { append(entries(of: planned)) }

  /// Notes that elements are held for longer than their answers had promised.
  func keepRecord(ofHolders elements: [GrantElement]) {
    append(
      elements.flatMap { element in
        engine.ledger.holders(of: element, now: now).compactMap { key, wish in
          entry(key, element, GrantLedger.Wish(until: wish.until, opened: now, terms: wish.terms))
        }
      })
  }

  /// Notes what ended before its time: nothing of it is taken over by the next run.
  ///
  /// - Parameter former: the policy by which servers had their indexes.
  func keepRecord(released: [(key: GrantLedger.Key, element: GrantElement)], since former: ResolverSnapshot) {
    let over = GrantLedger.Wish(until: now, opened: now)
    append(released.compactMap { entry($0.key, $0.element, over, in: former) })
  }

  /// What was not taken over ended with the run before: a later one takes none of it over either.
  func end(_ entries: [JournalEntry]) {
    append(
      entries.filter { $0.end > now }.map { entry in
        var entry = entry
        entry.until = now.millisecondsRoundedUp
        return entry
      })
  }

  private func append(_ entries: [JournalEntry]) {
    guard let journal, !entries.isEmpty else { return }
    journal.append(entries)
    guard !isRecordDue else { return }
    isRecordDue = true
    _ = reactor.schedule(at: reactor.now) { [unowned self] in writeRecords() }
  }

  func writeRecords() {
    guard isRecordDue, let journal else { return }
    isRecordDue = false
    if !journal.flush() {
      StandardError.write("sluice: the grants' journal cannot be written: a restart will close what is open")
    }
    // What is remembered of the closed counts like what is open.
    let remembered = Self.closedEntries * engine.ledger.serverCount
    guard journal.isOverlong(live: engine.ledger.holdingCount + remembered) else { return }
    journal.beginRewriting()
    // Behind everything else: of one opening the last line counts, and an earlier one of the same may be over.
    var entries: [JournalEntry] = []
    engine.forEachPending { entries += self.entries(of: $0) }
    append(entries)
    rewriteClosed(journal, server: 0)
  }

  /// Closed ones that a journal keeps of each server, so that the next run knows what its packets meet.
  private static let closedEntries = 256
  /// Lines of a journal that are made at a time: questions wait for them.
  private static let journalSlice = 512

  /// Goes on with what is not open any more, of one server after the other, and then with what is.
  private func rewriteClosed(_ journal: GrantJournal, server first: Int) {
    var (server, entries) = (first, [JournalEntry]())
    while server < engine.ledger.serverCount, server < first + 16, entries.count < Self.journalSlice {
      engine.ledger.forEachClosed(ofServer: UInt16(server), now: now, limit: Self.closedEntries) {
        if let entry = entry($0, $1, GrantLedger.Wish(until: $2, opened: $3)) { entries.append(entry) }
      }
      server += 1
    }
    journal.rewrite(entries)
    let isDone = server >= engine.ledger.serverCount
    _ = reactor.schedule(at: reactor.now) { [unowned self] in
      if isDone { rewriteOpen(journal, from: .init()) } else { rewriteClosed(journal, server: server) }
    }
  }

  private func rewriteOpen(_ journal: GrantJournal, from start: GrantLedger.HoldingCursor) {
    var (cursor, entries) = (start, [JournalEntry]())
    let isLeft = engine.ledger.forEachHolding(now: now, from: &cursor, atMost: Self.journalSlice) {
      if let entry = entry($0, $1, $2) { entries.append(entry) }
    }
    journal.rewrite(entries)
    guard isLeft else { return journal.endRewriting() }
    _ = reactor.schedule(at: reactor.now) { [unowned self] in rewriteOpen(journal, from: cursor) }
  }

  private func entries(of planned: ResolutionEngine.Planned) -> [JournalEntry] {
    engine.ledger.wanted(planned.elements, by: planned.key).compactMap { element, wish in
      entry(planned.key, element, GrantLedger.Wish(until: wish.until, opened: now, terms: wish.terms))
    }
  }

  /// - Parameter policy: the one by which the server has its index; nil for the one in force.
  private func entry(
    _ key: GrantLedger.Key, _ element: GrantElement, _ wish: GrantLedger.Wish, in policy: ResolverSnapshot? = nil
  ) -> JournalEntry? {
    let policy = policy ?? snapshot
    return policy.server(firewallIndex: key.server).map { server in
      JournalEntry(
        server: String(decoding: policy.servers[server].name, as: UTF8.self), name: key.name, type: key.type,
        address: element.address, transport: element.transport, port: element.port,
        opened: (shared.clock().wall &- (now &- min(wish.opened, now))) / 1_000_000_000,
        until: wish.until.millisecondsRoundedUp, terms: wish.terms)
    }
  }
}

extension JournalEntry {
  /// Nanoseconds of the monotonic clock; never where the journal does not say.
  var end: UInt64 {
    guard let until else { return .max }
    let (end, isOver) = until.multipliedReportingOverflow(by: 1_000_000)
    return isOver ? .max : end
  }
}

extension UInt64 {
  /// Of nanoseconds: what was promised does not end before.
  var millisecondsRoundedUp: UInt64 { self / 1_000_000 + (self % 1_000_000 == 0 ? 0 : 1) }
}
