import ArgumentParser
import Control
import ControlAPI
import Foundation
import LinuxIO
import Serving

struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show how the running server is: policy, queries, upstreams, firewall, audit log.",
    discussion: """
      The first line says whether it is ready: whether allowed names are answered, and what is refused is recorded. Exits \
      with 1 where it is not, and where no server answers: the audit log cannot be written, the firewall bridge is down, the \
      firewall does not hold what was granted, the validator or the gate is down, another program reads the kernel's log of refused packets, or no upstream \
      answers, or has answered yet.
      """)

  @OptionGroup var server: ControlOption
  @Flag(help: "Print one JSON object.") var json = false
  @OptionGroup var times: TimeOption

  func run() throws {
    let (status, octets) = try server.call(.get, .status, as: ControlAPI.Status.self)
    if json {
      StandardOutput.write(ControlAPI.line(octets))
    } else {
      for line in lines(status) { StandardOutput.write(line) }
    }
    if !status.ready { throw ExitCode.failure }
  }

  private func lines(_ status: ControlAPI.Status) -> [String] {
    let queries = status.queries
    let upstreams = status.upstreams.map { upstream in
      let latency = upstream.latencyMs.map { String(format: ", %.1f ms", $0) } ?? ""
      return
        "\(upstream.address)\(upstream.zone.map { " for \($0)" } ?? "") \(Self.health(upstream))\(latency)"
        + (upstream.refusing ? TerminalStyle.bad("; says \(upstream.refusedAs ?? "no") to everything") : "")
        + ((upstream.tlsFaultText ?? upstream.httpFaultText).map { TerminalStyle.bad("; \($0)") } ?? "")
        + (upstream.intercepted.map { TerminalStyle.bad("; answers every name from \($0), which is refused") } ?? "")
        + (upstream.byTcp ? TerminalStyle.bad("; by TCP alone: answers came that were not its own") : "")
    }
    let bridge = status.bridge
    let firewall =
      bridge.state == "off"
      ? "off: no address is opened or closed"
      : "\(bridge.mode), \(bridge.table ?? ""), bridge \(bridge.state), \(counted(bridge.grants, "address")) open"
        + (bridge.degraded ? TerminalStyle.bad("; DEGRADED: the kernel does not hold what was granted") : "")
    let audit = status.audit
    let rows: [(String, String)] =
      [
        (
          "ready",
          status.ready
            ? TerminalStyle.good("yes") : TerminalStyle.bad("no: \(status.faults.map(\.text).joined(separator: "; "))")
        ),
        (
          "sluice",
          "\(status.version), pid \(status.pid), up \(Self.duration(status.uptime)), since \(times.text(status.since))"
        ),
        ("listen", status.listen.map { Self.listen(status, $0) }.joined(separator: ", ")),
        (
          "policy",
          "\(status.policy.fingerprint), \(counted(status.policy.servers, "server")), \(counted(status.policy.names, "name")), since \(times.text(status.policy.since))"
        ),
        (
          "queries",
          "\(queries.total): \(queries.cached) cached, \(queries.resolved) resolved, \(queries.denied) denied, "
            + "\(queries.special) special, \(queries.failed) failed, \(queries.malformed) malformed"
        ),
        ("cache", "\(counted(status.cacheEntries, "answer")); \(counted(status.inFlight, "question")) in flight"),
      ] + status.needsRestart.map { ("restart", TerminalStyle.doubtful("needed for \($0.text)")) }
      + upstreams.map { ("upstream", $0) } + [
        ("firewall", firewall)
      ] + Self.enclosure(bridge) + Self.gate(status) + Self.validation(status) + [
        (
          "audit",
          "\(audit.path), \(counted(audit.events, "event")), \(audit.suppressed) counted in others"
            + ", \(audit.pending) of \(audit.room) octets waiting" + Self.faults(audit)
        ),
        ("promises", PromiseText.text(status.violations).map(TerminalStyle.bad) ?? "no violation seen"),
      ] + Self.lost(status) + (status.permits == 0 ? [] : [("permits", "\(status.permits): see `sluice allow list`")])
    return rows.map { TerminalStyle.heading($0.padding(toLength: 10, withPad: " ", startingAt: 0)) + $1 }
  }

  private static func health(_ upstream: ControlAPI.Status.Upstream) -> String {
    if !upstream.healthy {
      return TerminalStyle.bad("unhealthy after \(counted(Int(clamping: upstream.failures), "failure"))")
    }
    return upstream.answered ? "healthy" : TerminalStyle.doubtful("has not answered yet")
  }

  private static func validation(_ status: ControlAPI.Status) -> [(String, String)] {
    guard let validator = status.validator else { return [] }
    let state = validator.state == "up" ? "validator up" : TerminalStyle.bad("validator \(validator.state)")
    let restarts = counted(Int(clamping: validator.restarts), "time")
    let counts =
      ", \(validator.judgements) judged, \(validator.bogus) bogus, \(validator.failures) without a verdict, "
      + "\(validator.questions) asked for keys"
    return [
      ("dnssec", state + counts + (validator.restarts > 0 ? TerminalStyle.doubtful("; restarted \(restarts)") : ""))
    ]
  }

  private static func gate(_ status: ControlAPI.Status) -> [(String, String)] {
    guard let gate = status.gate else { return [] }
    let state = gate.state == "up" ? "up" : TerminalStyle.bad(gate.state)
    let counts =
      ", \(counted(Int(clamping: gate.verified), "connection")) passed by name, \(gate.refused) refused, "
      + "\(gate.unreachable) unreachable"
    let caps = gate.cut + gate.told == 0 ? "" : "; \(gate.cut) cut at a cap, \(gate.told) told of"
    let restarts = counted(Int(clamping: gate.restarts), "time")
    return [
      ("gate", state + counts + caps + (gate.restarts > 0 ? TerminalStyle.doubtful("; restarted \(restarts)") : ""))
    ] + inspection(gate.inspection)
  }

  private static func inspection(_ inspection: ControlAPI.Status.Gate.Inspection?) -> [(String, String)] {
    guard let inspection else { return [] }
    let inspectors = inspection.inspectors.map { inspector in
      inspector.address + (inspector.state == "up" ? "" : TerminalStyle.bad(" \(inspector.state)"))
    }
    return [
      (
        "inspector",
        (inspectors.isEmpty ? "none now" : inspectors.joined(separator: ", "))
          + ", \(counted(Int(clamping: inspection.inspected), "connection")) taken, \(inspection.refused) refused; "
          + "found \(inspection.blocked) to block, \(inspection.flagged) to flag"
      )
    ]
  }

  private static func enclosure(_ bridge: ControlAPI.Status.Bridge) -> [(String, String)] {
    (bridge.enclosed.isEmpty ? [] : [("enclosed", bridge.enclosed.joined(separator: ", "))])
      + bridge.others.map {
        (
          "others",
          TerminalStyle.doubtful("\($0.prefixes.joined(separator: ", ")) behind \($0.interface): of no server, cut off")
        )
      }
      + bridge.exposed.map {
        (
          "exposed",
          TerminalStyle.bad("\($0.network) (\($0.server)) behind \($0.interface): closed by its source alone")
        )
      }
      + bridge.displaced.map {
        (
          "displaced",
          TerminalStyle.bad("\($0.network) (\($0.server)) behind \($0.interface): its policy names \($0.pinned)")
        )
      }
      + (bridge.absent.isEmpty ? [] : [("absent", "\(bridge.absent.joined(separator: ", ")): behind no interface now")])
      + bridge.held.map {
        ("held", "\($0.network) (\($0.server)): open it with `sluice firewall release \($0.network)`")
      }
  }

  private static func listen(_ status: ControlAPI.Status, _ address: String) -> String {
    guard status.listenAbsent?.contains(address) == true else { return address }
    return "\(address) \(TerminalStyle.doubtful("(not there yet)"))"
  }

  private static func faults(_ audit: ControlAPI.Status.Audit) -> String {
    let faults = [
      audit.blocked ? "BLOCKED: \(LogFault.text(blocked: audit.blockedFault))" : nil,
      audit.rotationFault.map { "NOT ROTATED: \($0)" },
    ]
    return faults.compactMap(\.self).map { TerminalStyle.bad("; \($0)") }.joined()
      + (audit.replaced > 0 ? "; taken away \(counted(audit.replaced, "time"))" : "")
  }

  private static func lost(_ status: ControlAPI.Status) -> [(String, String)] {
    let kinds = status.lost.kinds.filter { $0.count > 0 }.map { "\($0.kind): \($0.count)" }
    return (kinds.isEmpty ? [] : [("lost", TerminalStyle.bad(kinds.joined(separator: ", ")))])
      + (status.refusalLogRead
        ? []
        : [("refusals", TerminalStyle.bad("not recorded: another program reads the group of the kernel's log"))])
  }

  static func duration(_ seconds: UInt64) -> String {
    switch seconds {
    case ..<120: "\(seconds) s"
    case ..<7200: "\(seconds / 60) min"
    case ..<172_800: "\(seconds / 3600) h \(seconds % 3600 / 60) min"
    default: "\(seconds / 86_400) d \(seconds % 86_400 / 3600) h"
    }
  }
}
