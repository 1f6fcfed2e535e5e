import DNSWire

/// Writes what the two ends of the validator's socket say: numbers big-endian, lists and texts with their count before them.
struct OctetPack {
  private(set) var octets: [UInt8] = []

  mutating func add(_ value: UInt8) { octets.append(value) }

  mutating func add(_ value: UInt16) { octets += [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)] }

  mutating func add(_ value: UInt32) {
    add(UInt16(value >> 16))
    add(UInt16(truncatingIfNeeded: value))
  }

  mutating func add(_ value: UInt64) {
    add(UInt32(value >> 32))
    add(UInt32(truncatingIfNeeded: value))
  }

  /// At most 65,535 octets: record data, names, messages.
  mutating func add(_ text: [UInt8]) {
    add(UInt16(clamping: text.count))
    octets += text.prefix(Int(UInt16.max))
  }

  mutating func add(_ texts: [[UInt8]]) {
    add(UInt16(clamping: texts.count))
    for text in texts.prefix(Int(UInt16.max)) { add(text) }
  }
}

/// Reads it; every field is checked, and nil is what is not there.
struct OctetUnpack {
  private let octets: ArraySlice<UInt8>
  private var at: Int

  init(_ octets: ArraySlice<UInt8>) {
    self.octets = octets
    at = octets.startIndex
  }

  var isAtEnd: Bool { at == octets.endIndex }

  private mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
    guard count <= octets.endIndex - at else { return nil }
    defer { at += count }
    return octets[at..<(at + count)]
  }

  mutating func uint8() -> UInt8? { take(1)?.first }

  mutating func uint16() -> UInt16? { take(2).map { $0.reduce(0) { $0 << 8 | UInt16($1) } } }

  mutating func uint32() -> UInt32? { take(4).map { $0.reduce(0) { $0 << 8 | UInt32($1) } } }

  mutating func uint64() -> UInt64? { take(8).map { $0.reduce(0) { $0 << 8 | UInt64($1) } } }

  mutating func text() -> [UInt8]? { uint16().flatMap { take(Int($0)) }.map(Array.init) }

  mutating func texts() -> [[UInt8]]? {
    guard let count = uint16() else { return nil }
    var texts: [[UInt8]] = []
    for _ in 0..<count {
      guard let text = text() else { return nil }
      texts.append(text)
    }
    return texts
  }

  /// A name in canonical form, and nothing else.
  mutating func name() -> Name? {
    text().flatMap { Name(whole: $0.span) }
  }

  mutating func names() -> [Name]? {
    guard let count = uint16() else { return nil }
    var names: [Name] = []
    for _ in 0..<count {
      guard let name = name() else { return nil }
      names.append(name)
    }
    return names
  }
}
