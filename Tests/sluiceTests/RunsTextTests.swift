import ArgumentParser
import AuditStore
import Testing

@testable import sluice

@Suite("Runs, for people")
struct RunsTextTests {
  private static func run(_ from: Int64, until: Int64? = nil, last: Int64, _ end: ServiceRuns.Run.End)
    -> ServiceRuns.Run
  {
    var run = ServiceRuns.Run(began: from * 1000, first: from * 1000, last: last * 1000)
    (run.stopped, run.end) = (until.map { $0 * 1000 }, end)
    return run
  }

  private static let runs = [
    run(100, until: 200, last: 200, .stopped), run(300, last: 350, .crashed), run(400, last: 450, .none),
  ]

  @Test("whether it was up at a time is one sentence, and the exit status says the same")
  func moments() throws {
    let text = RunsText(try TimeOption.parse(["--utc"]))
    func state(_ second: Int64) -> (text: String, isUp: Bool) { text.state(Self.runs, at: second * 1000) }
    #expect(
      state(150)
        == (
          "up at 1970-01-01 00:02:30Z: it ran from 1970-01-01 00:01:40Z until 1970-01-01 00:03:20Z, when it stopped",
          true
        ))
    #expect(
      state(250)
        == (
          "down at 1970-01-01 00:04:10Z: it stopped at 1970-01-01 00:03:20Z, and began again at 1970-01-01 00:05:00Z",
          false
        ))
    #expect(
      state(340).isUp
        && state(340).text.hasSuffix("its last event is of 1970-01-01 00:05:50Z; it ended without stopping"))
    #expect(!state(360).isUp && state(360).text.hasPrefix("down at 1970-01-01 00:06:00Z, or about to be: "))
    #expect(state(460).isUp && state(460).text.contains("as far as the log tells"))
    #expect(!state(50).isUp && state(50).text == "not known: the log begins at 1970-01-01 00:01:40Z")
    #expect(text.state([], at: 0).text == "not known: the log has no event of a run")
  }

  @Test("a run is a row, and an object whose times are UTC")
  func rows() throws {
    let text = RunsText(try TimeOption.parse([]))
    #expect(text.columns(Self.runs[1])[2] == "crashed" && text.columns(Self.runs[2])[2] == "-")
    var failed = Self.runs[0]
    (failed.error, failed.version) = ("no\nbridge", "0.1.0")
    #expect(text.columns(failed)[2...] == ["stopped: no?bridge", text.columns(failed)[1], "0.1.0"])
    #expect(
      RunsText.json(failed)
        == #"{"from":"1970-01-01T00:01:40.000Z","until":"1970-01-01T00:03:20.000Z","end":"stopped","#
        + #""first_event":"1970-01-01T00:01:40.000Z","last_event":"1970-01-01T00:03:20.000Z","version":"0.1.0","#
        + #""error":"no\u000abridge"}"#)
    #expect(RunsText.json(Self.runs[2]).contains(#""until":null,"end":null"#))
    let far = Self.run(253_402_300_799, last: 253_402_300_799, .none)
    #expect(RunsText.json(far).contains(#""last_event":"9999-12-31T23:59:59.000Z""#))
  }
}
