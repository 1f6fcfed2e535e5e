import DNSWire

/// What is wrong with a message.
enum Fault: CaseIterable {
  /// The last octet is missing.
  case cut
  /// An octet too many.
  case trailing
  /// A response: answering it could loop.
  case response
  /// Two questions.
  case questions
  /// Another opcode than QUERY.
  case opcode

  func apply(to message: inout [UInt8]) {
    switch self {
    case .cut: message.removeLast()
    case .trailing: message.append(0)
    case .response: message[2] |= 0x80
    case .questions: message[5] = 2
    case .opcode: message[2] |= 0x20
    }
  }

  /// What `count` messages with every fault in turn must come to.
  static func expected(_ count: Int) -> Seen {
    let each = count / allCases.count
    return Seen(
      replies: 4 * each, drops: each,
      codes: 3 * each * Int(ResponseCode.FORMERR.rawValue) + each * Int(ResponseCode.NOTIMP.rawValue))
  }
}
