import AuditLog
import Control
import DNSWire
import Enforcement
import FirewallModel
import IPNetwork
import Resolver
import Testing

@testable import Serving

/// What happens to serve, and what must hold then; its name says what.
struct Scenario: Sendable, CustomTestStringConvertible {
  let name: String
  let setting: Setting
  let steps: [Step]

  init(_ name: String, _ setting: Setting, _ steps: [Step]) {
    (self.name, self.setting, self.steps) = (name, setting, steps)
  }

  init(_ name: String, _ steps: [Step]) { self.init(name, Setting(), steps) }

  var testDescription: String { name }

  /// Plays it. The first expectation that does not hold ends it.
  func play() throws {
    let stage = try Stage(setting)
    for step in steps {
      do {
        try step.body(stage)
      } catch {
        Issue.record("\(step.text): \(error)", sourceLocation: step.location)
        break
      }
      guard stage.broken.isEmpty else {
        Issue.record("\(step.text): \(stage.broken.joined(separator: "; "))", sourceLocation: step.location)
        return
      }
    }
    stage.checkEnd()
    guard let last = steps.last, !stage.broken.isEmpty else { return }
    Issue.record("at the end: \(stage.broken.joined(separator: "; "))", sourceLocation: last.location)
  }
}

/// One thing that happens, or one that must hold.
struct Step: Sendable {
  let text: String
  let location: SourceLocation
  let body: @Sendable (Stage) throws -> Void

  init(_ text: String, _ file: String, _ line: Int, _ body: @escaping @Sendable (Stage) throws -> Void) {
    let name = file.split(separator: "/").last.map(String.init) ?? file
    location = SourceLocation(fileID: "ServingTests/\(name)", filePath: file, line: line, column: 1)
    (self.text, self.body) = (text, body)
  }

  // MARK: - Clients

  /// A client of a server asks; it is called as the name that it asks for where nothing else is said.
  static func ask(
    _ server: String, _ name: String, _ type: RRType = .A, as label: String? = nil,
    _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("ask \(name)", file, line) { try $0.ask(server, name, type, as: label ?? name) }
  }

  /// A client's question is decided by the query path, and does not come to the resolver's thread before `deliver`.
  static func decide(
    _ server: String, _ name: String, as label: String? = nil, _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("decide \(name)", file, line) { try $0.decideOnly(server, name, as: label ?? name) }
  }

  static func deliver(_ label: String, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("deliver \(label)", file, line) { try $0.deliver(label) }
  }

  /// As `ask`, without EDNS, as musl asks.
  static func askPlainly(
    _ server: String, _ name: String, as label: String, _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("ask \(name) without EDNS", file, line) { try $0.ask(server, name, .A, as: label, plainly: true) }
  }

  // MARK: - Upstreams

  /// - Parameter records: as `ScriptedRecord` has them; an SOA stands in the authority section.
  static func upstream(
    says code: ResponseCode = .NOERROR, of name: String, _ type: RRType, _ records: [String],
    _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("upstreams say \(code) of \(name)", file, line) { stage in
      let read = try records.map { try ScriptedRecord($0) }
      stage.data[message: name, type] = .init(
        code: code, answers: read.filter { $0.section == .answer }.map(\.octets),
        authorities: read.filter { $0.section == .authority }.map(\.octets),
        additionals: read.filter { $0.section == .additional }.map(\.octets))
    }
  }

  static func upstream(
    answers name: String, _ addresses: [String], ttl: Int = 300, alias: String? = nil,
    _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("upstreams know \(name)", file, line) { stage in
      let type: RRType = addresses.contains { $0.contains(":") } ? .AAAA : .A
      stage.data[name, type] = .init(addresses: addresses, ttl: ttl, alias: alias)
    }
  }

  static func upstream(
    _ conduct: ScriptedUpstream.Conduct, _ number: Int = 0, _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("upstream \(number) \(conduct)", file, line) { stage in
      stage.upstreams[number].conduct = conduct
      stage.settle()
    }
  }

