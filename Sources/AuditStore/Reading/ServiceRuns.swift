import AuditLog

/// When serve ran, by what its runs wrote: each event bears the number of its run.
package struct ServiceRuns: LogSink {
  /// One run of serve, from its start to its end, as far as the log tells of it.
  package struct Run: Equatable, Sendable {
    /// How a run ended.
    package enum End: String, Sendable {
      case stopped
      case crashed
      /// It is followed by another run, and no event says how it ended.
      case untold
      /// The last one, and it has not stopped: it serves, or was killed and not started since.
      case none
    }

    /// Times are in milliseconds since 1970. Nil where the log does not reach back to its start.
    package var began: Int64?
    /// Of its events.
    package var first: Int64
    package var last: Int64
    /// Where it stopped.
    package var stopped: Int64?
    package var end = End.none
    package var version: String?
    /// Why it stopped, where it was not asked to.
    package var error: String?

    package init(began: Int64?, first: Int64, last: Int64) {
      (self.began, self.first, self.last) = (began, first, last)
    }
  }

  /// What the events of one run say.
  private struct Evidence: Sendable {
    var first = Int64.max
    var last = Int64.min
    var started: AuditEvent?
    var stopped: AuditEvent?
    /// The beginning of the run before it, which crashed.
    var crashed: String??

    mutating func add(_ other: Evidence) {
      first = min(first, other.first)
      last = max(last, other.last)
      started = started ?? other.started
      stopped = stopped ?? other.stopped
      crashed = crashed ?? other.crashed
    }
  }

  /// By the run's number.
  private var found: [UInt64: Evidence] = [:]

  package init() {}

  /// Notes what an event says of the run that wrote it; one without number or time says nothing.
  package mutating func add(_ line: borrowing LogLine) {
    guard let run = line.run, let time = line.time else { return }
    var evidence = Evidence(first: time, last: time)
    switch line.code {
    case .started: evidence.started = line.event
    case .stopped: evidence.stopped = line.event
    case .crashed: evidence.crashed = .some(line.event?.members[.began])
    default: break
    }
    found[run, default: Evidence()].add(evidence)
  }

  /// Nothing is handed on before the end.
  package func part(isEnd: Bool) -> Never? { nil }

  /// Adds what another thread found; a run may have events in both.
  package mutating func add(_ other: ServiceRuns) {
    found.merge(other.found) { evidence, other in
      var evidence = evidence
      evidence.add(other)
      return evidence
    }
  }

  /// Oldest first.
  package var runs: [Run] {
    let found = joined
    let numbers = found.keys.sorted()
    return numbers.indices.compactMap { index in
      guard let evidence = found[numbers[index]] else { return nil }
      let next = index + 1 < numbers.count ? found[numbers[index + 1]] : nil
      return Self.run(evidence, next)
    }
  }

  /// With what a start wrote of the rings of the run before it, under the number before its own, as that run's. A start that
  /// failed wrote that and no `started`: it never served, and is no run. What it wrote behind a stop is of no run.
  private var joined: [UInt64: Evidence] {
    var joined: [UInt64: Evidence] = [:]
    var before: UInt64?
    for (number, evidence) in found.sorted(by: { $0.key < $1.key }) {
      if let run = before, evidence.started == nil {
        if joined[run]?.stopped == nil { joined[run]?.add(evidence) }
      } else {
        joined[number] = evidence
        before = number
      }
    }
    return joined
  }

  private static func run(_ evidence: Evidence, _ next: Evidence?) -> Run {
    let stopped = evidence.stopped.map { Int64($0.fields.wallClock / 1_000_000) }
    // Where its own start is not in the log any more, the run after it tells, if it crashed.
    let began =
      evidence.started.map { Int64($0.fields.wallClock / 1_000_000) }
      ?? next?.crashed.flatMap { $0 }.flatMap { LogTime.milliseconds($0) }
    let end: Run.End =
      if stopped != nil {
        .stopped
      } else if next?.crashed != nil {
        .crashed
      } else {
        next == nil ? .none : .untold
      }
    var run = Run(began: began, first: evidence.first, last: evidence.last)
    (run.stopped, run.end) = (stopped, end)
    run.version = (evidence.started ?? evidence.stopped)?.members[.version]
    run.error = evidence.stopped?.members[.error]
    return run
  }
}

extension ServiceRuns {
  /// What the log says of a moment.
  package enum State: Equatable, Sendable {
    case up(Run)
    /// In the last run, and after its last event.
    case upAsFarAsTold(Run)
    /// Between two runs; the first of them did not stop, and may have gone on after its last event.
    case unsure(Run, next: Run)
    case down(Run, next: Run?)
    /// Before the first event.
    case untold
  }

  /// - Parameter moment: milliseconds since 1970.
  package static func state(of runs: [Run], at moment: Int64) -> State {
    guard let index = runs.lastIndex(where: { ($0.began ?? $0.first) <= moment }) else { return .untold }
    let run = runs[index]
    let next = index + 1 < runs.count ? runs[index + 1] : nil
    if let stopped = run.stopped { return moment <= stopped ? .up(run) : .down(run, next: next) }
    if moment <= run.last { return .up(run) }
    guard let next else { return .upAsFarAsTold(run) }
    return .unsure(run, next: next)
  }
}
