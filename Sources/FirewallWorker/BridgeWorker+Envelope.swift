import BridgeProcesses
import FirewallModel
import GrantLedger
import HostNetwork
import LinuxIO

/// Holding what serve asks for against what the configuration's files allow.
extension BridgeWorker {
  struct Bounds {
    /// nil where the operator's own command runs this bridge.
    var envelope: Envelope?
    let source: String?
    /// Of the plan in force.
    var limits: ElementLimits?
    /// Reads the files, for the requests of `readers`.
    var reading: EnvelopeReading?
    var readers: [UInt32] = []
    /// Asked for while the files were being read.
    var waiting: [UInt32] = []
    /// Why the files could not be read the last time.
    var fault: String?
    /// How much was refused.
    var refused = 0
    var told: MonotonicTime?

    init(envelope: Envelope?, source: String?) {
      self.envelope = envelope
      self.source = source
    }
  }

  /// Between two lines about what was refused.
  private static let pause: UInt64 = 1_000

  // MARK: Refusing

  /// What of a plan goes beyond the bounds; nil without any.
  func excess(of plan: FirewallPlan) -> String? {
    guard let envelope = bounds.envelope, let excess = envelope.excess(of: plan, instead: writer?.plan ?? pending)
    else { return nil }
    let fault = bounds.fault.map { "; the files could not be read the last time: \($0)" } ?? ""
    return "the plan goes beyond what the configuration's files allow: \(excess)\(fault)"
  }

  /// Refuses a request that only a serve that does not what its files say would make.
  func refuse(_ request: UInt32, _ text: String) {
    count(1, text)
    answer(.done(request: request, refusal: BridgeRefusal(.outside), flows: 0, text: text))
  }

  /// What may be opened, and what no rule justifies; of a unit all or nothing.
  func split(_ grants: [UnitGrant]) -> (grants: [UnitGrant], outside: [RefusedUnit]) {
    guard let limits = bounds.limits else { return (grants, []) }
    var outside: Set<UInt32> = []
    var first: String?
    for grant in grants {
      guard let excess = limits.excess(of: grant.commit) else { continue }
      outside.insert(grant.unit)
      let element = grant.commit.element
      first = first ?? "\(element.address) for server \(name(of: element.server)): \(excess)"
    }
    guard let first else { return (grants, []) }
    count(outside.count, first)
    return (
      grants.filter { !outside.contains($0.unit) },
      outside.map { RefusedUnit(unit: $0, refusal: BridgeRefusal(.outside)) }
    )
  }

  private func name(of server: UInt16) -> String {
    guard let plan = writer?.plan, Int(server) < plan.servers.count else { return "\(server)" }
    return plan.servers[Int(server)].name
  }

  /// Counts, and says it on the standard error itself: serve is not the one to pass it on.
  private func count(_ more: Int, _ text: String) {
    bounds.refused += more
    let now = MonotonicTime.now()
    if let told = bounds.told, now < told.adding(milliseconds: Self.pause) { return }
    bounds.told = now
    BridgeProcess.writeError("refused (\(bounds.refused) so far): \(text)")
  }

  // MARK: Limits

  /// Takes note of what the elements of a plan that is in force may be.
  func limitElements(of plan: FirewallPlan, _ sets: [ServerSets]) {
    guard let envelope = bounds.envelope else { return }
    bounds.limits = envelope.limits(of: plan, sets: sets)
    learn(host)
  }

  /// Takes note of the host's own network.
  func learn(_ host: HostNetwork) {
    self.host = host
    bounds.limits?.learn(hostAddresses: host.ownAddresses, onLink: host.onLinkNetworks)
  }

  // MARK: Reading again

  func readEnvelope(_ request: UInt32) {
    guard bounds.source != nil else { return fail(request, "this bridge reads no configuration") }
    // What runs may have read what was there before.
    bounds.waiting.append(request)
    startReading()
  }

  private func startReading() {
    guard bounds.reading == nil, !bounds.waiting.isEmpty, let source = bounds.source else { return }
    (bounds.readers, bounds.waiting) = (bounds.waiting, [])
    do throws(SystemError) {
      bounds.reading = try EnvelopeReading(source)
    } catch {
      finishReading(.failure("no process can be started for it: \(error)"))
    }
  }

  /// Takes what the process that reads has written by now.
  func takeEnvelope() {
    guard let outcome = bounds.reading?.take() else { return }
    bounds.reading = nil
    finishReading(outcome)
    startReading()
  }

  private func finishReading(_ outcome: EnvelopeReading.Outcome) {
    let readers = bounds.readers
    bounds.readers = []
    bounds.fault = nil
    switch outcome {
    case .envelope(let read):
      let next = bounds.envelope?.reloaded(read) ?? read
      do throws(SystemError) {
        try planFile.store(next)
        apply(next)
      } catch {
        bounds.fault = "\(error)"
      }
    case .failure(let text): bounds.fault = text
    }
    for request in readers {
      if let fault = bounds.fault {
        fail(request, fault)
      } else {
        answer(.done(request: request, refusal: nil, flows: 0, text: ""))
      }
    }
  }

  private func apply(_ envelope: Envelope) {
    bounds.envelope = envelope
    // A plan that the files do not allow any more is followed by one that they do, whose elements are limited then.
    if let writer, envelope.excess(of: writer.plan) == nil { limitElements(of: writer.plan, writer.serverSets) }
  }
}
