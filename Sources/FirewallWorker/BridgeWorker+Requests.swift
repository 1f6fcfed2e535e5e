import BridgeProcesses
import FirewallModel
import Glibc
import GrantLedger
import LinuxIO
import NFTables

/// What serve asks for beside grants.
extension BridgeWorker {
  func handle(_ message: BridgeMessage) {
    switch message {
    case .planPart(let request, let index, let count, let octets): take(request, index, count, octets)
    case .revoke(let request, let plan, let cutsFlows, let elements):
      revoke(request, plan, elements, cutsFlows: cutsFlows)
    case .inUse(let request, let plan, let elements): findFlows(request, plan, elements)
    case .listServer(let request, let plan, let server): list(request, plan, server)
    case .unreachable(let request, let plan, let elements):
      withWriter(request, plan) { $0.refuseUnreachable(elements) }
    case .removeTable(let request, let table): remove(request, table)
    case .readAgain(let request): readEnvelope(request)
    case .closeBooks(let request): closeBooks(for: request)
    case .ping(let request): answer(.done(request: request, refusal: nil, flows: 0, text: ""))
    case .grants, .hello, .outcome, .done, .page, .foreignChange, .broken, .volumes, .prefixVolumes, .refusals, .books,
      .refusalsRead, .notice, .alarm, .enclosure, .alive:
      break
    }
  }

  private func withWriter(_ request: UInt32, _ plan: UInt64, _ body: (ElementWriter) -> BridgeRefusal?) {
    let refusal: BridgeRefusal?
    if let writer, writer.fingerprint == plan {
      refusal = body(writer)
    } else {
      refusal = BridgeRefusal(.otherPlan)
    }
    answer(.done(request: request, refusal: refusal, flows: 0, text: refusal.map { "\($0)" } ?? ""))
  }

  private func revoke(_ request: UInt32, _ plan: UInt64, _ elements: [GrantElement], cutsFlows: Bool) {
    guard cutsFlows, let writer, writer.fingerprint == plan else {
      return withWriter(request, plan) { $0.close(elements) }
    }
    // Closed first: a connection that is cut must not be admitted again.
    let refusal = writer.close(elements)
    flows.submit(.cut(request: request, refusal: refusal, targets: elements.compactMap(writer.flows)))
  }

  private func findFlows(_ request: UInt32, _ plan: UInt64, _ elements: [GrantElement]) {
    guard let writer, writer.fingerprint == plan else {
      return withWriter(request, plan) { _ in nil }
    }
    let known = elements.filter { writer.flows(of: $0) != nil }
    flows.submit(.inUse(request: request, targets: known.compactMap(writer.flows), elements: known))
  }

  func takeFlows() {
    for outcome in flows.outcomes.drain() {
      switch outcome {
      case .cut(let request, let refusal, let flows):
        answer(
          .done(
            request: request, refusal: refusal, flows: UInt32(clamping: flows),
            text: refusal.map { "\($0)" } ?? ""))
      case .inUse(let request, let elements):
        page(request, elements.map { ListedElement(element: $0, remainingMilliseconds: 0) })
      case .failed(let request, let refusal, let text):
        answer(.notice(text))
        answer(.done(request: request, refusal: refusal, flows: 0, text: text))
      }
    }
  }

  private func take(_ request: UInt32, _ index: UInt16, _ count: UInt16, _ octets: [UInt8]) {
    switch assembly.take(index, of: count, octets) {
    case .waiting: return
    case .broken: return fail(request, "the plan did not arrive whole")
    case .whole(let octets): put(octets, request)
    }
  }

  /// Makes a plan that serve sent the one in force.
  private func put(_ octets: [UInt8], _ request: UInt32) {
    do {
      let plan = try FirewallPlan(decoding: octets)
      if let excess = excess(of: plan) { return refuse(request, excess) }
      try follow(plan)
      try planFile.store(octets)
      answer(.done(request: request, refusal: nil, flows: 0, text: ""))
    } catch let fault as TableInstaller.InstallationError {
      fail(request, fault.text)
    } catch {
      fail(request, "the plan cannot be used: \(error)")
    }
  }

  func fail(_ request: UInt32, _ text: String) {
    answer(.done(request: request, refusal: BridgeRefusal(.failed), flows: 0, text: text))
  }

  private func list(_ request: UInt32, _ plan: UInt64, _ server: UInt16) {
    guard let writer, writer.fingerprint == plan else {
      answer(.done(request: request, refusal: BridgeRefusal(.otherPlan), flows: 0, text: ""))
      return
    }
    do {
      page(request, try writer.list(server: server))
    } catch {
      answer(.done(request: request, refusal: BridgeRefusal(errno: error.errno), flows: 0, text: "\(error)"))
    }
  }

  private func page(_ request: UInt32, _ elements: [ListedElement]) {
    var rest = elements[...]
    repeat {
      let page = rest.prefix(BridgeMessage.maximumElements)
      rest = rest.dropFirst(page.count)
      answer(.page(request: request, last: rest.isEmpty, elements: Array(page)))
    } while !rest.isEmpty
  }

  private func remove(_ request: UInt32, _ table: String) {
    // That is the operator's own command, whose bridge has no bounds.
    guard bounds.envelope == nil else { return refuse(request, "serve may not remove the table") }
    let isManaged = writer?.plan.mode != .sets
    guard isManaged else { return fail(request, "the table is not ours to remove") }
    let known: [String: SetDescription]
    do throws(SystemError) {
      known = try kernel.sets(family: .inet, table: table)
    } catch {
      return fail(request, "the table cannot be read: \(error)")
    }
    guard known.isEmpty || TableInstaller.isOurs(known) else { return fail(request, "the table is not of our making") }
    // First: a worker that came after this one would put a table back whose plan is still written down.
    do throws(SystemError) {
      try planFile.forget()
    } catch {
      return fail(request, "the plan cannot be forgotten: \(error)")
    }
    writer = nil
    books = nil
    pending = nil
    alarm.watch(nil)
    _ = closing.prepare(nil, reading: kernel)
    // What was governed once is released with the rules.
    if let state { StateFolder(descriptor: state, table: table).forgetNetworks() }
    let error = transaction.deleteTable(KernelSet(family: .inet, table: table, name: ""))
    installer.owner?.forget()
    let refusal = error == 0 || error == ENOENT ? nil : BridgeRefusal(errno: error)
    answer(.done(request: request, refusal: refusal, flows: 0, text: refusal.map { "\($0)" } ?? ""))
  }
}
