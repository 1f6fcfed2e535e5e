import ArgumentParser
import AuditLog
import AuditStore
import Foundation
import LinuxIO

struct LogRunsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "runs",
    abstract: "Show when Sluice ran, and how each run ended; with --at whether it was up at a time.",
    discussion: """
      Of a run that crashed the log has the last event that it wrote: it ended between that and the start of the next one. \
      --at exits with 0 where Sluice was up then, else with 1. The firewall's rules stay while nothing serves: what was \
      open closes in time, and no name is answered.

      Examples:
        sluice log runs --since 7d
        sluice log runs --at 02:00
        sluice log runs --at 'yesterday 02:00' && echo it was up
      """)

  @ParentCommand var log: LogCommand
  @OptionGroup var source: LogSource
  @OptionGroup var output: LogOutput
  @OptionGroup var times: TimeOption
  @Option(help: "Say whether it was up then; as --since.") var at: String?

  func validate() throws {
    try log.refuseAll(but: Set(output.given))
    if let at, let moment = try LogSource.time(at, "--at"), moment > Date() {
      throw ValidationError("--at is '\(at)', a time to come; expected one that is over, or now")
    }
    if at != nil, source.since != nil || source.until != nil || !output.given.isEmpty {
      throw ValidationError("--at goes with none of --since, --until, --limit and --json")
    }
  }

  func run() throws {
    var runs: [ServiceRuns.Run] = []
    // A run may have begun long before what is asked for.
    try source.read(as: LogFilter()) { reader throws(AuditStoreError) in
      let progress = Progress("reading the log")
      defer { progress.end() }
      runs = try reader.fold { ServiceRuns() }.reduce(into: ServiceRuns()) { $0.add($1) }.runs
    }
    if let moment = try LogSource.time(at, "--at") {
      let (text, isUp) = RunsText(times).state(runs, at: Int64(moment.timeIntervalSince1970 * 1000))
      StandardOutput.write(text)
      if !isUp { throw ExitCode.failure }
      return
    }
    let (since, until) = try source.interval()
    let shown = runs.filter { run in
      let end = run.end == .none ? .max : run.stopped ?? run.last
      return Double(end) >= (since?.timeIntervalSince1970 ?? 0) * 1000
        && Double(run.began ?? run.first) <= (until?.timeIntervalSince1970 ?? .infinity) * 1000
    }
    let rows = shown.suffix(output.limit ?? shown.count)
    if output.json {
      for run in rows { StandardOutput.write(RunsText.json(run)) }
    } else {
      for line in AlignedColumns.lines(RunsText.heading, rows.map(RunsText(times).columns)) {
        StandardOutput.write(line)
      }
    }
  }
}
