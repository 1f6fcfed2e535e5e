import Foundation
import Testing

@testable import AuditStore

@Suite("What would let an event pass, in the log's table")
struct LogRemedyTests {
  private func event(_ code: String, _ destination: String, _ remedy: String?, server: String = "agent") throws
    -> LogLine
  {
    let member = remedy.map { #","remedy":"\#($0)""# } ?? ""
    let text =
      #"{"ts":"2026-11-20T09:14:22.481Z","server":"\#(server)","destination":"\#(destination)","decision":"block","#
      + #""code":"\#(code)","client":"10.77.1.2","type":"A","count":1\#(member)}"#
    return try #require(LogLine(Array(text.utf8)[...]))
  }

  /// The lines below those of the events.
  private func remedies(_ events: [LogLine]) -> [String] {
    var table = LogTable(timeZone: .gmt)
    return events.flatMap { table.line($0).split(separator: "\n") }.filter { $0.hasPrefix("    ") }.map(String.init)
  }

  @Test("it stands below the event, once for each destination of a server")
  func once() throws {
    let (name, line) = ("db.internal.example", #"private: [ \"10.0.5.20/32\" ]"#)
    let shown = #"    remedy: private: [ "10.0.5.20/32" ]"#
    let refused = try event("answer-not-public", name, line)
    #expect(remedies([refused]) == [shown])
    #expect(remedies([refused, refused]) == [shown])
    #expect(try remedies([refused, event("answer-not-public", name, line, server: "other")]) == [shown, shown])
    #expect(try remedies([refused, event("answer-not-public", "other.example", line)]) == [shown, shown])
    #expect(try remedies([refused, event("answer-not-public", name, "x")]) == [shown, "    remedy: x"])
  }

  @Test("where there is none, or it is another event's word, nothing is")
  func none() throws {
    #expect(try remedies([event("answer-not-public", "a.example", nil)]).isEmpty)
    #expect(try remedies([event("not-listed", "a.example", "x")]).isEmpty)
    for code in ["network-held", "inbound-refused", "upstream-intercepted"] {
      #expect(try remedies([event(code, "a.example", "x")]) == ["    remedy: x"], "\(code)")
    }
  }

  @Test("what a log holds moves no cursor of a terminal")
  func controls() throws {
    #expect(try remedies([event("network-held", "a.example", #"a\u001b[31mb"#)]) == ["    remedy: a?[31mb"])
  }
}
