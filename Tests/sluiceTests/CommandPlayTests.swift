import Control
import Foundation
import Glibc
import LinuxIO
import Testing

@testable import sluice

/// What commands print of a running server's answers, and how they end: the executable itself over a scripted control socket.
@Suite("Commands to a running server", .withExecutable)
struct CommandPlayTests {
  static let status = """
    {"audit":{"blocked":false,"corrupt":0,"events":22,"path":"audit.jsonl","pending":0,"records":25,"recovered":0,\
    "replaced":0,"room":1048576,"suppressed":3},"bridge":{"absent":[],"degraded":false,"displaced":[],\
    "enclosed":["br-mcp"],"exposed":[],"grants":1,"held":[],"incarnation":1,"mode":"managed","others":[],"state":"up",\
    "table":"inet sluice"},"cache_entries":1,"faults":[],"in_flight":0,"listen":["10.77.2.1:53","10.77.3.1:53"],\
    "lost":{"connections":0,"events":0,"evictions":0,"revocations":0},"needs_restart":[],"permits":0,"pid":19002,\
    "policy":{"fingerprint":"5ddd2ea50125ea966ccd35359342b3a0","names":2,"servers":1,\
    "since":"2026-11-29T12:33:39.933Z"},"queries":{"cached":3,"denied":4,"failed":0,"malformed":0,"resolved":5,\
    "special":0,"total":12},"ready":true,"refusal_log_read":true,"since":"2026-11-29T12:33:36.305Z",\
    "upstream_exchanges":5,"upstream_wrong_answers":0,"upstreams":[{"address":"udp://192.0.2.54:53","answered":true,\
    "by_tcp":false,"failures":7,"healthy":true,"latency_ms":1.5,"refusals":0,"refusing":false}],"uptime":6,\
    "version":"0.1.0","violations":{"missing":0,"refused":0,"strangers":0,"unrecorded":0}}
    """
  private static let servers = """
    {"servers":[{"server":"agent","cache_entries":1,"grants":2,"queries":{"total":4,"cached":1,"resolved":1,"denied":2,\
    "special":0,"failed":0,"malformed":0}}]}
    """
  private static let entry = """
    {"server":"agent","name":"api.example.com","type":"A","rcode":"NOERROR","remaining_ms":5000,"hits":3,\
    "addresses":["192.0.2.9"],"chain":[],"held":true}
    """

  private func run(_ words: String..., answering answers: [String: (Int, String)]) throws -> PlayedCommand.Output {
    let control = try ScriptedControl(answers.mapValues { (status: $0.0, body: $0.1) })
    return try PlayedCommand.run([words[0]] + words.dropFirst() + ["--control", control.socket])
  }

  @Test("a call that is refused ends with the server's reason and its findings, and exit 1")
  func refused() throws {
    let body = #"{"error":"the configuration cannot be used","findings":["a.yaml:1:1: error: no"]}"#
    let output = try run("reload", answering: ["POST /v1/reload": (422, body)])
    #expect(output.status == 1 && output.text.isEmpty)
    #expect(output.errors == "a.yaml:1:1: error: no\nsluice: the configuration cannot be used", "\(output)")
  }

