import DNSWire
import Glibc
import LinuxIO
import TestSupport
import Testing
import Validation

@testable import Validator

/// The validator as it runs: its processes, its socket, and what serve sees of it.
@Suite(
  "The validator", .serialized, .timeLimit(.minutes(2)),
  .enabled(if: Kernel.host != nil, "needs the built executable beside the tests, or SLUICE_BRIDGE_HOST"))
struct ValidatorTests {
  /// A link with a reactor that is turned until something came of it.
  private final class Bench {
    let reactor: Reactor
    let link: ValidatorLink
    var isGone = false

    init() throws {
      let host = try #require(Kernel.host)
      reactor = try Reactor()
      link = try ValidatorLink(reactor: reactor, child: try ValidatorChild.spawn(account: nil, executable: host))
      link.onGone = { [unowned self] in isGone = true }
    }

    func until(_ what: String, _ condition: () -> Bool) throws {
      let end = MonotonicTime.now().adding(milliseconds: 20_000)
      while !condition() {
        guard MonotonicTime.now() < end else { throw Kernel.Failure(description: "\(what): not within 20 s") }
        reactor.turn()
        usleep(1_000)
      }
    }

    /// A question whose verdict is known: an answer to it that nobody signed.
    func judge(_ count: Int = 1, owner: UInt16 = 1) -> Box {
      let box = Box()
      for _ in 0..<count { link.judge(Self.judgement, for: owner) { box.verdicts.append($0) } }
      return box
    }

    static let judgement = Judgement(
      .keys(zone: .root, signers: []), message: Messages.response("example", .DNSKEY, answers: []), now: 0)

    /// The worker that is there now.
    func worker() throws -> Int32 {
      let text = try Kernel.run("cat /proc/\(link.supervisor)/task/\(link.supervisor)/children")
      return try #require(text.split(separator: " ").first.flatMap { Int32($0) })
    }
  }

  private final class Box {
    var verdicts: [Verdict] = []
  }

  private static let known = Verdict.unsigned(ttl: .max)

  @Test("each judgement has its verdict, in the order of one server's questions")
  func verdicts() throws {
    let bench = try Bench()
    let box = bench.judge(100)
    try bench.until("verdicts") { box.verdicts.count == 100 }
    #expect(box.verdicts.allSatisfy { $0 == Self.known } && bench.link.isUp)
    #expect(bench.link.statistics.judgements == 100 && bench.link.statistics.failures == 0)
  }

  @Test("a server that has more to judge than all may have waiting takes nothing from another one's share")
  func shares() throws {
    let bench = try Bench()
    // The first worker has not come yet: all of them wait.
    let greedy = bench.judge(ValidatorLink.maxWaiting + 50, owner: 1)
    let modest = bench.judge(40, owner: 2)
    try bench.until("verdicts") {
      greedy.verdicts.count == ValidatorLink.maxWaiting + 50 && modest.verdicts.count == 40
    }
    #expect(modest.verdicts.allSatisfy { $0 == Self.known })
    let refused = greedy.verdicts.count { $0 == .bogus(.overloaded) }
    #expect(refused == 90 && greedy.verdicts.count { $0 == Self.known } == ValidatorLink.maxWaiting - 40)
    #expect(bench.link.statistics.failures == 90)
  }

  @Test("a worker that is killed is replaced, and costs one judgement at most")
  func killed() throws {
    let bench = try Bench()
    try bench.until("the start") { bench.link.isUp }
    for round in 1...3 {
      let before = try bench.worker()
      kill(before, SIGKILL)
      let box = bench.judge(50)
      try bench.until("verdicts") { box.verdicts.count == 50 }
      #expect(box.verdicts.filter { $0 == .bogus(.validatorDown) }.count <= 1)
      try bench.until("another worker") { bench.link.statistics.restarts == round }
      #expect(try bench.worker() != before)
    }
    #expect(bench.link.isUp && !bench.isGone)
  }

  @Test("one that stands still is given up after a second, what waits is turned away, and another one answers")
  func stopped() throws {
    let bench = try Bench()
    try bench.until("the start") { bench.link.isUp }
    kill(try bench.worker(), SIGSTOP)
    let box = bench.judge(10)
    try bench.until("an end") { box.verdicts.count == 10 }
    #expect(box.verdicts.allSatisfy { $0 == .bogus(.validatorDown) })
    try bench.until("another worker") { bench.link.isUp }
    let after = bench.judge()
    try bench.until("a verdict") { after.verdicts.count == 1 }
    #expect(after.verdicts == [Self.known])
  }

  @Test("where its supervisor is gone too, that is told once")
  func gone() throws {
    let bench = try Bench()
    try bench.until("the start") { bench.link.isUp }
    let worker = try bench.worker()
    kill(bench.link.supervisor, SIGKILL)
    kill(worker, SIGKILL)
    try bench.until("the end") { bench.isGone }
    let box = bench.judge()
    try bench.until("an end") { box.verdicts.count == 1 }
    #expect(box.verdicts == [.bogus(.validatorDown)] && !bench.link.isUp)
  }

  @Test("the worker has no capability, no file but its own three, and one filter more than its supervisor")
  func confined() throws {
    let bench = try Bench()
    try bench.until("the start") { bench.link.isUp }
    let (worker, supervisor) = (try bench.worker(), bench.link.supervisor)
    for pid in [worker, supervisor] {
      let found = try Kernel.capabilities(of: pid)
      #expect(found["NoNewPrivs"] == 1)
      for set in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] { #expect(found[set] == 0, "\(set) of \(pid)") }
    }
    let open = try Kernel.run("ls -l /proc/\(worker)/fd").split(separator: "\n").filter { $0.contains("->") }
    #expect(open.filter { $0.contains("socket:") }.count == 2, "\(open)")
    #expect(open.allSatisfy { $0.contains("socket:") || $0.contains("/dev/null") || $0.contains(" 2 ->") }, "\(open)")
    func filters(_ pid: Int32) throws -> Int? {
      Int(
        try Kernel.run("sed -n 's/Seccomp_filters:[^0-9]*//p' /proc/\(pid)/status").split(separator: "\n").first ?? "")
    }
    let (own, above) = (try #require(try filters(worker)), try #require(try filters(supervisor)))
    #expect(own == above + 1)
  }

  @Test("the trial before it confines itself tells right signatures from wrong ones")
  func trial() { #expect(ValidatorTrial.passes()) }

  @Test("the subcommand is for sluice itself")
  func byHand() throws {
    let host = try #require(Kernel.host)
    for words in ["", "--worker", "--supervisor", "--nonsense"] {
      #expect(try Kernel.run("\(host) validator \(words) </dev/null; echo code $?").contains("code 64"))
    }
  }
}
