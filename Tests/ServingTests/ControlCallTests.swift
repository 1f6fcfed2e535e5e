import AuditLog
import Control
import DNSWire
import Foundation
import FirewallModel
import IPNetwork
import LinuxIO
import Synchronization
import Testing

@testable import Serving

/// Who may call what, and what is refused: calls as the control socket hands them on, on serve whole.
@Suite("Calls of the control API")
struct ControlCallTests {
  private static let root = ControlPeer(pid: 1, uid: 0, gid: 0)
  private static let other = ControlPeer(pid: 2, uid: 54_321, gid: 54_321)

  private final class Answers: Sendable {
    let came = Mutex<[ControlResponse]>([])
  }

  private struct Answer {
    var status: Int
    var body: String
  }

  /// Asks, and lets serve go on until nothing happens any more; what came of it meanwhile.
  private func begin(
    _ stage: Stage, _ method: ControlRequest.Method, _ path: [String], _ query: [String: String] = [:],
    by peer: ControlPeer = Self.root
  ) -> Answers {
    let answers = Answers()
    let request = ControlRequest(method: method, path: path, query: query, peer: peer)
    stage.service.handle(.control(request) { response in answers.came.withLock { $0.append(response) } })
    stage.settle()
    return answers
  }

  /// The answer; what is long is written down on another thread.
  private func call(
    _ stage: Stage, _ method: ControlRequest.Method, _ path: [String], _ query: [String: String] = [:],
    by peer: ControlPeer = Self.root
  ) throws -> Answer {
    let answers = begin(stage, method, path, query, by: peer)
    for _ in 0..<5_000 where answers.came.withLock({ $0.isEmpty }) { Thread.sleep(forTimeInterval: 0.001) }
    let response = try #require(answers.came.withLock { $0.first }, "no answer within 5 s")
    return Answer(status: response.status, body: String(decoding: response.body, as: UTF8.self))
  }

  private func permit(_ stage: Stage, _ changes: [String: String] = [:]) throws -> Answer {
    let query = [
      "server": "github-mcp", "name": "status.example.com", "seconds": "60", "justification": "a test",
    ]
    return try call(stage, .post, ["v1", "permits"], query.merging(changes) { $1 })
  }

  private static let allowing = Setting(configuration: "permits: { max: 1h }")

  // MARK: - Who may call

  @Test("every caller reads, root and the service's own user change, and a listener for metrics shows nothing else")
  func callers() throws {
    let stage = try Stage(Self.allowing)
    #expect(try call(stage, .get, ["v1", "status"], by: Self.other).status == 200)
    for (method, path) in [
      (.delete, "cache"), (.delete, "grants"), (.post, "reload"), (.post, "permits"), (.delete, "permits"),
      (.post, "query"),
    ] as [(ControlRequest.Method, String)] {
      #expect(try call(stage, method, ["v1", path], by: Self.other).status == 403, "\(method) \(path)")
    }
    let own = ControlPeer(pid: 3, uid: geteuid(), gid: 0)
    #expect(try call(stage, .delete, ["v1", "cache"], by: own).status == 200)
    for path in ["status", "servers", "grants", "cache", "permits", "explanation"] {
      #expect(try call(stage, .get, ["v1", path], by: .nobody).status == 404, "\(path)")
    }
    #expect(try call(stage, .delete, ["v1", "cache"], by: .nobody).status == 404)
    for path in ["metrics", "healthz"] {
      #expect(try call(stage, .get, [path], by: .nobody).status == 200, "\(path)")
    }
    #expect(try [200, 503].contains(call(stage, .get, ["readyz"], by: .nobody).status))
  }

  @Test("a path is whole and of this version, and what is observed is only read")
  func paths() throws {
    let stage = try Stage(Setting())
    for path in [["v2", "status"], ["status"], [], ["metrics", "more"], ["healthz", "more"], ["v1", "metrics"]] {
      #expect(try call(stage, .get, path).status == 404, "\(path)")
    }
    for path in ["metrics", "healthz", "readyz"] {
      #expect(try call(stage, .post, [path]).status == 404, "\(path)")
      #expect(try call(stage, .delete, [path]).status == 404, "\(path)")
    }
  }

