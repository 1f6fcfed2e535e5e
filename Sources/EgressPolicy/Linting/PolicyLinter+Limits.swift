/// Findings about caps and times.
extension PolicyLinter {
  static func checkTimes(_ server: ServerPolicy, _ now: UInt64, _ findings: inout [Diagnostic]) {
    let over = server.rules.profiles.map { profile in profile.until.flatMap { $0 <= now ? $0 : nil } }
    if over.contains(where: { $0 != nil }) {
      for (index, entry) in server.rules.entries.enumerated() {
        guard let until = over[Int(entry.profile)] else { continue }
        let pattern = server.rules.pattern(at: index)
        findings.append(.warning(ended("\(pattern)", until, "admits"), at: server.rules.location(at: index)))
      }
    }
    for rule in server.prefixes {
      guard let until = rule.until, until <= now else { continue }
      findings.append(.warning(ended("\(rule.prefix)", until, "opens"), at: rule.location))
    }
  }

  private static func ended(_ what: String, _ until: UInt64, _ verb: String) -> String {
    "\(what) ended at \(PolicyTime.text(until)): the entry \(verb) nothing"
  }

  static func checkCaps(_ server: ServerPolicy, _ findings: inout [Diagnostic]) {
    let caps = server.connectionCaps.count + server.hourCaps.count
    guard caps > 0 else { return }
    if caps > ServerPolicy.maximumCaps {
      findings.append(
        .error(
          "server \(server.name) has \(caps) different max-bytes and max-bytes-per-hour, expected at most "
            + "\(ServerPolicy.maximumCaps)", at: firstBeyond(ServerPolicy.maximumCaps, server) ?? server.location))
    }
    var first: [NamePattern: Int] = [:]
    for index in server.rules.indices {
      let pattern = server.rules.pattern(at: index)
      guard let other = first[pattern] else {
        first[pattern] = index
        continue
      }
      let (left, right) = (server.rules.profile(at: other), server.rules.profile(at: index))
      guard left.maxBytes != right.maxBytes || left.maxBytesPerHour != right.maxBytesPerHour else { continue }
      findings.append(
        .warning(
          "\(pattern) stands already at \(server.rules.location(at: other).full) with other caps: the smaller ones hold"
            + (blocksWhatIsTold(left, right) ? ", and block" : ""),
          at: server.rules.location(at: index)))
    }
  }

  /// Whether one bound of the two blocks what the other one only tells.
  private static func blocksWhatIsTold(_ left: RuleList.Profile, _ right: RuleList.Profile) -> Bool {
    [(left.maxBytes, right.maxBytes), (left.maxBytesPerHour, right.maxBytesPerHour)].contains { first, second in
      first.map { $0.excess != second?.excess ?? $0.excess } ?? false
    }
  }

  /// Where the first cap stands that is one too many.
  private static func firstBeyond(_ limit: Int, _ server: ServerPolicy) -> SourceLocation? {
    var connection: Set<ByteBound> = []
    var hour: Set<ByteBound> = []
    for index in server.rules.indices {
      let profile = server.rules.profile(at: index)
      if let cap = profile.maxBytes { connection.insert(cap) }
      if let cap = profile.maxBytesPerHour { hour.insert(cap) }
      if connection.count + hour.count > limit { return server.rules.location(at: index) }
    }
    return nil
  }
}

extension RuleList {
  fileprivate func profile(at index: Int) -> Profile { profiles[Int(entries[index].profile)] }
}
