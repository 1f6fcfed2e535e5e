/// Makes hellos as clients send them, and as no client does.
package struct Hello {
  package var version: [UInt8] = [3, 3]
  /// Server name extensions, each by its entries.
  package var names: [[(type: UInt8, octets: [UInt8])]] = []
  package var extensions: [(type: UInt16, body: [UInt8])] = []
  package var hasExtensions = true

  package init(_ name: String? = nil) {
    if let name { names = [[(0, Array(name.utf8))]] }
  }

  package static func vector(_ octets: Int, _ body: [UInt8]) -> [UInt8] {
    (0..<octets).reversed().map { UInt8(truncatingIfNeeded: body.count >> (8 * $0)) } + body
  }

  /// The handshake message.
  package var message: [UInt8] {
    var all = names.map { entries in
      (type: UInt16(0), body: Self.vector(2, entries.flatMap { [$0.type] + Self.vector(2, $0.octets) }))
    }
    all += extensions
    let list = all.flatMap { [UInt8($0.type >> 8), UInt8(truncatingIfNeeded: $0.type)] + Self.vector(2, $0.body) }
    let body =
      version + [UInt8](repeating: 7, count: 32) + Self.vector(1, [UInt8](repeating: 1, count: 32))
      + Self.vector(2, [0x13, 0x01, 0x13, 0x02]) + Self.vector(1, [0])
      + (hasExtensions ? Self.vector(2, list) : [])
    return [1] + Self.vector(3, body)
  }

  /// In records of so many octets each.
  package func records(of size: Int = 16_384, version: [UInt8] = [3, 1]) -> [UInt8] {
    Self.records(message, of: size, version: version)
  }

  package static func records(_ message: [UInt8], of size: Int = 16_384, version: [UInt8] = [3, 1], type: UInt8 = 22)
    -> [UInt8]
  {
    stride(from: 0, to: message.count, by: size).flatMap { start in
      [type] + version + vector(2, Array(message[start..<min(start + size, message.count)]))
    }
  }

  /// What a server answers, with this random.
  package static func answer(_ random: [UInt8]) -> [UInt8] {
    [2] + vector(3, [3, 3] + random + vector(1, []) + [0x13, 0x01, 0])
  }
}
