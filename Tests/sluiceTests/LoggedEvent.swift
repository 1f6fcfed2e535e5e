import AuditStore
import Testing

/// An event as serve writes it.
struct LoggedEvent {
  var destination: String
  var code = "not-listed"
  var decision = "block"
  var type: String? = "A"
  var client: String? = "10.77.1.2"
  var transport = "udp"
  var count = 1
  /// Seconds behind 09:00.
  var second = 0
  var server = "agent"
  /// With a comma before each.
  var members = ""

  private static func quoted(_ text: String?) -> String { text.map { "\"\($0)\"" } ?? "null" }

  var line: LogLine {
    get throws {
      let port = client == nil ? "null" : "40188"
      let transport = client == nil ? nil : transport
      func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
      let time = "2026-11-20T\(two(9 + second / 3600)):\(two(second / 60 % 60)):\(two(second % 60)).000Z"
      let text =
        #"{"ts":"\#(time)","server":"\#(server)","destination":"\#(destination)","decision":"\#(decision)","#
        + #""reason":"r","payload_size":45,"id":"0000000007-0000000001","code":"\#(code)","#
        + #""client":\#(Self.quoted(client)),"client_port":\#(port),"transport":\#(Self.quoted(transport)),"#
        + #""type":\#(Self.quoted(type)),"rcode":\#(type == nil ? "null" : "\"NXDOMAIN\""),"count":\#(count)\#(members)}"#
      return try #require(LogLine(Array(text.utf8)[...]), "\(text)")
    }
  }
}
