/// In which order servers are asked, and whether the second one is asked early.
///
/// Healthy servers stand before the others; of the same ones those that are asked by TLS before those that are not, then those
/// of which it is certain before those of which it is not, and then by latency. No server is asked early, or before its turn,
/// whose question is easier to overhear than that of the one whose turn it is.
struct UpstreamOrder {
  private let limits: UpstreamLimits
  private var hedges = HedgeBudget()
  /// Questions until one is asked of another server than the fastest.
  private var untilExploration: UInt64

  init(_ limits: UpstreamLimits) {
    self.limits = limits
    untilExploration = limits.exploration
  }

  /// A second server was asked early.
  mutating func hedged() { hedges.hedged() }

  /// The servers of a question, in their order.
  ///
  /// - Parameters:
  ///   - members: their places.
  ///   - now: nanoseconds of the monotonic clock.
  mutating func candidates(_ members: [Int], _ places: UpstreamPlaces, now: UInt64) -> [Exchange.Candidate] {
    guard members.count > 1 else { return members.map { places[$0].candidate($0, limits, now: now) } }
    var order = sorted(members, places)
    let hedge = hedge(order, places)
    if hedge != nil { explore(&order, places) }
    var candidates = order.map { places[$0].candidate($0, limits, now: now) }
    candidates[0].hedge = hedge
    return candidates
  }

  private func sorted(_ members: [Int], _ places: UpstreamPlaces) -> [Int] {
    members.sorted { left, right in
      let (a, b) = (places[left].health, places[right].health)
      if a.isHealthy != b.isHealthy { return a.isHealthy }
      if places[left].server.isSecure != places[right].server.isSecure { return places[left].server.isSecure }
      if a.isTrusted != b.isTrusted { return a.isTrusted }
      return a.latency < b.latency
    }
  }

  /// After how many milliseconds the second one is asked as well: when the fastest mostly has answered. Nil where there is no
  /// second one as good, or too many questions were asked of two.
  private mutating func hedge(_ order: [Int], _ places: UpstreamPlaces) -> UInt64? {
    hedges.asked()
    guard hedges.isLeft, isAsGood(order[1], as: order[0], places) else { return nil }
    return places[order[0]].health.hedge(limits)
  }

  /// Whether a server may be asked in another's place: it answers, and the question is not easier to overhear.
  private func isAsGood(_ server: Int, as other: Int, _ places: UpstreamPlaces) -> Bool {
    places[server].health.isTrusted && (places[server].server.isSecure || !places[other].server.isSecure)
  }

  /// Now and then a question goes first to the server of which the least is known by now.
  private mutating func explore(_ order: inout [Int], _ places: UpstreamPlaces) {
    untilExploration -= 1
    guard untilExploration == 0 else { return }
    untilExploration = limits.exploration
    let others = order.indices.dropFirst().filter { isAsGood(order[$0], as: order[0], places) }
    let oldest = others.min {
      places[order[$0]].health.measuredAt < places[order[$1]].health.measuredAt
    }
    if let oldest { order.insert(order.remove(at: oldest), at: 0) }
  }
}
