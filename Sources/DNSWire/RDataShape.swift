/// Whether record data has the shape of its type; unknown types are opaque (RFC 3597).
enum RDataShape {
  /// - Parameter budget: compression pointers that may still be followed in this message.
  /// - Throws: `recordData`, or what is wrong with a name inside.
  static func check(
    _ message: Span<UInt8>, _ record: RecordHeader, pointers budget: inout Int
  ) throws(FormatError) {
    guard record.klass == .IN else { return }
    switch record.type {
    case .A:
      try require(record.rdata.count == 4, record)
    case .AAAA:
      try require(record.rdata.count == 16, record)
    case .TXT, .SPF:
      try strings(message, record)
    case .SVCB, .HTTPS:
      try parameters(message, record)
    default:
      guard let names = DataNames(message, record) else { return }
      // Behind the names of an SOA stand five numbers.
      let tail = record.type == .SOA ? 20 : 0
      try require(try namesEnd(names, message, record, pointers: &budget) + tail == record.rdata.upperBound, record)
    }
  }

  private static func require(_ condition: Bool, _ record: RecordHeader) throws(FormatError) {
    guard condition else { throw FormatError(.recordData, at: record.rdata.lowerBound) }
  }

  private static func namesEnd(
    _ names: DataNames, _ message: Span<UInt8>, _ record: RecordHeader, pointers budget: inout Int
  ) throws(FormatError) -> Int {
    var at = record.rdata.lowerBound + names.head
    for _ in 0..<names.count {
      try require(at < record.rdata.upperBound, record)
      try NameWire.check(message, at: &at, pointers: &budget)
    }
    return at
  }

  /// Moves `offset` past a name in which no pointer may stand.
  private static func plainName(
    _ message: Span<UInt8>, _ record: RecordHeader, at offset: inout Int
  ) throws(FormatError) {
    try require(offset < record.rdata.upperBound, record)
    let start = offset
    var none = 0
    try NameWire.check(message, at: &offset, pointers: &none)
    guard NameWire.isPlain(message, start..<offset) else { throw FormatError(.pointerNotAllowed, at: start) }
  }

  /// One or more character strings (RFC 1035 section 3.3.14).
  private static func strings(_ message: Span<UInt8>, _ record: RecordHeader) throws(FormatError) {
    try require(!record.rdata.isEmpty, record)
    var at = record.rdata.lowerBound
    while at < record.rdata.upperBound {
      at += Int(message[at]) + 1
    }
    try require(at == record.rdata.upperBound, record)
  }

  /// Priority, an uncompressed target, parameters with strictly rising keys (RFC 9460 section 2.2).
  private static func parameters(_ message: Span<UInt8>, _ record: RecordHeader) throws(FormatError) {
    var at = record.rdata.lowerBound + 2
    try plainName(message, record, at: &at)
    var last = -1
    while at < record.rdata.upperBound {
      guard let key = message.read16(at), let length = message.read16(at + 2) else {
        throw FormatError(.recordData, at: at)
      }
      try require(Int(key) > last, record)
      last = Int(key)
      at += 4 + Int(length)
    }
    try require(at == record.rdata.upperBound, record)
  }
}
