import ControlAPI
import DNSWire
import TestSupport
import Testing

@testable import Serving

@Suite struct ReplyTextTests {
  /// A query's octets with an OPT of these options: what is read is the same in a reply.
  private func read(_ options: [UInt8]) -> ControlAPI.ExtendedError? {
    ReplyText.extendedError(of: Messages.query("a.example.com", .A, opt: Messages.opt(options: options)))
  }

  private let blocked: [UInt8] = [0, 15, 0, 6, 0, 15] + Array("why.".utf8)

  @Test func `the extended error of a message is its code and text, wherever it stands among the options`() {
    #expect(read(blocked)?.code == 15 && read(blocked)?.text == "why.")
    #expect(read([0, 12, 0, 2, 0, 0] + blocked)?.code == 15, "behind padding")
    #expect(read([0, 15, 0, 2, 0, 22])?.code == 22 && read([0, 15, 0, 2, 0, 22])?.text == "", "without a text")
  }

  @Test func `a message without one, or that is none, has none`() {
    #expect(read([]) == nil && read([0, 12, 0, 2, 0, 0]) == nil)
    #expect(read([0, 15, 0, 1, 0]) == nil, "too short for a code")
    #expect(ReplyText.extendedError(of: []) == nil)
    #expect(ReplyText.extendedError(of: Messages.query("a.example.com", .A)) == nil)
    // Cut anywhere, nothing traps.
    let whole = Messages.query("a.example.com", .A, opt: Messages.opt(options: blocked))
    for count in 0..<whole.count { #expect(ReplyText.extendedError(of: Array(whole[..<count])) == nil) }
  }
}