  @Test("while the log cannot be written nothing is opened or changed, and what only closes goes on (P6)")
  func blockedLog() throws {
    let stage = try Stage(Self.allowing)
    stage.log.block(true)
    for (path, query) in [
      ("reload", [:]), ("query", ["server": "github-mcp", "name": "api.github.com"]),
    ] as [(String, [String: String])] {
      let answer = try call(stage, .post, ["v1", path], query)
      #expect(answer.status == 503 && answer.body.contains("no change is made without a record"), "\(path): \(answer)")
    }
    let answer = try permit(stage)
    #expect(answer.status == 503 && answer.body.contains("no change is made without a record"))
    #expect(try call(stage, .delete, ["v1", "cache"]).status == 200)
    #expect(try call(stage, .delete, ["v1", "grants"], ["server": "github-mcp"]).status == 200)
  }

  @Test("a permit whose turn comes when the log can't be written any more is not given (P6)")
  func blockedMeanwhile() throws {
    let stage = try Stage(Self.allowing)
    stage.compilesAtOnce = false
    stage.reload()
    let query = ["server": "github-mcp", "name": "status.example.com", "seconds": "60", "justification": "a test"]
    let answers = begin(stage, .post, ["v1", "permits"], query)
    #expect(answers.came.withLock { $0.isEmpty }, "the reload is before it")
    stage.log.block(true)
    stage.compilesAtOnce = true
    stage.settle()
    #expect(answers.came.withLock { $0.map(\.status) } == [503])
    #expect(stage.policies.permits.isEmpty)
    #expect(!stage.events.contains { $0.code == .allowedForTime })
  }

  // MARK: - Permits

  @Test("what a permit may be is bounded, and what is beyond is said")
  func permits() throws {
    let stage = try Stage(Self.allowing)
    func expect(_ status: Int, _ text: String, _ changes: [String: String]) throws {
      let answer = try permit(stage, changes)
      #expect(answer.status == status && answer.body.contains(text), "\(changes): \(answer)")
    }
    for key in ["server", "name", "seconds", "justification"] {
      try expect(400, "parameter \(key) is missing", [key: ""])
    }
    try expect(400, "has 501 octets", ["justification": String(repeating: "a", count: 501)])
    for text in ["two\nlines", "a\u{7}bell", "turned \u{202E} round", "separated\u{2028}lines", "   "] {
      try expect(400, "blank or holds a control character", ["justification": text])
    }
    for seconds in ["0", "-1", "soon"] {
      try expect(400, "seconds is '\(seconds)'; expected a number of seconds, 1h at most", ["seconds": seconds])
    }
    try expect(400, "a permit for 1h1s is too long; expected 1h at most", ["seconds": "3601"])
    let ports = (1...65).map { "\($0)/tcp" }.joined(separator: ",")
    let types = (1...65).map { "TYPE\($0 + 1_000)" }.joined(separator: ",")
    try expect(400, "65 ports", ["ports": ports])
    try expect(400, "65 types", ["types": types])
    try expect(409, "opens 22", ["ports": "22/tcp"])
    try expect(404, "there is no server", ["server": "nothing"])
    #expect(stage.policies.permits.isEmpty)
    try expect(201, "status.example.com", ["seconds": "3600", "justification": String(repeating: "a", count: 500)])
    #expect(stage.policies.permits.count == 1)
    let none = try permit(try Stage(Setting(configuration: "permits: { max: off }")))
    #expect(none.status == 409 && none.body.contains("allows no permits"), "\(none)")
  }

  @Test("what is withdrawn is named, and where there is nothing the answer comes at once")
  func withdrawing() throws {
    let stage = try Stage(Self.allowing)
    #expect(try call(stage, .delete, ["v1", "permits"]).status == 400)
    #expect(try call(stage, .delete, ["v1", "permits"], ["id": "7"]).status == 404)
    stage.compilesAtOnce = false
    let none = try call(stage, .delete, ["v1", "permits"], ["server": "github-mcp"])
    #expect(none.status == 200 && none.body.contains(#""permits":0"#), "\(none)")
  }

  // MARK: - What is open

  /// Both servers have an address of one name, and one of them that of another.
  private func opened() throws -> Stage {
    let stage = try Stage(Setting())
    stage.data["api.github.com", .A] = .init(addresses: ["140.82.121.5"], ttl: 300, alias: nil)
    stage.data["db.example.com", .A] = .init(addresses: ["140.82.121.6"], ttl: 300, alias: nil)
    try stage.ask("github-mcp", "api.github.com", .A, as: "first")
    try stage.ask("db-tools", "api.github.com", .A, as: "second")
    try stage.ask("db-tools", "db.example.com", .A, as: "third")
    return stage
  }

