import FirewallBridge
import FirewallModel
import Glibc
import GrantLedger
import IPNetwork
import LinuxIO

private func fail(_ text: String) -> Never {
  let line = Array("BridgeBenchmark: \(text)\n".utf8)
  _ = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
  exit(1)
}

/// Fills one table by Sluice's bridge and prints, as JSON, how long the kernel took to have it: see bridge.py.
///
///     unshare -n BridgeBenchmark SLUICE [SERVERS [ELEMENTS-PER-SERVER [UNIT [SINGLES]]]]
@main
struct BridgeBenchmark {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count >= 2 else { fail("give the path of the sluice executable") }
    let numbers = arguments.dropFirst(2).map { Int($0) ?? 0 } + [1_000, 100, 50, 2_000].dropFirst(arguments.count - 2)
    guard numbers.allSatisfy({ $0 > 0 }) else { fail("the sizes are positive numbers") }
    do {
      let run = try Run(executable: arguments[1], servers: numbers[0], each: numbers[1], unit: numbers[2])
      let start = run.fill()
      let filled = run.now() - start
      let single = run.singles(numbers[3]).sorted()
      let text = { (value: UInt64) in "\(Double(value) / 1_000)" }
      print(
        """
        {"elements": \(numbers[0] * numbers[1]), "seconds": \(Double(filled) / 1e9), \
        "p50": \(text(single[single.count / 2])), "p99": \(text(single[single.count * 99 / 100])), \
        "max": \(text(single[single.count - 1]))}
        """)
    } catch {
      fail("\(error)")
    }
  }
}

private final class Run {
  private let reactor: Reactor
  private var link: BridgeLink?
  private let servers: Int
  private let units: [[GrantCommit]]
  private var isUp = false

  init(executable: String, servers: Int, each: Int, unit: Int) throws(SystemError) {
    self.servers = servers
    units = (0..<servers).flatMap { server in
      stride(from: 0, to: each, by: unit).map { start in
        (start..<min(start + unit, each)).map { Self.grant(server: server, number: server * each + $0) }
      }
    }
    let plan = FirewallPlan(
      mode: .managed,
      servers: (0..<servers).map { server in
        FirewallPlan.Server(
          name: "server-\(server)",
          prefixes: [IPPrefix("10.\(77 + server / 256).\(server % 256).0/24")].compactMap { $0 }, opensAnyPort: false)
      })
    reactor = try Reactor()
    let child = try BridgeChild.spawn(plan, executable: executable)
    link = try BridgeLink(reactor: reactor, child: child, plan: plan) { [unowned self] event in
      switch event {
      case .up:
        isUp = true
        reactor.stop()
      case .down, .broken:
        fail("the bridge said \(event)")
      default: break
      }
    }
    while !isUp { reactor.run() }
  }

  func now() -> UInt64 { MonotonicTime.now().nanoseconds }

  /// Commits every unit with as many outstanding as the queue takes; returns when it began.
  func fill() -> UInt64 {
    let start = now()
    // The queue holds 32,768 grants besides the batch in flight.
    let outstanding = 32_768 / (units.first?.count ?? 1)
    var next = 0
    var done = 0
    func submit() {
      let unit = units[next]
      next += 1
      commit(unit) { [self] in
        done += 1
        if next < units.count { submit() }
        if done == units.count { reactor.stop() }
      }
    }
    for _ in 0..<min(outstanding, units.count) where next < units.count { submit() }
    while done < units.count { reactor.run() }
    return start
  }

  /// Commits grants one at a time; returns how long each took, in nanoseconds.
  func singles(_ count: Int) -> [UInt64] {
    var times: [UInt64] = []
    func submit() {
      let grant = Self.grant(server: times.count * 7 % servers, number: 0x40_0000 + times.count)
      let start = now()
      commit([grant]) { [self] in
        times.append(now() - start)
        if times.count < count { submit() } else { reactor.stop() }
      }
    }
    submit()
    while times.count < count { reactor.run() }
    return times
  }

  private func commit(_ grants: [GrantCommit], _ done: @escaping () -> Void) {
    link?.commit(grants, deadline: MonotonicTime.now().adding(milliseconds: 60_000)) { outcome in
      guard outcome == .committed else { fail("a commit was \(outcome)") }
      done()
    }
  }

  private static func grant(server: Int, number: Int) -> GrantCommit {
    GrantCommit(
      element: GrantElement(
        server: UInt16(server), address: IPAddress(v4: 0x2D00_0000 + UInt32(number)), transport: 6, port: 443),
      lifetimeMilliseconds: 3_600_000)
  }
}
