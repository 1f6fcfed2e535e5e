/// What stands between the values of an event: its keys, and the quotes and commas around them. The encoder and the decoder
/// go by the same ones.
struct EventPieces: Sendable {
  static let shared = EventPieces()

  let time = Self.piece(.ts, after: .nothing, before: .text)
  let server = Self.piece(.server, after: .text, before: .text)
  let destination = Self.piece(.destination, after: .text, before: .text)
  let decision = Self.piece(.decision, after: .text, before: .text)
  let reason = Self.piece(.reason, after: .text, before: .text)
  let payloadSize = Self.piece(.payloadSize, after: .text, before: .bare)
  let id = Self.piece(.id, after: .bare, before: .text)
  let code = Self.piece(.code, after: .text, before: .text)
  let client = Self.piece(.client, after: .text, before: .bare)
  let clientPort = Self.piece(.clientPort, after: .bare, before: .bare)
  let transport = Self.piece(.transport, after: .bare, before: .bare)
  let type = Self.piece(.type, after: .bare, before: .text)
  let responseCode = Self.piece(.rcode, after: .text, before: .text)
  let count = Self.piece(.count, after: .text, before: .bare)
  /// In place of type and rcode, up to the count: of what is no query.
  let noType =
    Self.piece(.type, after: .bare, before: .bare) + null + Self.piece(.rcode, after: .bare, before: .bare) + null
    + Self.piece(.count, after: .bare, before: .bare)
  let first = Self.piece(.firstTime, after: .bare, before: .text)
  let last = Self.piece(.lastTime, after: .text, before: .text)

  static let null = Array("null".utf8)

  private enum Value {
    case nothing
    /// A string, whose quote belongs to the piece.
    case text
    /// A number, null, or a string with its quotes.
    case bare
  }

  private static func piece(_ key: EventKey, after former: Value, before value: Value) -> [UInt8] {
    var octets: [UInt8] = []
    switch former {
    case .nothing: octets.append(UInt8(ascii: "{"))
    case .text: octets.append(UInt8(ascii: "\""))
    case .bare: break
    }
    octets.append(key: key, isFirst: former == .nothing)
    if value == .text { octets.append(UInt8(ascii: "\"")) }
    return octets
  }
}
