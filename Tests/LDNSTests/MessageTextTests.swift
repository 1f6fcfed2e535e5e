import DNSWire
import LDNS
import Testing

@Suite("Messages as text")
struct MessageTextTests {
  /// An answer to `a.lan. IN A`: 127.0.0.2 for a minute.
  private static let answer: [UInt8] =
    [0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0] + [1, 97, 3, 108, 97, 110, 0, 0, 1, 0, 1]
    + [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 2]

  @Test("a message is written with its records, the data of the answer, and without empty sections")
  func written() throws {
    let message = try #require(MessageText(Self.answer, received: 0, milliseconds: 7))
    #expect(message.answerData == ["127.0.0.2"])
    #expect(message.text.contains("a.lan.\t60\tIN\tA\t127.0.0.2"))
    #expect(message.text.contains("Query time: 7 msec"))
    #expect(!message.text.contains("AUTHORITY SECTION"))
  }

  @Test("what is cut off anywhere, or no message at all, has no text")
  func refused() {
    for count in 0..<Self.answer.count {
      #expect(MessageText(Array(Self.answer.prefix(count)), received: 0, milliseconds: 0) == nil, "\(count) octets")
    }
    #expect(MessageText([UInt8](repeating: 0xFF, count: 64), received: 0, milliseconds: 0) == nil)
  }
}