  /// Of the three that `opened` opens.
  private func open(_ stage: Stage) throws -> [Bool] {
    [
      try stage.isOpen("github-mcp", "140.82.121.5"), try stage.isOpen("db-tools", "140.82.121.5"),
      try stage.isOpen("db-tools", "140.82.121.6"),
    ]
  }

  @Test("grants are those of the server that is asked about")
  func listing() throws {
    let stage = try opened()
    let all = try call(stage, .get, ["v1", "grants"])
    let one = try call(stage, .get, ["v1", "grants"], ["server": "db-tools"])
    #expect(all.body.contains("github-mcp") && all.body.contains("140.82.121.6"))
    #expect(!one.body.contains("github-mcp") && one.body.contains("140.82.121.6"), "\(one)")
  }

  @Test("what is revoked is what was named: by server, by name or by address, and never all unasked")
  func revoking() throws {
    #expect(try open(opened()) == [true, true, true])
    #expect(try call(opened(), .delete, ["v1", "grants"]).status == 400)
    for (query, left) in [
      (["server": "db-tools"], [true, false, false]), (["name": "api.github.com"], [false, false, true]),
      (["address": "140.82.121.5"], [false, false, true]),
      (["server": "db-tools", "name": "api.github.com"], [true, false, true]),
      (["server": "db-tools", "address": "140.82.121.6"], [true, true, false]),
    ] as [([String: String], [Bool])] {
      let stage = try opened()
      #expect(try call(stage, .delete, ["v1", "grants"], query).status == 200)
      #expect(try open(stage) == left, "\(query)")
    }
  }

  @Test("what is revoked of one server leaves the answers of the others where they are")
  func revokingBeside() throws {
    let stage = try opened()
    let answer = try call(stage, .delete, ["v1", "grants"], ["server": "db-tools"])
    #expect(answer.body.contains(#""entries":2"#), "\(answer)")
    let asked = stage.questions.count
    try stage.ask("github-mcp", "api.github.com", .A, as: "again")
    #expect(stage.questions.count == asked)
  }

  @Test("more permits than a bound are refused, those that wait among them (P8)")
  func mostPermits() throws {
    let stage = try Stage(Self.allowing)
    // All but the first wait for their turn.
    stage.compilesAtOnce = false
    let query = ["server": "github-mcp", "seconds": "60", "justification": "a test"]
    for number in 0..<1_000 {
      _ = begin(stage, .post, ["v1", "permits"], query.merging(["name": "n\(number).example.com"]) { $1 })
    }
    let answer = try permit(stage)
    #expect(answer.status == 409 && answer.body.contains("1000 permits are given; expected fewer"), "\(answer)")
  }

  @Test("a question of explain is about a name or about an address")
  func explaining() throws {
    let stage = try Stage(Setting())
    func status(_ query: [String: String]) throws -> Int {
      try call(stage, .get, ["v1", "explanation"], query.merging(["server": "db-tools"]) { $1 }).status
    }
    #expect(try status(["name": "api.github.com"]) == 200)
    #expect(try status(["name": "api.github.com", "port": "443/tcp"]) == 400)
    #expect(try status(["address": "192.0.2.1", "port": "443/tcp"]) == 200)
    #expect(try status(["address": "192.0.2.1", "type": "A"]) == 400)
    #expect(try status(["address": "192.0.2.1", "name": "api.github.com"]) == 400)
    #expect(try status([:]) == 400)
  }

  @Test(
    "metrics have a server's denials and hits from the start, and nothing else that is zero"
  )
  func metrics() throws {
    let stage = try Stage(Setting())
    let body = try call(stage, .get, ["metrics"], by: .nobody).body
    let samples = body.split(separator: "\n").filter { $0.hasPrefix("sluice_queries_total{") }
    #expect(samples.count == 2 * 2, "\(samples)")
    #expect(samples.allSatisfy { $0.hasSuffix(" 0") && ($0.contains("NXDOMAIN") || $0.contains("NOERROR")) })
    #expect(body.contains("sluice_open_elements{") && !body.contains("{}"))
  }
}
