import DNSWire

/// The types that each profile of rules allows, in flat memory.
struct TypeTable: ~Copyable, Sendable {
  struct Run: BitwiseCopyable, Sendable {
    var start = 0
    var count = 0
  }

  private var firstRuns: FlatArray<Int>
  private var runs: FlatArray<Run>
  private var values: FlatArray<UInt16>

  init(_ lists: [RuleList]) {
    let profiles = lists.flatMap(\.profiles)
    firstRuns = FlatArray(repeating: 0, count: lists.count)
    runs = FlatArray(repeating: Run(), count: profiles.count)
    values = FlatArray(repeating: 0, count: profiles.reduce(0) { $0 + $1.types.count })
    var first = 0
    for (server, list) in lists.enumerated() {
      firstRuns[server] = first
      first += list.profiles.count
    }
    var start = 0
    for (index, profile) in profiles.enumerated() {
      runs[index] = Run(start: start, count: profile.types.count)
      for type in profile.types {
        values[start] = type.rawValue
        start += 1
      }
    }
  }

  func allows(_ type: RRType, server: Int, profile: Int) -> Bool {
    let run = runs[firstRuns[server] &+ profile]
    var index = run.start
    while index < run.start &+ run.count {
      if values[index] == type.rawValue { return true }
      index &+= 1
    }
    return false
  }
}
