import AuditLog
import Testing

@testable import AuditStore

@Suite("Runs that the log tells of")
struct ServiceRunsTests {
  /// An event of the service, at so many seconds behind 09:00.
  private static func line(_ run: Int, _ second: Int, _ code: String, _ members: String = "") -> String {
    let time = "2026-11-20T09:\(second / 60 + 10):\(second % 60 + 10).000Z"
    let decision = code == "crashed" ? "error" : "observe"
    let number = String(run, radix: 16)
    let id = String(repeating: "0", count: 10 - number.count) + number
    return #"{"ts":"\#(time)","server":"*","destination":"","decision":"\#(decision)","reason":"r","payload_size":0,"#
      + #""id":"\#(id)-0000000001","code":"\#(code)","client":null,"client_port":null,"transport":null,"type":null,"#
      + #""rcode":null,"count":1\#(members)}"#
  }

  private static func time(_ second: Int) -> Int64 {
    1_795_165_200_000 + Int64(second / 60 + 10) * 60_000 + Int64(second % 60 + 10) * 1000
  }

  private static func runs(_ lines: String...) throws -> [ServiceRuns.Run] {
    var runs = ServiceRuns()
    for text in lines {
      // As the threads of a scan do it.
      var one = ServiceRuns()
      one.add(try #require(LogLine(Array(text.utf8)[...])))
      runs.add(one)
    }
    return runs.runs
  }

  private static let version = #","version":"0.1.0""#

  @Test("a run lasts from its start to its stop, and one that did not stop to its last event")
  func ends() throws {
    let runs = try Self.runs(
      Self.line(100, 0, "started", Self.version),
      Self.line(100, 60, "stopped", Self.version + #","error":"no bridge""#),
      Self.line(200, 120, "started", Self.version), Self.line(200, 150, "policy-reloaded"),
      Self.line(300, 200, "crashed", #","began":"2026-11-20T09:12:10.000Z""#),
      Self.line(300, 200, "started", Self.version), Self.line(400, 260, "started", Self.version))
    #expect(runs.map(\.end) == [.stopped, .crashed, .untold, .none])
    #expect(runs.map(\.began) == [0, 120, 200, 260].map(Self.time))
    #expect(runs.map(\.last) == [60, 150, 200, 260].map(Self.time))
    #expect(runs[0].stopped == Self.time(60) && runs[0].error == "no bridge" && runs[0].version == "0.1.0")
  }

  @Test("what a start writes of the run before it is that run's, and no run of its own")
  func recovery() throws {
    let runs = try Self.runs(
      Self.line(100, 0, "started"), Self.line(199, 30, "policy-reloaded"), Self.line(200, 60, "crashed"),
      Self.line(200, 60, "started"))
    #expect(runs.map(\.last) == [30, 60].map(Self.time) && runs.map(\.end) == [.crashed, .none])
  }

  @Test("a start that failed is no run, whatever it wrote of the run before it")
  func failedStart() throws {
    let killed = [Self.line(100, 0, "started"), Self.line(199, 30, "policy-reloaded")]
    let alone = try Self.runs(killed[0], killed[1])
    #expect(alone.map(\.last) == [Self.time(30)] && alone.map(\.end) == [.none])
    let followed = try Self.runs(
      killed[0], killed[1], Self.line(300, 60, "crashed", #","began":"2026-11-20T09:10:10.000Z""#),
      Self.line(300, 60, "started"))
    #expect(followed.map(\.began) == [0, 60].map(Self.time) && followed.map(\.end) == [.crashed, .none])
    let stopped = try Self.runs(
      killed[0], Self.line(100, 40, "stopped"), Self.line(200, 50, "policy-reloaded"), Self.line(300, 60, "started"))
    #expect(stopped.map(\.last) == [40, 60].map(Self.time) && stopped.map(\.end) == [.stopped, .none])
  }

  @Test("a run whose start is in no file any more begins where the next one says, or with its first event")
  func rotatedAway() throws {
    let crashed = try Self.runs(
      Self.line(100, 30, "policy-reloaded"), Self.line(200, 60, "crashed", #","began":"2026-11-20T09:10:10.000Z""#),
      Self.line(200, 60, "started"))
    #expect(crashed[0].began == Self.time(0) && crashed[0].first == Self.time(30))
    let stopped = try Self.runs(Self.line(100, 30, "policy-reloaded"), Self.line(100, 40, "stopped"))
    #expect(stopped[0].began == nil && stopped[0].stopped == Self.time(40))
  }

  @Test("of every moment is said what is known, and no more")
  func moments() throws {
    let runs = try Self.runs(
      Self.line(100, 10, "started"), Self.line(100, 60, "stopped"), Self.line(200, 120, "started"),
      Self.line(200, 150, "policy-reloaded"), Self.line(300, 200, "crashed"), Self.line(300, 200, "started"),
      Self.line(300, 260, "policy-reloaded"))
    func state(_ second: Int) -> ServiceRuns.State { ServiceRuns.state(of: runs, at: Self.time(second)) }
    #expect(state(9) == .untold)
    #expect(state(10) == .up(runs[0]) && state(60) == .up(runs[0]))
    #expect(state(61) == .down(runs[0], next: runs[1]) && state(119) == .down(runs[0], next: runs[1]))
    #expect(state(150) == .up(runs[1]))
    #expect(state(151) == .unsure(runs[1], next: runs[2]) && state(199) == .unsure(runs[1], next: runs[2]))
    #expect(state(260) == .up(runs[2]) && state(261) == .upAsFarAsTold(runs[2]))
    #expect(ServiceRuns.state(of: Array(runs[..<1]), at: Self.time(61)) == .down(runs[0], next: nil))
    #expect(ServiceRuns.state(of: [], at: 0) == .untold)
  }
}
