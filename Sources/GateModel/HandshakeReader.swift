/// Puts the first handshake message of one side of a TLS connection together from its records (RFC 8446 section 5.1), however
/// they are cut. Octets come in as they arrive, each is looked at once, and all of them stay in `octets` for who gets them next.
package struct HandshakeReader: Sendable {
  /// Which message is expected, and how much of it.
  package enum Expected: Sendable {
    /// All of a ClientHello.
    case clientHello
    /// The same behind a HelloRetryRequest, where a change of cipher and early data that the server does not take may come
    /// first (RFC 8446 sections 4.2.10 and D.4).
    case secondClientHello
    /// As much of a ServerHello as says whether it asks for another ClientHello.
    case serverHello
  }

  /// What came of reading.
  package enum Progress: Hashable, Sendable {
    case incomplete
    /// `message` is what was expected.
    case complete
    /// It is no TLS handshake, or another message than the expected one.
    case foreign
    /// Longer than is read.
    case tooLong
  }

  /// Octets of a message at most: as much as one record holds.
  package static let maximumMessage = 16_384
  /// Octets that are kept at most: such a message, in a hundred records or more.
  package static let maximumOctets = maximumMessage + 1_024

  private static let handshake: UInt8 = 22
  private static let headerOctets = 5
  /// Of a ServerHello: its header, its version and its random.
  private static let serverHelloOctets = 38

  private let expected: Expected
  /// All that came and was not taken.
  package private(set) var octets: [UInt8] = []
  /// What records of the handshake held.
  package private(set) var message: [UInt8] = []
  /// Where the next record begins.
  private var next = 0

  package init(_ expected: Expected) {
    self.expected = expected
  }

  /// How many octets there is room for.
  package var room: Int { Self.maximumOctets - octets.count }

  /// Takes octets that arrived, and says how far that goes.
  package mutating func take(_ more: some Sequence<UInt8>) -> Progress {
    octets.append(contentsOf: more)
    while true {
      if let progress = judge() { return progress }
      guard let length = recordLength else { return octets.count < Self.maximumOctets ? .incomplete : .tooLong }
      guard octets.count - next - Self.headerOctets >= length else {
        return octets.count < Self.maximumOctets ? .incomplete : .tooLong
      }
      if octets[next] == Self.handshake {
        message += octets[(next + Self.headerOctets)..<(next + Self.headerOctets + length)]
      }
      next += Self.headerOctets + length
    }
  }

  /// Takes away what precedes the message and may go on: early data, which nothing is read in.
  package mutating func takePassed() -> [UInt8] {
    guard message.isEmpty, next > 0 else { return [] }
    let passed = Array(octets[..<next])
    octets.removeFirst(next)
    next = 0
    return passed
  }

  /// The records that hold a message that is complete, and what came behind them.
  package var parts: (message: ArraySlice<UInt8>, rest: ArraySlice<UInt8>) { (octets[..<next], octets[next...]) }

  /// What the records so far are; nil where the next one is to be read.
  private func judge() -> Progress? {
    if let first = message.first {
      guard first == (expected == .serverHello ? 2 : 1) else { return .foreign }
      if expected == .serverHello, message.count >= Self.serverHelloOctets { return .complete }
      if message.count >= 4 {
        let length = Int(message[1]) << 16 | Int(message[2]) << 8 | Int(message[3])
        guard length <= Self.maximumMessage else { return .tooLong }
        if message.count >= 4 + length { return expected == .serverHello ? .foreign : .complete }
      }
    }
    // What has come of the next record's header must be one.
    let rest = octets.count - next
    guard rest > 0 else { return nil }
    guard isExpected(octets[next]) else { return .foreign }
    guard rest > 1 else { return nil }
    guard octets[next + 1] == 3 else { return .foreign }
    guard rest > 2 else { return nil }
    guard octets[next + 2] <= 4 else { return .foreign }
    guard let length = recordLength else { return nil }
    // No record of a handshake is empty, and none has more than 2^14 octets; ones that are protected have some more.
    let limit = octets[next] == Self.handshake ? Self.maximumMessage : Self.maximumMessage + 256
    return (1...limit).contains(length) ? nil : .foreign
  }

  private func isExpected(_ type: UInt8) -> Bool {
    if type == Self.handshake { return true }
    // ChangeCipherSpec and application data, before anything of the message.
    return expected == .secondClientHello && message.isEmpty && (type == 20 || type == 23)
  }

  private var recordLength: Int? {
    guard octets.count - next >= Self.headerOctets else { return nil }
    return Int(octets[next + 3]) << 8 | Int(octets[next + 4])
  }

  /// Whether a ServerHello that is complete is a HelloRetryRequest (RFC 8446 section 4.1.3).
  package var asksForAnotherHello: Bool {
    expected == .serverHello && message.count >= Self.serverHelloOctets
      && message[6..<38].elementsEqual(Self.retryRandom)
  }

  /// SHA-256 of "HelloRetryRequest".
  private static let retryRandom: [UInt8] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91,
    0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
  ]
}
