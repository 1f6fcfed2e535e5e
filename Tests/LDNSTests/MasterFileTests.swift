import DNSWire
import LDNS
import TestSupport
import Testing

private let start = "lan. 300 IN SOA ns.lan. hostmaster.lan. 1 3600 600 86400 60\n"

@Suite("Master files")
struct MasterFileTests {
  private func faults(_ text: String) -> [MasterFile.Fault] { faults(Array(text.utf8)) }

  private func faults(_ text: [UInt8]) -> [MasterFile.Fault] { MasterFile.read(text).faults }

  @Test("a record is read as wire octets, with the line that it stands on and the TTL in force")
  func records() throws {
    let text = start + "$TTL 1h\n$ORIGIN lan.\nA.B A 127.0.0.2\n\t60 MX 5 Mail\n"
    let (records, faults) = MasterFile.read(Array(text.utf8))
    #expect(faults == [])
    let (owner, mail) = (try Name(hostname: "a.b.lan").wire, try Name(hostname: "mail.lan").wire)
    #expect(records.map(\.type) == [.SOA, .A, RRType(rawValue: 15)])
    #expect(records.map(\.line) == [1, 4, 5])
    #expect(records.map(\.ttl) == [300, 3600, 60])
    #expect(records.dropFirst().map(\.owner) == [owner, owner])
    #expect(records.dropFirst().map(\.rdata) == [[127, 0, 0, 2], [0, 5] + mail])
  }

  @Test(
    "what is no record is reported with the line that it stands on",
    arguments: [
      ("; comment\n\n" + start + "a.lan. IN A 1.2.3\n", 4, "rdata"),
      (start + "a.lan. IN A 127.0.0.1\n\nb.lan. IN AAAA ::zz\n", 4, ""),
      (start + "a.lan. IN NOSUCH x\n", 2, ""),
      (start + "a.lan. IN MX ten mail.lan.\n", 2, ""),
      (start + "a.lan. IN A\n", 2, ""),
      (start + "\(String(repeating: "x", count: 64)).lan. IN A 127.0.0.1\n", 2, ""),
      (start + "a..lan. IN A 127.0.0.1\n", 2, ""),
      (start + "a.lan. CH TXT \"x\"\n", 2, "class"),
      (start + "$INCLUDE other.zone\n", 2, "$INCLUDE"),
      (start + "a.lan. IN TYPE65280 \\# 0\n", 2, "value"),
      (start + "$GENERATE 1-3 a$ A 127.0.0.$\n", 2, ""),
    ])
  func faultWithLine(_ text: String, _ line: Int, _ words: String) throws {
    let faults = faults(text)
    #expect(faults.map(\.line) == [line])
    #expect(faults.allSatisfy { $0.message.contains(words) }, "\(faults)")
  }

  @Test("a record over several lines is reported where it starts")
  func severalLines() {
    let text = "lan. IN SOA a. b. (\n 1 2\n 3 4 5 )\na.lan. IN SOA a. b. (\n 1 2\n three 4 5 )\n"
    #expect(faults(text).map(\.line) == [4])
  }

  @Test("an empty file, one with a NUL octet and one that is too large are refused whole")
  func unreadable() {
    #expect(faults("").map(\.line) == [0])
    #expect(faults(Array(start.utf8) + [0]).map(\.line) == [0])
    #expect(faults([UInt8](repeating: 10, count: 16 << 20 | 1)).map(\.line) == [0])
    #expect(faults([UInt8](repeating: 10, count: 16 << 20)) == [])
  }

  @Test("a file of more records than a host has is refused")
  func tooManyRecords() {
    let text = start + (0..<100_000).map { "n\($0).lan. IN A 127.0.0.2\n" }.joined()
    #expect(faults(text).first?.message.contains("records") == true)
  }

  @Test("a file that is no zone is refused after a hundred faults")
  func garbage() {
    let text = String(repeating: "this is a letter, not a zone\n", count: 1000)
    #expect(faults(text).count == 100)
  }

  @Test("whatever is cut off, doubled or replaced in the text, reading it ends and never traps")
  func mutations() {
    var random = SeededRandom(seed: 11)
    let seed = Array((start + "a.lan. 5 IN A 127.0.0.1\nb IN TXT \"x\\\"y\" ( \"z\"\n ) ; c\n$TTL 4\n").utf8)
    for _ in 0..<3000 {
      var text = seed
      for _ in 0...Int(random.next() % 4) {
        let at = Int(random.next() % UInt64(text.count))
        switch random.next() % 3 {
        case 0: text[at] = UInt8(truncatingIfNeeded: random.next())
        case 1: text.removeSubrange(at..<min(text.count, at + 1 + Int(random.next() % 8)))
        default: text.insert(Array("()\"\\$;\n\t@*.".utf8)[Int(random.next() % 11)], at: at)
        }
        if text.isEmpty { text = [10] }
      }
      let (records, faults) = MasterFile.read(text)
      #expect(records.allSatisfy { $0.line >= 1 && !$0.rdata.isEmpty } && faults.allSatisfy { $0.line >= 0 })
    }
  }
}
