import DNSWire
package import EgressPolicy
import GrantLedger
import IPNetwork

/// That a connection goes through a proxy, as serve says it once the record stands.
package struct InspectionOrder: Hashable, Sendable {
  package var inspector: Inspector
  /// By which the proxy names the connection in what it finds: random, so that it can name no other.
  package var id: String
  package var server: String
  /// Of the entry: `FILE:LINE`.
  package var rule: String

  package init(inspector: Inspector, id: String, server: String, rule: String) {
    self.inspector = inspector
    self.id = id
    self.server = server
    self.rule = rule
  }
}

/// What the gate says to a proxy before anything of a connection: CONNECT to the address that was opened (RFC 9110 section 9.3.6), so
/// that nothing is resolved on the way (P4), and whose connection it is in fields of Sluice's own.
package struct ConnectRequest: Sendable {
  /// Octets of one field's value; of what is longer, a path, the end stays.
  package static let maximumValue = 1_024

  package let octets: [UInt8]

  package init(_ order: InspectionOrder, _ connection: GatedConnection) {
    let element = connection.element
    let target = Inspector(address: element.address, port: element.port).endpoint
    let fields = [
      ("Host", target), ("Sluice-Name", connection.said), ("Sluice-Server", order.server),
      ("Sluice-Client", Inspector(address: connection.client, port: connection.clientPort).endpoint),
      ("Sluice-Rule", order.rule), ("Sluice-Connection", order.id),
    ]
    let lines = ["CONNECT \(target) HTTP/1.1"] + fields.map { "\($0): \(Self.value($1))" }
    octets = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
  }

  /// A value of printable ASCII without blanks: what is neither stands as `%XX`, and `%` itself too, so that no value begins another
  /// field and each can be read back.
  static func value(_ text: String) -> String {
    var octets: [UInt8] = []
    // From the end, and whole escapes alone.
    for octet in text.utf8.reversed() {
      var written = [octet]
      if !(0x21...0x7E).contains(octet) || octet == UInt8(ascii: "%") {
        written = [UInt8(ascii: "%")] + [octet >> 4, octet & 15].map { $0 < 10 ? 0x30 + $0 : 0x41 + $0 - 10 }
      }
      guard octets.count + written.count <= maximumValue else { break }
      octets += written.reversed()
    }
    return String(decoding: octets.reversed(), as: UTF8.self)
  }
}

/// What a proxy answers to CONNECT, read octet by octet as it comes: the head alone, of which only the status counts (RFC 9112
/// section 4). The proxy is asked for nothing else, and what comes behind its head before the client has said anything is none of
/// a tunnel's.
package struct ConnectAnswer: Sendable {
  /// What came of reading.
  package enum Progress: Hashable, Sendable {
    case incomplete
    /// 2xx: what is sent now is the other side's.
    case accepted
    /// Another status.
    case refused(UInt16)
    /// No head of HTTP/1, a longer one than is read, or more than one.
    case malformed
  }

  /// Far more than proxies answer.
  package static let maximumOctets = 4_096
  private static let version = Array("HTTP/1.".utf8)

  /// The line that is being read.
  private var line: [UInt8] = []
  private var count = 0
  private var status: UInt16?
  private var isAfterReturn = false
  private var progress = Progress.incomplete

  package init() {}

  /// Takes octets that arrived, and says how far that goes.
  package mutating func take(_ octets: some Sequence<UInt8>) -> Progress {
    for octet in octets {
      guard progress == .incomplete else { return fail() }
      count += 1
      guard count <= Self.maximumOctets, take(octet) else { return fail() }
    }
    return progress
  }

  private mutating func fail() -> Progress {
    progress = .malformed
    return progress
  }

  /// False for what no head has.
  private mutating func take(_ octet: UInt8) -> Bool {
    if isAfterReturn {
      isAfterReturn = false
      return octet == UInt8(ascii: "\n") && endLine()
    }
    switch octet {
    case UInt8(ascii: "\r"):
      isAfterReturn = true
      return true
    case UInt8(ascii: "\t"), 0x20...0x7E, 0x80...0xFF: line.append(octet)
    default: return false
    }
    // What does not begin like an answer is told at once, however long it would be.
    return status != nil || line.prefix(Self.version.count).elementsEqual(Self.version.prefix(line.count))
  }

  private mutating func endLine() -> Bool {
    defer { line = [] }
    guard let status else {
      self.status = Self.status(line)
      return self.status != nil
    }
    if line.isEmpty {
      progress = 200..<300 ~= status ? .accepted : .refused(status)
      return true
    }
    // A name and a colon; no line goes on with the next one (RFC 9112 section 5.2).
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0 else { return false }
    return line[..<colon].allSatisfy { $0 > 0x20 && $0 < 0x7F }
  }

  /// Of `HTTP/1.1 200 Connection established`.
  private static func status(_ line: [UInt8]) -> UInt16? {
    let digits = line.dropFirst(version.count + 2).prefix(3)
    guard line.starts(with: version), line.count >= version.count + 5, isDigit(line[version.count]),
      line[version.count + 1] == 0x20, digits.allSatisfy(isDigit),
      line.count == version.count + 5 || line[version.count + 5] == 0x20
    else { return nil }
    let status = digits.reduce(0) { $0 * 10 + UInt16($1 - 0x30) }
    return 100..<600 ~= status ? status : nil
  }

  private static func isDigit(_ octet: UInt8) -> Bool { (0x30...0x39).contains(octet) }
}
