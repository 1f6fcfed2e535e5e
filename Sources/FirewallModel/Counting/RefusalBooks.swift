/// What the kernel refused and what was told of it, minute by minute. Performs nothing; times are nanoseconds since 1970, as
/// the kernel's log has them.
package struct RefusalBooks {
  /// The last readings of the counters by name of the server; they begin before anything is counted here.
  private var readings: [String: UInt64] = [:]
  private var refused: [String: UInt64] = [:]
  private var told: [String: UInt64] = [:]
  /// Told of packets that came after the reading that closes the books: they belong to the next.
  private var early: [String: UInt64] = [:]
  private var cut: Set<String> = []
  /// What the closing rules had dropped at the last reading: a number of its own, for it outlives the table's counters.
  private var dropped: UInt64
  private var closesAt: UInt64?
  private var began: UInt64
  /// When the counters were read last.
  package private(set) var readAt: UInt64

  /// - Parameters:
  ///   - counts: what the counters stand at already.
  ///   - dropped: packets that the closing rules have dropped already.
  package init(_ counts: [String: UInt64], dropped: UInt64 = 0, at wall: UInt64) {
    self.dropped = dropped
    readings = counts
    began = wall
    readAt = wall
  }

  /// Whether anything was told since the counters were read last.
  package private(set) var isBusy = false

  /// The kernel told of a packet of `wall`, and serve got it.
  package mutating func count(_ server: String, at wall: UInt64) {
    isBusy = true
    if let closesAt, wall > closesAt {
      early[server, default: 0] += 1
    } else {
      told[server, default: 0] += 1
    }
  }

  /// The counters as they stand. One that stands lower than before, or is gone, began again at nothing: what it had counted
  /// since it was read last is lost.
  ///
  /// - Parameters:
  ///   - dropped: packets that the closing rules have dropped, counted with the host's; nil where it cannot be read.
  ///   - closes: what came until now makes up the books, which `close` hands out.
  package mutating func read(
    _ counts: [String: UInt64], dropped now: UInt64? = nil, at wall: UInt64, closes: Bool
  ) {
    if let now, now != dropped {
      // It goes down by another program's reset alone.
      refused[Ruleset.hostName, default: 0] += now < dropped ? now : now - dropped
      dropped = now
    }
    for (server, count) in counts {
      let before = readings[server] ?? 0
      if count < before { cut.insert(server) }
      refused[server, default: 0] += count < before ? count : count - before
    }
    for (server, before) in readings where counts[server] == nil && before > 0 { cut.insert(server) }
    readings = counts
    isBusy = false
    if cut.isEmpty { readAt = wall }
    if closes { closesAt = wall }
  }

  /// Whether all that was refused until the counters were read last was told.
  package var isBalanced: Bool { refused.allSatisfy { $0.value == told[$0.key] ?? 0 } }

  /// Counters of other servers are taken away by a new plan; that loses nothing.
  package mutating func retain(_ servers: [String]) {
    let kept = Set(servers)
    readings = readings.filter { kept.contains($0.key) }
  }

  /// The books until the reading that closed them, of servers of which anything is in them, in the order of their names.
  package mutating func close() -> [RefusalBook] {
    let servers = Set(refused.filter { $0.value > 0 }.keys).union(told.keys).union(cut)
    let books = servers.sorted().map { server in
      RefusalBook(
        server: server, refused: refused[server] ?? 0, told: told[server] ?? 0, since: began,
        cutSince: cut.contains(server) ? readAt : 0)
    }
    began = closesAt ?? began
    readAt = began
    (refused, told, early, cut, closesAt) = ([:], early, [:], [], nil)
    return books
  }
}
