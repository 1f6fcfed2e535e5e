package import DNSWire
import IPNetwork

/// What a ClientHello says of whom it is for (RFC 8446 section 4.1.2). Nothing of it is decrypted.
package struct ClientHello: Hashable, Sendable {
  /// The name of a connection as the hello says it (RFC 6066 section 3).
  package enum Said: Hashable, Sendable {
    case nothing
    /// The octets of the only name.
    case name([UInt8])
    /// More than one: what a server takes of them is not known.
    case several
  }

  package var said = Said.nothing
  /// Protocols that may follow (RFC 7301), as octets of the extension.
  package var protocols: [[UInt8]] = []
  /// It may hide another name (RFC 9849); what does and what does not cannot be told apart.
  package var hidesName = false

  /// Why a message is no ClientHello.
  package enum HelloError: Error {
    case malformed
  }

  private static let serverName: UInt16 = 0
  private static let applicationProtocols: UInt16 = 16
  /// `encrypted_client_hello`, and what its drafts were called before.
  private static let encrypted: Set<UInt16> = [0xFE0D, 0xFFCE]
  /// Far more than any client has; each is looked at once.
  private static let maximumExtensions = 512

  package init() {}

  /// Reads a whole handshake message: type, length and body.
  package init(_ message: [UInt8]) throws(HelloError) {
    var reader = HelloOctets(message[...])
    guard try reader.integer(1) == 1, try reader.integer(3) == reader.rest.count else { throw .malformed }
    // legacy_version, random; session, cipher suites, compression methods.
    _ = try reader.take(2 + 32)
    guard try reader.vector(1).count <= 32 else { throw .malformed }
    let suites = try reader.vector(2)
    guard suites.count >= 2, suites.count % 2 == 0, !(try reader.vector(1)).isEmpty else { throw .malformed }
    // TLS 1.0 knows a hello without extensions.
    guard !reader.rest.isEmpty else { return }
    var extensions = HelloOctets(try reader.vector(2))
    guard reader.rest.isEmpty else { throw .malformed }
    var seen: Set<UInt16> = []
    while !extensions.rest.isEmpty {
      let type = UInt16(truncatingIfNeeded: try extensions.integer(2))
      let body = try extensions.vector(2)
      // RFC 8446 section 4.2: each once. Which of two a server takes is not known.
      guard seen.insert(type).inserted, seen.count <= Self.maximumExtensions else { throw .malformed }
      if type == Self.serverName { said = try Self.name(body) }
      if type == Self.applicationProtocols { protocols = try Self.protocols(body) }
      if Self.encrypted.contains(type) { hidesName = true }
    }
  }

  private static func name(_ body: ArraySlice<UInt8>) throws(HelloError) -> Said {
    var reader = HelloOctets(body)
    var list = HelloOctets(try reader.vector(2))
    guard reader.rest.isEmpty, !list.rest.isEmpty else { throw .malformed }
    let type = try list.integer(1)
    let name = try list.vector(2)
    // A type that is none, or a second entry: a server may take it for a name.
    guard type == 0, list.rest.isEmpty else { return .several }
    return .name(Array(name))
  }

  private static func protocols(_ body: ArraySlice<UInt8>) throws(HelloError) -> [[UInt8]] {
    var reader = HelloOctets(body)
    var list = HelloOctets(try reader.vector(2))
    var found: [[UInt8]] = []
    while !list.rest.isEmpty, found.count < 64 { found.append(Array(try list.vector(1))) }
    return found
  }

  /// The name that it says, where that is a host's name as RFC 6066 section 3 has them: ASCII, without a dot at its end, and no
  /// address.
  package var name: Name? {
    guard case .name(let octets) = said, octets.count <= NameWire.maxOctets, octets.last != UInt8(ascii: "."),
      octets.allSatisfy({ $0 < 0x80 })
    else { return nil }
    let text = String(decoding: octets, as: UTF8.self)
    guard IPAddress(text) == nil, let name = try? Name(hostname: text) else { return nil }
    return name
  }

  /// What it says, for an event: the name in lower case; what is none as a name is written, with `\DDD` for what no name has.
  package var text: String {
    if let name { return name.description }
    return switch said {
    case .nothing: ""
    case .several: "(several names)"
    case .name(let octets): octets.prefix(Self.maximumText).map(Self.text).joined()
    }
  }

  private static let maximumText = 255

  private static func text(_ octet: UInt8) -> String {
    if octet == UInt8(ascii: ".") || Name.isHostnameOctet(octet) { return String(Unicode.Scalar(octet)) }
    let digits = String(octet)
    return "\\" + String(repeating: "0", count: 3 - digits.count) + digits
  }
}

/// Reads the fields of a hello from the front; never past the end.
private struct HelloOctets {
  private(set) var rest: ArraySlice<UInt8>

  init(_ octets: ArraySlice<UInt8>) { rest = octets }

  mutating func take(_ count: Int) throws(ClientHello.HelloError) -> ArraySlice<UInt8> {
    guard count >= 0, rest.count >= count else { throw .malformed }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  /// A number of so many octets, the highest first.
  mutating func integer(_ octets: Int) throws(ClientHello.HelloError) -> Int {
    try take(octets).reduce(0) { $0 << 8 | Int($1) }
  }

  /// What stands behind its length, which takes so many octets.
  mutating func vector(_ octets: Int) throws(ClientHello.HelloError) -> ArraySlice<UInt8> {
    try take(try integer(octets))
  }
}