  // MARK: - The bridge and the kernel

  static func bridge(_ conduct: ScriptedBridge.Conduct, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("the bridge \(conduct)", file, line) { stage in
      stage.bridge.conduct = conduct
      stage.settle()
    }
  }

  /// A worker is gone, and another one begins.
  static func workerDies(losing: Bool = false, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("the worker dies", file, line) { stage in
      stage.bridge.begin(finding: !losing)
      stage.settle()
    }
  }

  static func bridgeDies(_ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("the bridge dies", file, line) { stage in
      stage.bridge.die()
      stage.settle()
    }
  }

  static func bridge(says message: BridgeMessage, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("the bridge says \(message)", file, line) { stage in
      stage.bridge.say(message)
      stage.settle()
    }
  }

  /// Another program empties the sets.
  static func othersFlush(
    _ change: TableChange = .elementsRemoved, _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("others flush", file, line) { stage in
      stage.bridge.flushByOthers(change)
      stage.settle()
    }
  }

  /// Another program opens an address.
  static func othersOpen(
    _ server: String, _ address: String, _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("others open \(address)", file, line) { stage in
      stage.bridge.addByOthers(try Stage.element(try stage.index(of: server), address))
      stage.settle()
    }
  }

  /// A server has connections to an address.
  static func connects(_ server: String, _ address: String, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("\(server) connects to \(address)", file, line) { stage in
      stage.bridge.inUse.insert(try Stage.element(try stage.index(of: server), address))
    }
  }

  /// The bridge takes no other plan, or does again.
  static func plans(refused reason: String?, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("plans", file, line) { $0.bridge.planRefusal = reason }
  }

  // MARK: - Time, files, operators

  static func advance(_ duration: Duration, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("\(duration) pass", file, line) { $0.advance(duration) }
  }

  /// The wall clock is set ahead by so many seconds, or back.
  static func setClock(by seconds: Int64, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("the clock is set", file, line) { $0.setWall(by: seconds) }
  }

  /// For so many seconds, in which the monotonic clock stands still.
  static func hostSleeps(_ seconds: UInt64, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("the host sleeps", file, line) { $0.service.slept(nanoseconds: seconds * ManualClock.second) }
  }

  /// The files say something else, and are read again.
  static func reload(_ policies: String, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("reload", file, line) { stage in
      try stage.write(policies)
      stage.reload()
    }
  }

  /// The configuration forwards other zones, and is read again.
  static func reload(forwards: [String], _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("reload", file, line) { stage in
      try stage.write(forwards: forwards)
      stage.reload()
    }
  }

  /// Whether what is to be compiled is compiled at once, or at a `compile`.
  static func compilesAtOnce(_ does: Bool, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("compiling", file, line) { $0.compilesAtOnce = does }
  }

  static func compile(_ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("compile", file, line) { stage in
      stage.compile()
      stage.settle()
    }
  }

  static func flush(
    _ server: String, _ name: String? = nil, _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    call(.delete, "cache", server, name.map { ["name": $0] } ?? [:], file, line)
  }

  static func revoke(_ server: String, address: String, _ file: String = #filePath, _ line: Int = #line) -> Step {
    call(.delete, "grants", server, ["address": address], file, line)
  }

  static func permit(
    _ server: String, _ name: String, seconds: Int, _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    call(.post, "permits", server, ["name": name, "seconds": "\(seconds)", "justification": "a scenario"], file, line)
  }

  static func withdraw(_ server: String, _ file: String = #filePath, _ line: Int = #line) -> Step {
    call(.delete, "permits", server, [:], file, line)
  }

  /// An operator looks.
  static func look(
    _ path: String, _ server: String?, _ query: [String: String] = [:], _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("look at \(path)", file, line) {
      try $0.look(path, query.merging(server.map { ["server": $0] } ?? [:]) { first, _ in first })
    }
  }

  /// Whether serve is ready is asked.
  static func readiness(_ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("readyz", file, line) { $0.call(.get, "readyz", [:]) }
  }

