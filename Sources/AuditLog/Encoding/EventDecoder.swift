import DNSWire
import IPNetwork

/// Why a line is no event that this version can read.
package struct AuditEventError: Error, Equatable {
  /// What keeps a line from being read.
  package enum Kind: Sendable {
    /// It is not laid out as `EventEncoder` does it: other keys or another order, or a value that is none of its key's.
    case form
    /// A code that no version before this one has.
    case unknownCode
  }

  package var kind: Kind
  /// The octet of the line that what is wrong begins at.
  package var offset: Int
}

extension AuditEvent {
  /// Reads a line as this version or an earlier one wrote it, without its newline. What it says of decision and reason is
  /// not kept, since both follow from the code; members may have keys that are not known here.
  ///
  /// - Throws: where it is no event, or one of a code that is not known.
  package init(line: [UInt8]) throws(AuditEventError) {
    var reader = EventReader(octets: line)
    let pieces = EventPieces.shared
    try reader.take(pieces.time)
    let wallClock = try reader.time()
    try reader.take(pieces.server)
    server = try reader.octets(atLeast: 1)
    try reader.take(pieces.destination)
    destination = try reader.octets(atLeast: 0)
    try reader.take(pieces.decision)
    _ = try reader.text()
    try reader.take(pieces.reason)
    _ = try reader.text()
    try reader.take(pieces.payloadSize)
    let payloadSize = try reader.number(UInt32.self)
    try reader.take(pieces.id)
    let run = try reader.hexadecimal()
    try reader.take([UInt8(ascii: "-")])
    id = Identifier(run: run, number: try reader.hexadecimal())
    try reader.take(pieces.code)
    let code = try reader.code()
    try reader.take(pieces.client)
    let client = try reader.client(code)
    try reader.take(pieces.clientPort)
    let clientPort = reader.takeNull() ? nil : try reader.number(UInt16.self)
    try reader.take(pieces.transport)
    let transport = try reader.transport(clientPort)
    let (type, responseCode) = try reader.question(code)
    fields = Fields(
      code: code, type: type, transport: transport, responseCode: responseCode, payloadSize: payloadSize,
      client: client,
      clientPort: clientPort ?? 0, wallClock: wallClock, count: try reader.number(UInt64.self),
      interval: try reader.interval())
    members = try reader.members()
  }
}

/// A line, and how far it was read.
private struct EventReader {
  let octets: [UInt8]
  var at = 0

  init(octets: [UInt8]) { self.octets = octets }

  private func failure(_ kind: AuditEventError.Kind = .form, at offset: Int? = nil) -> AuditEventError {
    AuditEventError(kind: kind, offset: offset ?? at)
  }

  private func begins(with piece: [UInt8]) -> Bool { octets[at...].starts(with: piece) }

  mutating func take(_ piece: [UInt8]) throws(AuditEventError) {
    guard begins(with: piece) else { throw failure() }
    at += piece.count
  }

  mutating func takeNull() -> Bool {
    guard begins(with: EventPieces.null) else { return false }
    at += EventPieces.null.count
    return true
  }

  /// The inside of a string; what is read ends before its quote.
  private mutating func inside() throws(AuditEventError) -> ArraySlice<UInt8> {
    let start = at
    while at < octets.count, octets[at] != UInt8(ascii: "\"") {
      guard (0x20...0x7E).contains(octets[at]) else { throw failure() }
      at += octets[at] == UInt8(ascii: "\\") ? 2 : 1
    }
    guard at < octets.count else { throw failure(at: start) }
    return octets[start..<at]
  }

  mutating func text() throws(AuditEventError) -> String {
    String(decoding: JSONEscapes.undo(try inside()), as: UTF8.self)
  }

  /// The inside of a string of which each character is an octet.
  mutating func octets(atLeast count: Int) throws(AuditEventError) -> String {
    let start = at
    let text = try text()
    guard text.unicodeScalars.count >= count, text.unicodeScalars.allSatisfy({ $0.value <= 0xFF }) else {
      throw failure(at: start)
    }
    return text
  }

