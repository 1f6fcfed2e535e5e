import Glibc
import Resolver

/// Puts one kind of query through the query path again and again, and nothing else: see budget.py, which counts.
///
///     PathBudget LOAD BATCHES [one|many [wasteful]]
///
/// `wasteful` allocates once for each packet, so that budget.py can show that it would notice.
@main
struct PathBudget {
  static func main() throws {
    let arguments = CommandLine.arguments
    if arguments.count == 2, arguments[1] == "--list" {
      for load in Load.allCases { print(load.rawValue, Load.batch) }
      return
    }
    let isWasteful = arguments.count == 5 && arguments[4] == "wasteful"
    guard (3...4).contains(arguments.count) || isWasteful, let load = Load(rawValue: arguments[1]),
      let batches = Int(arguments[2]), batches > 0,
      let scenario = Scenario(rawValue: arguments.count > 3 ? arguments[3] : "one")
    else {
      fail("PathBudget LOAD BATCHES [one|many [wasteful]], or PathBudget --list")
    }
    let packets = load.packets(scenario)
    let snapshot = try scenario.snapshot()
    load.fillCache(of: snapshot)
    let expected = load.expected
    var replay = Replay(snapshot)
    replay.isWasteful = isWasteful
    for _ in 0..<batches {
      let seen = replay.batch(packets)
      guard seen == expected else { fail("`\(load)` came to \(seen) and not to \(expected)") }
    }
  }
}

func fail(_ text: String) -> Never {
  let line = Array("PathBudget: \(text)\n".utf8)
  _ = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
  exit(1)
}
