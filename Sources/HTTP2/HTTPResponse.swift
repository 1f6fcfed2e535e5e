import NIOCore
import NIOHPACK

/// A DNS message that came as the answer to another one.
package struct HTTPAnswer: Equatable, Sendable {
  package var message: [UInt8]
  /// For how many seconds it was kept on the way (RFC 9111 section 5.1), which is time of its TTLs that has passed.
  package var age: UInt32

  package init(message: [UInt8], age: UInt32 = 0) {
    (self.message, self.age) = (message, age)
  }
}

/// What came so far of one response (RFC 8484 section 4.2): its final head, and the octets of a message.
///
/// No redirect is followed, no cookie kept, no encoding undone: nothing of it was asked for.
struct HTTPResponse {
  static let mediaType = "application/dns-message"
  /// The longest DNS message.
  static let mostOctets = 65_535
  /// The head of a DNS message: less is none.
  static let leastOctets = 12

  private var hasHead = false
  private var age: UInt32 = 0
  private var body: [UInt8] = []
  /// As flow control counts them, with padding.
  private(set) var controlledOctets = 0

  /// Takes a head, an interim one (RFC 9110 section 15.2), or trailers; returns what is wrong with it.
  mutating func take(_ headers: HPACKHeaders) -> HTTPFailure? {
    guard !hasHead else { return nil }
    guard let status = headers.first(name: ":status").flatMap(Self.status) else { return .content }
    if (100..<200).contains(status) { return nil }
    hasHead = true
    guard status == 200 else { return .status(status) }
    guard Self.isMessage(headers) else { return .content }
    age = headers.first(name: "age").map(Self.age) ?? 0
    return nil
  }

  /// Takes octets of the message; returns what is wrong with them.
  ///
  /// - Parameter controlled: what they are to flow control.
  mutating func take(_ octets: ByteBufferView, controlled: Int) -> HTTPFailure? {
    controlledOctets += controlled
    guard hasHead else { return .content }
    guard body.count + octets.count <= Self.mostOctets else { return .length }
    body += octets
    return nil
  }

  /// The answer, of which nothing more comes.
  var whole: Result<HTTPAnswer, HTTPFailure> {
    guard hasHead, body.count >= Self.leastOctets else { return .failure(.content) }
    return .success(HTTPAnswer(message: body, age: age))
  }

  private static func status(_ text: String) -> UInt16? {
    text.utf8.count == 3 && text.utf8.allSatisfy(isDigit) ? UInt16(text) : nil
  }

  /// One type, with or without parameters, and no encoding.
  private static func isMessage(_ headers: HPACKHeaders) -> Bool {
    let types = headers["content-type"].map { $0.prefix { $0 != ";" && $0 != " " && $0 != "\t" }.lowercased() }
    return types == [mediaType] && headers["content-encoding"].allSatisfy { $0.lowercased() == "identity" }
  }

  /// Seconds; of a list the first, and 0 where it is no number (RFC 9111 section 5.1).
  private static func age(_ text: String) -> UInt32 {
    let first = text.prefix { $0 != "," && $0 != " " }
    guard !first.isEmpty, first.utf8.allSatisfy(isDigit) else { return 0 }
    return UInt32(first) ?? .max
  }

  private static func isDigit(_ octet: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(octet) }
}
