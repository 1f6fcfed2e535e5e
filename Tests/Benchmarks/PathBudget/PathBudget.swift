import CCallgrind
import Glibc
import Resolver

/// Puts one kind of query through the query path again and again, and nothing else: see budget.py, which counts.
///
///     PathBudget LOAD BATCHES SCENARIO [allocation|reference]
///     PathBudget --writer KIND EVENTS FOLDER
///
/// A batch goes through uncounted first: what happens once is no cost of a packet. The last word makes every packet
/// cost one more of it, so that budget.py can show that it would notice.
@main
struct PathBudget {
  static func main() throws {
    let arguments = CommandLine.arguments
    if arguments.count == 2, arguments[1] == "--list" {
      for load in Load.allCases { print(load.rawValue, Load.batch) }
      return
    }
    if arguments.count == 5, arguments[1] == "--writer", let writing = LogWriting(rawValue: arguments[2]),
      let events = Int(arguments[3]), events > 0
    {
      return try writing.run(events, in: arguments[4])
    }
    guard (4...5).contains(arguments.count), let load = Load(rawValue: arguments[1]),
      let batches = Int(arguments[2]), batches > 0, let scenario = Scenario(rawValue: arguments[3]),
      let waste = Waste(rawValue: arguments.count == 5 ? arguments[4] : "nothing")
    else {
      fail("PathBudget LOAD BATCHES one|many|large [allocation|reference], or PathBudget --list")
    }
    let packets = load.packets(scenario)
    let snapshot = try scenario.snapshot()
    load.fillCache(of: snapshot, scenario)
    let expected = load.expected
    var replay = Replay(waste, with: snapshot)
    for batch in 0...batches {
      if batch == 1 { sluice_callgrind_start() }
      let seen = replay.batch(packets)
      guard seen == expected else { fail("`\(load)` came to \(seen) and not to \(expected)") }
    }
    sluice_callgrind_stop()
  }
}

func fail(_ text: String) -> Never {
  let line = Array("PathBudget: \(text)\n".utf8)
  _ = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
  exit(1)
}