  /// A string with its quotes.
  private mutating func quoted() throws(AuditEventError) -> String {
    try take([UInt8(ascii: "\"")])
    let text = try text()
    try take([UInt8(ascii: "\"")])
    return text
  }

  mutating func number<Number: FixedWidthInteger>(_: Number.Type) throws(AuditEventError) -> Number {
    let digits = octets[at...].prefix { (48...57).contains($0) }
    guard let number = Number(String(decoding: digits, as: UTF8.self)) else { throw failure() }
    at = digits.endIndex
    return number
  }

  /// Ten digits.
  mutating func hexadecimal() throws(AuditEventError) -> UInt64 {
    let digits = octets[at...].prefix(10)
    guard digits.count == 10, digits.first != UInt8(ascii: "+"),
      let number = UInt64(String(decoding: digits, as: UTF8.self), radix: 16)
    else {
      throw failure()
    }
    at = digits.endIndex
    return number
  }

  mutating func time() throws(AuditEventError) -> UInt64 {
    let start = at
    let text = try inside()
    guard let time = Timestamp.nanoseconds(text) else { throw failure(at: start) }
    return time
  }

  mutating func code() throws(AuditEventError) -> AuditCode {
    let start = at
    guard let code = AuditCode(token: try inside()) else { throw failure(.unknownCode, at: start) }
    return code
  }

  mutating func client(_ code: AuditCode) throws(AuditEventError) -> IPAddress? {
    let start = at
    if code.isService, takeNull() { return nil }
    let text = try quoted()
    if text == "*", !code.isService { return nil }
    guard let client = IPAddress(text) else { throw failure(at: start) }
    return client
  }

  /// - Parameter port: nil where there is no transport.
  mutating func transport(_ port: UInt16?) throws(AuditEventError) -> AuditTransport? {
    let start = at
    if port == nil, takeNull() { return nil }
    let name = try quoted()
    guard port != nil, let transport = AuditTransport.allCases.first(where: { $0.name == name }) else {
      throw failure(at: start)
    }
    return transport
  }

  /// Type and response code, up to the count.
  mutating func question(_ code: AuditCode) throws(AuditEventError) -> (RRType?, ResponseCode) {
    let pieces = EventPieces.shared
    guard code.isQuery else {
      try take(pieces.noType)
      return (nil, .NOERROR)
    }
    try take(pieces.type)
    var start = at
    let text = try text()
    let type = RRType(mnemonic: text)
    guard type != nil || text == "*" else { throw failure(at: start) }
    try take(pieces.responseCode)
    start = at
    guard let responseCode = ResponseCode(mnemonic: try self.text()) else { throw failure(at: start) }
    try take(pieces.count)
    return (type, responseCode)
  }

  mutating func interval() throws(AuditEventError) -> AuditEvent.Interval? {
    let pieces = EventPieces.shared
    guard begins(with: pieces.first) else { return nil }
    try take(pieces.first)
    let first = try time()
    try take(pieces.last)
    let last = try time()
    try take([UInt8(ascii: "\"")])
    return AuditEvent.Interval(first: first, last: last)
  }

  /// The rest of the line.
  func members() throws(AuditEventError) -> AuditMembers {
    guard octets.last == UInt8(ascii: "}"), at < octets.count else { throw failure() }
    let members = Array(octets[at..<(octets.count - 1)])
    guard JSONMembers.areWellFormed(members.span) else { throw failure() }
    return AuditMembers(octets: members)
  }
}

extension ResponseCode {
  /// Nil for what is neither a mnemonic nor `RCODE` and a number.
  fileprivate init?(mnemonic: String) {
    let known = (0..<32).lazy.map { ResponseCode(rawValue: $0) }.first { $0.description == mnemonic }
    guard let code = known ?? UInt16(mnemonic.dropFirst(5)).map({ ResponseCode(rawValue: $0) }),
      code.description == mnemonic
    else { return nil }
    self = code
  }
}
