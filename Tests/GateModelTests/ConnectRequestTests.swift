import EgressPolicy
import GateModel
import GrantLedger
import IPNetwork
import TestSupport
import Testing

@Suite("What the gate says to an inspector, and what it takes for an answer")
struct ConnectRequestTests {
  private func request(
    said: String = "api.example.com", server: String = "github-mcp", rule: String = "policies/github.yaml:7",
    address: String = "192.0.2.7", client: String = "10.77.1.2"
  ) throws -> String {
    let order = InspectionOrder(
      inspector: Inspector(address: IPAddress(v4: 0x7F00_0001), port: 8080), id: "00112233445566778899aabbccddeeff",
      server: server, rule: rule)
    let gated = GatedConnection(
      verdict: .verified,
      element: GrantElement(server: 0, address: try #require(IPAddress(address)), transport: 6, port: 443),
      client: try #require(IPAddress(client)), clientPort: 40_188, said: said, length: 517, time: 0)
    return String(decoding: ConnectRequest(order, gated).octets, as: UTF8.self)
  }

  @Test("CONNECT to the address that was opened, and in fields of its own what that was opened for")
  func head() throws {
    let text = try request()
    let expected = """
      CONNECT 192.0.2.7:443 HTTP/1.1
      Host: 192.0.2.7:443
      Sluice-Name: api.example.com
      Sluice-Server: github-mcp
      Sluice-Client: 10.77.1.2:40188
      Sluice-Rule: policies/github.yaml:7
      Sluice-Connection: 00112233445566778899aabbccddeeff


      """
    #expect(text == expected.replacing("\n", with: "\r\n"))
    let wide = try request(address: "2001:db8::7", client: "fd00:77:1::2")
    #expect(wide.hasPrefix("CONNECT [2001:db8::7]:443 HTTP/1.1\r\nHost: [2001:db8::7]:443\r\n"))
    #expect(wide.contains("\r\nSluice-Client: [fd00:77:1::2]:40188\r\n"))
  }

  @Test("of a long value the end stays, and no escape is cut")
  func long() throws {
    for count in 1_020...1_030 {
      let text = try request(rule: String(repeating: " ", count: 400) + String(repeating: "x", count: count - 300))
      let line = try #require(text.split(separator: "\r\n").first { $0.hasPrefix("Sluice-Rule: ") })
      let value = line.dropFirst("Sluice-Rule: ".count)
      #expect(value.utf8.count <= ConnectRequest.maximumValue && value.utf8.count > ConnectRequest.maximumValue - 3)
      #expect(
        value.drop { $0 != "x" }.allSatisfy { $0 == "x" } && value.prefix { $0 != "x" }.count % 3 == 0, "\(value)")
    }
  }

  @Test(
    "no value begins another field, whatever it holds",
    arguments: [
      "a\r\nSluice-Name: evil.example", "a\nb", "a\rb", "a\0b", "a b", "a\tb", "a%0d%0ab", "caf\u{E9}", "\u{2028}", "",
      String(repeating: "x", count: 100_000),
    ])
  func injection(_ hostile: String) throws {
    for text in [try request(said: hostile), try request(server: hostile), try request(rule: hostile)] {
      let lines = text.split(separator: "\r\n", omittingEmptySubsequences: false)
      #expect(lines.count == 9 && lines.suffix(2) == ["", ""])
      let names = lines.dropFirst().dropLast(2).map { $0.prefix(while: { $0 != ":" }) }
      #expect(
        names == ["Host", "Sluice-Name", "Sluice-Server", "Sluice-Client", "Sluice-Rule", "Sluice-Connection"])
      #expect(text.utf8.allSatisfy { (0x20...0x7E).contains($0) || $0 == 13 || $0 == 10 } && text.utf8.count < 4_096)
    }
  }

  private func reads(_ text: String, by size: Int = 1) -> ConnectAnswer.Progress {
    var answer = ConnectAnswer()
    var progress = ConnectAnswer.Progress.incomplete
    let octets = Array(text.utf8)
    for start in stride(from: 0, to: octets.count, by: size) {
      progress = answer.take(octets[start..<min(start + size, octets.count)])
    }
    return progress
  }

  @Test(
    "2xx is taken, another status told, however they are cut",
    arguments: [
      ("HTTP/1.1 200 Connection established\r\n\r\n", .accepted), ("HTTP/1.0 200 OK\r\n\r\n", .accepted),
      ("HTTP/1.1 200\r\n\r\n", .accepted), ("HTTP/1.1 204 \r\nVia: 1.1 proxy\r\nX: \u{E9}\r\n\r\n", .accepted),
      ("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\n", .refused(403)),
      ("HTTP/1.1 502 Bad Gateway\r\n\r\n", .refused(502)), ("HTTP/1.1 100 Continue\r\n\r\n", .refused(100)),
      ("HTTP/1.1 300 Choose\r\n\r\n", .refused(300)), ("HTTP/1.1 200 OK\r\nVia: x\r\n", .incomplete),
      ("", .incomplete), ("HTTP/1.", .incomplete),
    ] as [(String, ConnectAnswer.Progress)])
  func answers(_ text: String, _ progress: ConnectAnswer.Progress) {
    for size in [1, 2, 7, 10_000] { #expect(reads(text, by: size) == progress) }
  }

  @Test(
    "everything else is none, as soon as that is seen",
    arguments: [
      "S", "HTTP/2 200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 600 OK\r\n\r\n",
      "HTTP/1.1 +20 OK\r\n\r\n", "HTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\r\r\n\r\n", "HTTP/1.1 200 O\0K\r\n\r\n",
      "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n",
      // What comes behind it before the client has said anything.
      "HTTP/1.1 200 OK\r\n\r\nx", "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n",
      "HTTP/1.1 403 Forbidden\r\n\r\nbody",
    ])
  func malformed(_ text: String) {
    for size in [1, 3, 10_000] { #expect(reads(text, by: size) == .malformed, "\(text)") }
  }

  @Test("no more than 4 KiB of it are read")
  func bounds() {
    let fill = "HTTP/1.1 200 OK\r\nX: "
    let end = "\r\n\r\n"
    func head(_ count: Int) -> String {
      fill + String(repeating: "y", count: count - fill.utf8.count - end.utf8.count) + end
    }
    #expect(reads(head(ConnectAnswer.maximumOctets), by: 1_000) == .accepted)
    #expect(reads(head(ConnectAnswer.maximumOctets + 1), by: 1_000) == .malformed)
    #expect(reads("HTTP/1.1 200 " + String(repeating: "z", count: 5_000)) == .malformed)
  }

  @Test("no octets trap", arguments: [1, 2])
  func hostile(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let whole = Array("HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n".utf8)
    for _ in 0..<3_000 {
      var octets = whole
      for _ in 0..<3 { octets[Int.random(in: octets.indices, using: &random)] = .random(in: 0...255, using: &random) }
      var answer = ConnectAnswer()
      let once = answer.take(octets)
      var again = ConnectAnswer()
      var progress = ConnectAnswer.Progress.incomplete
      for octet in octets { progress = again.take([octet]) }
      #expect(progress == once)
    }
  }
}