  private static func call(
    _ method: Stage.Method, _ path: String, _ server: String, _ query: [String: String], _ file: String, _ line: Int
  ) -> Step {
    Step("\(method.rawValue) \(path)", file, line) {
      $0.call(method, path, query.merging(["server": server]) { first, _ in first })
    }
  }

  static func log(blocked: Bool, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("the log", file, line) { $0.log.block(blocked) }
  }

  static func hostHas(_ address: String, _ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("the host has \(address)", file, line) { try $0.hostHas(address) }
  }

  static func stop(_ file: String = #filePath, _ line: Int = #line) -> Step {
    Step("stop", file, line) { $0.stop() }
  }

  // MARK: - What must hold

  /// - Parameter label: whose reply it is about, where it is about one; the last client that asked.
  static func expect(
    _ expectation: Expectation, for label: String? = nil, _ file: String = #filePath, _ line: Int = #line
  ) -> Step {
    Step("expect \(expectation)", file, line) { stage in
      if let found = try expectation.contradiction(in: stage, label ?? stage.lastLabel) {
        throw Stage.Failure(description: found)
      }
    }
  }
}

/// What must hold at a moment of a scenario.
enum Expectation: Sendable {
  /// The client got these addresses and no others.
  case answer([String])
  /// The seconds that came with them.
  case ttl(UInt32)
  /// The client got this code and no address.
  case code(ResponseCode)
  /// There is such a name, and no record of the asked type.
  case nodata
  /// What the extended error says beside its code.
  case error(Int, String)
  /// So many addresses of those, and no others; whether more are to be had by TCP; in at most so many octets.
  case part(Int, of: [String], truncated: Bool, octets: Int)
  /// The records of the answer, in order.
  case types([RRType])
  /// The client waits.
  case noAnswer
  /// 443/tcp of the address is open for the server, in the kernel.
  case open(String, String)
  case closed(String, String)
  /// The addresses of which connections were to be cut.
  case cut([String])
  /// The server's name holds the address for so many seconds from now, as the journal tells the next run.
  case journal(String, String, String, Int)
  /// The journal has the end that the kernel has.
  case held(String, String, String)
  /// So many questions of clients came to upstreams, and to one of them.
  case questions(Int)
  case questionsTo(Int, Int)
  /// Ports and ids of so many questions say nothing of each other.
  case scattered(Int)
  /// So many events since the start, and what stands in the newest one.
  case events(AuditCode, Int)
  case event(AuditCode, String)
  /// What was done in the kernel, in order.
  case done([String])
  /// The kernel may not hold what was promised, or more.
  case degraded(Bool)
  case bridgeUp(Bool)
  /// Serve has to be started anew.
  case failed(Bool)
  case stopped(Bool)
  /// The last reload came to this; that every one has an end.
  case reload(ReloadEnd)
  case reloadWaits
  /// Status of the newest call of the control API.
  case call(Int)
  case calls(Int)
  /// What stands in the newest answer of the control API.
  case body(String)
  case notBody(String)
  /// The firewall has nothing more of a server but its number.
  case gone(String, Bool)
  case permits(Int)
  /// Questions in flight.
  case inFlight(Int)

  enum ReloadEnd: String, Sendable {
    case inForce
    case refused
    case unusable

    init(_ activation: Activation) {
      self =
        switch activation {
        case .inForce: .inForce
        case .refused: .refused
        case .unusable: .unusable
        }
    }
  }