  @Test("a cache is a table for people and lines for programs, and one without the name is a failure")
  func caches() throws {
    let one = ["GET /v1/cache": (200, #"{"entries":[\#(Self.entry)]}"#)]
    let table = try run("cache", "show", "agent", "api.example.com", answering: one)
    #expect(table.status == 0 && table.lines.count == 2 && table.lines[0].hasPrefix("SERVER"), "\(table)")
    let lines = try run("cache", "list", "--json", answering: one)
    #expect(lines.status == 0 && lines.lines.count == 1 && lines.lines[0].hasPrefix("{"), "\(lines)")
    let none = try run(
      "cache", "show", "agent", "a.example.com", answering: ["GET /v1/cache": (200, #"{"entries":[]}"#)])
    #expect(none.status == 1 && none.errors == "sluice: nothing in the cache of agent for a.example.com", "\(none)")
  }

  @Test("a query is printed whole, short or as it came, and no success is a failure")
  func queries() throws {
    func answer(_ rcode: String) -> [String: (Int, String)] {
      // api.example.com. A 192.0.2.9
      let message = "AACAAAABAAEAAAAAA2FwaQdleGFtcGxlA2NvbQAAAQABwAwAAQABAAAAPAAEwAACCQ=="
      return [
        "POST /v1/query": (
          200,
          #"{"client":"10.77.2.2","from":"upstream","grants":[],"message":"\#(message)","milliseconds":1.5,"#
            + #""name":"api.example.com","rcode":"\#(rcode)","server":"agent","type":"A","verdict":"listed"}"#
        )
      ]
    }
    let whole = try run("query", "--server", "agent", "api.example.com", answering: answer("NOERROR"))
    #expect(whole.status == 0 && whole.text.contains(";; VERDICT: listed"), "\(whole)")
    let short = try run("query", "--server", "agent", "api.example.com", "--short", answering: answer("NOERROR"))
    #expect(short.status == 0 && short.text == "192.0.2.9\n", "\(short)")
    let json = try run("query", "--server", "agent", "api.example.com", "--json", answering: answer("NXDOMAIN"))
    #expect(json.status == 1 && json.lines.count == 1 && json.text.hasPrefix("{"), "\(json)")
  }

  @Test("a reload is told in words, or as it came")
  func reloads() throws {
    let answer = [
      "POST /v1/reload": (
        200,
        #"{"policy":"b","former":"a","servers":1,"changes":[],"settings":[],"needs_restart":[],"addresses_closed":0,"#
          + #""flows_cut":0,"let_go":[],"held":true}"#
      )
    ]
    let words = try run("reload", answering: answer)
    #expect(words.status == 0 && words.text.hasPrefix("policy b is in force: no policy changed"), "\(words)")
    let json = try run("reload", "--json", answering: answer)
    #expect(json.status == 0 && json.lines.count == 1 && json.text.hasPrefix("{"), "\(json)")
  }

  @Test("permits are a table for people and lines for programs")
  func permits() throws {
    let permit =
      #"{"id":3,"server":"agent","name":"a.example.com","ports":["443/tcp"],"types":["A"],"justification":"a test","#
      + #""given":"2026-11-29T12:00:00Z","until":"2026-11-29T13:00:00Z","remaining_ms":5000,"uid":0,"pid":7}"#
    let answer = ["GET /v1/permits": (200, #"{"permits":[\#(permit)]}"#)]
    let table = try run("allow", "list", answering: answer)
    #expect(table.lines.count == 2 && table.text.hasPrefix("ID"), "\(table)")
    let json = try run("allow", "list", "--json", answering: answer)
    #expect(json.lines.count == 1 && json.text.hasPrefix("{"), "\(json)")
  }

  @Test("status exits by whether the server is ready, and tells what is unwell and what is not there yet")
  func statuses() throws {
    let well = try run("status", answering: ["GET /v1/status": (200, Self.status)])
    #expect(well.status == 0 && well.text.contains("udp://192.0.2.54:53 healthy, 1.5 ms"), "\(well)")
    #expect(well.text.contains("listen    10.77.2.1:53, 10.77.3.1:53\n"), "\(well)")
    let unwell = Self.status.replacing(#""ready":true"#, with: #""ready":false"#)
      .replacing(#""healthy":true"#, with: #""healthy":false"#)
      .replacing(#""lost":"#, with: #""listen_absent":["10.77.3.1:53"],"lost":"#)
    let told = try run("status", answering: ["GET /v1/status": (200, unwell)])
    #expect(told.status == 1 && told.text.contains("unhealthy after 7 failures"), "\(told)")
    #expect(told.text.contains("listen    10.77.2.1:53, 10.77.3.1:53 (not there yet)\n"), "\(told)")
    let gate =
      #""gate":{"state":"up","restarts":1,"verified":7,"refused":3,"unreachable":0,"cut":2,"told":4},"in_flight""#
    let gated = try run(
      "status", answering: ["GET /v1/status": (200, Self.status.replacing(#""in_flight""#, with: gate))])
    #expect(
      gated.text.contains(
        "gate      up, 7 connections passed by name, 3 refused, 0 unreachable; 2 cut at a cap, 4 told of; restarted 1 time\n"
      ),
      "\(gated)")
    let full = Self.status.replacing(
      #""blocked":false"#, with: #""blocked":true,"blocked_fault":"No space left on device""#)
    let blocked = try run("status", answering: ["GET /v1/status": (200, full)])
    #expect(blocked.text.contains("; BLOCKED: the log cannot be written (No space left on device)"), "\(blocked)")
  }

  @Test(
    "what an earlier sluice printed whole is what a reader of a pipe gets; a full disk is a failure, a closed pipe is none"
  )
  func outputs() throws {
    let control = try ScriptedControl(["GET /v1/status": (200, Self.status)])
    let path = try PlayedCommand.path()
    func end(_ output: Int32) throws -> (status: Int32, errors: String) {
      let errors = try MemoryFile(named: "sluice-errors")
      let null = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
      defer { close(null) }
      var child = try ChildProcess.start(
        path, [path, "status", "--control", control.socket], descriptors: [null, output, errors.raw])
      let status = PlayedCommand.exitStatus(child.wait())
      return (status, String(decoding: try errors.contents(), as: UTF8.self))
    }
    let full = unsafe open("/dev/full", O_WRONLY | O_CLOEXEC)
    defer { close(full) }
    let refused = try end(full)
    #expect(refused.status == 1 && refused.errors.contains("the output cannot be written: No space left"), "\(refused)")
    var pipe = try DescriptorPair.pipe()
    pipe.closeFirst()
    let closed = try end(pipe.second)
    #expect(closed.status == 0 && closed.errors.isEmpty, "\(closed)")
  }

  // MARK: - At a terminal

  private static let live = [
    "GET /v1/status": (status: 200, body: status), "GET /v1/servers": (status: 200, body: servers),
  ]
  private static let cleared = "\u{1B}[H"

  private func top(
    _ words: String..., output: Int32? = nil, size: (columns: UInt16, rows: UInt16) = (100, 30),
    _ body: (CommandAtTerminal, ScriptedControl) throws -> Void
  ) throws {
    let control = try ScriptedControl(Self.live)
    let words = ["top", "--interval", "0.1", "--control", control.socket] + words
    try body(try CommandAtTerminal(words, output: output, size: size), control)
  }

  private static func screens(_ text: String) -> Int {
    text.split(separator: cleared, omittingEmptySubsequences: false).count - 1
  }

  @Test("top draws again and again until q, and leaves the terminal as it was", arguments: ["q", "\u{4}"])
  func quits(key: String) throws {
    try top { top, _ in
      #expect(top.wait { Self.screens($0) >= 3 })
      top.type("x" + key)
      #expect(top.end() == 0)
      #expect(top.text.hasSuffix("\u{1B}[?25h\u{1B}[?1049l"))
    }
  }

  @Test("keys that mean nothing do not keep the screen from being drawn, and none is waited for")
  func otherKeys() throws {
    try top { top, _ in
      #expect(top.wait { Self.screens($0) >= 1 })
      let before = Self.screens(top.text)
      // More than are read in many times the interval, and then none.
      for _ in 0..<10 { top.type(String(repeating: "x", count: 20_000)) }
      #expect(top.wait { Self.screens($0) >= before + 5 })
    }
  }

  @Test("what was waited for is not told when it has come, however long the command goes on")
  func progress() throws {
    try top { top, control in
      #expect(top.wait { _ in control.calls.all.count >= 40 })
      #expect(!top.text.contains("waiting for sluice"))
    }
    let slow = try ScriptedControl(Self.live, takes: 2_500)
    let status = try CommandAtTerminal(["status", "--control", slow.socket])
    #expect(status.wait { $0.contains("waiting for sluice … 2 s") })
    #expect(status.end() == 0 && status.text.contains("\r\u{1B}[K"))
  }

  @Test("a terminal that is taken away ends top")
  func hangUp() throws {
    try top { top, _ in
      #expect(top.wait { Self.screens($0) >= 1 })
      top.hangUp()
      #expect(top.end() == 0)
    }
  }

  @Test(
    "a terminal that does not know its size is taken for one of 80 columns and 24 rows",
    arguments: [(0, 50), (50, 0), (0, 0)])
  func size(columns: UInt16, rows: UInt16) throws {
    var usual = ""
    try top(size: (80, 24)) { top, _ in usual = try Self.shape(top) }
    try top(size: (columns, rows)) { top, _ in
      let shape = try Self.shape(top)
      #expect(shape == usual)
    }
  }

  /// The first screen without what is counted on it.
  private static func shape(_ top: CommandAtTerminal) throws -> String {
    #expect(top.wait { screens($0) >= 2 })
    return try #require(top.text.split(separator: cleared).dropFirst().first).filter { !$0.isNumber }
  }

  @Test("top without a screen, or for programs, prints once and ends")
  func once() throws {
    try top("--json") { top, _ in
      #expect(top.end() == 0 && !top.text.contains("\u{1B}"), "\(top.text)")
      #expect(top.text.hasPrefix("{"), "\(top.text)")
    }
    let file = try MemoryFile(named: "sluice-output")
    try top(output: file.raw) { top, _ in
      #expect(top.end() == 0 && !top.text.contains("\u{1B}"), "\(top.text)")
      let text = String(decoding: try file.contents(), as: UTF8.self)
      #expect(text.contains("agent") && !text.contains("\u{1B}") && !text.hasPrefix("{"), "\(text)")
    }
    let control = try ScriptedControl(Self.live)
    let json = try PlayedCommand.run("top", "--interval", "0.1", "--json", "--control", control.socket)
    #expect(json.status == 0 && json.text.hasPrefix("{") && json.lines.count == 1, "\(json)")
  }

  @Test(
    "every server's connections are cut after a yes, and after nothing else",
    arguments: [("y", 0), ("YES ", 0), ("n", 1), ("", 1)])
  func asksFirst(answer: String, status: Int32) throws {
    let control = try ScriptedControl(
      ["DELETE /v1/cache": (200, #"{"entries":4,"addresses_closed":2,"flows_cut":1}"#)])
    let command = try CommandAtTerminal(["cache", "flush", "--control", control.socket])
    #expect(command.wait { $0.contains("of every server, and cut what is connected there? [y/N]") })
    command.type(answer + "\n")
    #expect(command.end() == status)
    #expect(control.calls.all == (status == 0 ? ["DELETE /v1/cache"] : []))
    #expect(
      command.text.contains(status == 0 ? "4 answers forgotten" : "sluice: nothing was changed"), "\(command.text)")
  }
}
