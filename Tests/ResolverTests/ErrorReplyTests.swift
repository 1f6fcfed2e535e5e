import DNSWire
import TestSupport
import Testing

@testable import Resolver

/// What a server owes to messages that it may not know (RFC 8906): an answer to each, that says what it is about.
@Suite("Replies to every opcode and flag")
struct ErrorReplyTests {
  enum Options: CaseIterable, Sendable {
    case none, plain, unknown, later, laterUnknown

    var octets: [UInt8] {
      // An option that has no meaning (RFC 8906 section 8.2.2).
      let unknown = Messages.be16(100) + Messages.be16(3) + [1, 2, 3]
      return switch self {
      case .none: []
      case .plain: Messages.opt(flags: 0x8000)
      case .unknown: Messages.opt(flags: 0x8000, options: unknown)
      case .later: Messages.opt(version: 1, flags: 0x8000)
      case .laterUnknown: Messages.opt(version: 1, flags: 0x8000, options: unknown)
      }
    }

    var isLater: Bool { self == .later || self == .laterUnknown }
  }

  private func message(opcode: Int, flags: Int, _ options: Options, hasQuestion: Bool) -> [UInt8] {
    var message = Messages.query("evil.example.org", .A, opt: options.octets)
    let bits = opcode << 11 | flags
    (message[2], message[3]) = (UInt8(bits >> 8), UInt8(bits & 255))
    guard !hasQuestion else { return message }
    message[5] = 0
    message.removeSubrange(12..<(message.count - options.octets.count))
    return message
  }

  @Test("each of 128 settings of the flags, with and without a question, with each kind of OPT", arguments: 0...15)
  func opcodes(opcode: Int) throws {
    let asker = try Asker(try World(), ringCapacity: 1 << 20)
    // AA, TC, RD, RA, Z, AD and CD.
    for flags in (0..<128).map({ $0 << 4 }) {
      for options in Options.allCases {
        for hasQuestion in [true, false] {
          let message = message(opcode: opcode, flags: flags, options, hasQuestion: hasQuestion)
          let reply = try asker.reply(message)
          let text = Comment("\(opcode) \(flags) \(options) \(hasQuestion)")
          let expected: ResponseCode =
            opcode != 0 ? .NOTIMP : !hasQuestion ? .FORMERR : options.isLater ? .BADVERS : .NXDOMAIN
          let extended = (reply.opt?.header.ttl ?? 0) >> 24
          #expect(UInt32(reply.code.rawValue) | extended << 4 == UInt32(expected.rawValue), text)
          #expect(Int(reply.header.opcode.rawValue) == opcode && reply.header.id == 0x1234, text)
          // QR and RA are ours; RD, and of a query CD, come back; AA, TC, Z and AD never do.
          let returned = opcode == 0 ? 0x0110 : 0x0100
          #expect(Int(reply.header.flags) & 0x87F0 == 0x8080 | flags & returned, text)
          #expect(reply.question == (hasQuestion ? Array(message[12..<34]) : []), text)
          #expect(reply.answers.isEmpty && (reply.opt != nil) == (options != .none), text)
          guard let opt = reply.opt else { continue }
          #expect(opt.header.ttl >> 16 & 0xFF == 0, "the version that is spoken here")
          #expect(opt.rdata.isEmpty || reply.extendedError != nil, "no option comes back")
        }
      }
      _ = asker.recorded()
    }
  }

  @Test("no response gets one, whatever its opcode and flags", arguments: 0...15)
  func responses(opcode: Int) throws {
    let asker = try Asker(try World())
    for flags in (0..<128).map({ 0x8000 | $0 << 4 }) {
      let message = message(opcode: opcode, flags: flags, .plain, hasQuestion: true)
      guard case .drop = try asker.ask(message) else {
        Issue.record("\(opcode) \(flags) was answered")
        return
      }
    }
  }

  @Test(
    "C19: a cookie is never echoed, one of a wrong length is FORMERR, and padding and a client's network are ignored")
  func options() throws {
    let asker = try Asker(try World())
    func option(_ code: Int, _ data: [UInt8]) -> [UInt8] { Messages.be16(code) + Messages.be16(data.count) + data }
    let cookie: [UInt8] = [0xB9, 0xA6, 0xC4, 0xFF, 0x4C, 0x47, 0xF4, 0xA8]
    let queries: [([UInt8], ResponseCode)] = [
      (option(10, cookie), .NXDOMAIN), (option(10, Array(cookie.prefix(7))), .FORMERR), ([], .NXDOMAIN),
      (option(12, [UInt8](repeating: 0, count: 468)) + option(8, [0, 1, 24, 0, 192, 0, 2]), .NXDOMAIN),
      (option(10, cookie), .NXDOMAIN),
    ]
    for (options, code) in queries {
      let reply = try asker.reply(Messages.query("evil.example.org", .A, opt: Messages.opt(options: options)))
      #expect(reply.code == code)
      #expect(
        reply.opt?.rdata.starts(with: [0, 15]) == (code == .NXDOMAIN) && (code == .NXDOMAIN || reply.opt?.rdata == []))
    }
    #expect(try asker.reply(Messages.query("evil.example.org", .A)).opt == nil)
  }
}