  /// What is so instead; nil where it holds.
  func contradiction(in stage: Stage, _ label: String) throws -> String? {
    switch self {
    case .answer(let addresses):
      let reply = try stage.reply(to: label)
      return reply.map { $0.code == .NOERROR ? differs($0.addresses.sorted(), addresses.sorted()) : "\($0.code)" }
        ?? "no answer"
    case .ttl(let seconds): return differs(try stage.reply(to: label)?.ttl, seconds)
    case .code(let code):
      let reply = try stage.reply(to: label)
      return differs(reply?.code, code) ?? differs(reply?.addresses, [])
    case .nodata:
      let reply = try stage.reply(to: label)
      return differs(reply?.code, .NOERROR) ?? differs(reply?.addresses, [])
    case .error(let code, let text):
      let error = try stage.reply(to: label)?.error
      return differs(error?.code, code) ?? differs(error?.text, text)
    case .part(let count, let addresses, let truncated, let octets):
      guard let reply = try stage.reply(to: label) else { return "no answer" }
      return differs(reply.code, .NOERROR) ?? differs(reply.addresses.count, count)
        ?? differs(Set(reply.addresses).subtracting(addresses), []) ?? differs(reply.isTruncated, truncated)
        ?? (reply.octetCount <= octets ? nil : "\(reply.octetCount) octets")
    case .types(let types): return differs(try stage.reply(to: label)?.types, types)
    case .noAnswer: return differs(try stage.reply(to: label)?.code, nil)
    case .open(let server, let address): return try stage.isOpen(server, address) ? nil : "it is closed"
    case .closed(let server, let address): return try stage.isOpen(server, address) ? "it is open" : nil
    case .cut(let addresses): return differs(stage.bridge.cut.map(\.description).sorted(), addresses)
    case .journal(let server, let name, let address, let seconds):
      return differs(try stage.journaledSeconds(server, name, address), seconds)
    case .held(let server, let name, let address):
      let element = try Stage.element(try stage.index(of: server), address)
      let left = stage.bridge.kernel[element].map { Int($0 - stage.clock.now) / Int(ManualClock.second) }
      return differs(try stage.journaledSeconds(server, name, address), left)
    case .questions(let count): return differs(stage.questions.count, count)
    case .scattered(let count):
      let sources = stage.upstreams.flatMap(\.sources)
      // Two of them may be the same by chance.
      let (ports, ids) = (Set(sources.map(\.port)).count, Set(sources.map(\.id)).count)
      return differs(sources.count, count) ?? (min(ports, ids) >= count - 2 ? nil : "\(ports) ports and \(ids) ids")
    case .questionsTo(let upstream, let count): return differs(stage.upstreams[upstream].questions.count, count)
    case .events(let code, let count): return differs(stage.events.count { $0.code == code }, count)
    case .event(let code, let text):
      guard let newest = stage.events.last(where: { $0.code == code }) else { return "there is none" }
      return "\(newest.server) \(newest.members)".contains(text) ? nil : newest.members
    case .done(let done): return differs(stage.bridge.done, done)
    case .degraded(let isDegraded): return differs(stage.service.enforcement.incident.isOpen, isDegraded)
    case .bridgeUp(let isUp): return differs(stage.service.enforcement.isBridgeUp, isUp)
    case .failed(let hasFailed): return differs(stage.failure != nil, hasFailed)
    case .stopped(let isStopped): return differs(stage.isStopped, isStopped)
    case .reload(let end):
      return differs(stage.reloads.count, stage.reloadsAsked) ?? differs(stage.reloads.last.map { ReloadEnd($0) }, end)
    case .reloadWaits: return stage.reloads.count < stage.reloadsAsked ? nil : "every reload has its end"
    case .call(let status): return differs(stage.callStatuses.last, status)
    case .calls(let count): return differs(stage.callStatuses.count, count)
    case .body(let text): return stage.lastBody.contains(text) ? nil : stage.lastBody
    case .notBody(let text): return stage.lastBody.contains(text) ? stage.lastBody : nil
    case .gone(let server, let isGone):
      return differs(stage.bridge.plan.servers.first { $0.name == server }?.isGone, isGone)
    case .permits(let count): return differs(stage.policies.permits.count, count)
    case .inFlight(let count): return differs(stage.service.engine.resolutionCount, count)
    }
  }

  private func differs<Value: Equatable>(_ found: Value, _ wanted: Value) -> String? {
    found == wanted ? nil : "\(found) instead of \(wanted)"
  }
}
