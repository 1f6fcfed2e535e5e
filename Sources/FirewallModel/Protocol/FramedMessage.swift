/// What two processes of one executable say to each other: version, kind and fields, and nothing behind them.
package protocol FramedMessage {
  static var version: UInt8 { get }
  /// Octets of the largest message; a seqpacket socket keeps each whole.
  static var maximumOctets: Int { get }
  /// Another one for each that has other fields.
  var kind: UInt8 { get }

  /// Appends the fields of its kind.
  func writeFields(to writer: inout OctetWriter)

  /// Reads the fields of a kind; every one is checked.
  static func read(_ kind: UInt8, _ reader: inout OctetReader) throws(BridgeFormatError) -> Self
}

extension FramedMessage {
  /// The message in octets, at most `maximumOctets` where its lists keep to their bounds.
  package func encoded() -> [UInt8] {
    var writer = OctetWriter(capacity: 256)
    writer.integer(Self.version)
    writer.integer(kind)
    writeFields(to: &writer)
    return writer.octets
  }

  /// Reads a message; every field is checked and nothing may follow it.
  package init(decoding octets: [UInt8]) throws(BridgeFormatError) {
    guard octets.count <= Self.maximumOctets else { throw .tooLong }
    var reader = OctetReader(octets)
    guard try reader.integer(UInt8.self) == Self.version else { throw .version }
    self = try Self.read(try reader.integer(UInt8.self), &reader)
    try reader.end()
  }
}
