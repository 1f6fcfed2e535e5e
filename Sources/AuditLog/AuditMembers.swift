package import IPNetwork

/// What an event says beside the keys that every event has: each member has the type of its key, and stands where it was
/// appended. `Documentation/event.md` has the order of each code.
///
/// The members are kept as they stand in the line, so that a record and its event copy octets and nothing else.
package struct AuditMembers: Equatable, Sendable {
  /// JSON members, each with its comma before it, in printable ASCII.
  package private(set) var octets: [UInt8] = []

  /// None.
  package init() {}

  /// None yet, with room for so many octets.
  package init(capacity: Int) { octets.reserveCapacity(capacity) }

  /// What stands in a line; the caller knows that they are well-formed.
  init(octets: [UInt8]) { self.octets = octets }

  package var isEmpty: Bool { octets.isEmpty }
}

// MARK: - Encoding

extension AuditMembers {
  /// Text that is not ASCII becomes `\uXXXX`; nothing is appended for nil.
  package mutating func append(_ key: Text, _ value: String?) {
    guard let value else { return }
    octets.append(key: key)
    octets.append(jsonQuoted: value)
  }

  /// `file:line`; the file alone where the line is 0.
  package mutating func append(_ key: Text, file: String, line: Int) {
    octets.append(key: key)
    octets.append(UInt8(ascii: "\""))
    octets.append(jsonEscaped: file)
    if line > 0 {
      octets.append(UInt8(ascii: ":"))
      octets.append(decimal: UInt64(line))
    }
    octets.append(UInt8(ascii: "\""))
  }

  /// An address as a string.
  package mutating func append(_ key: Text, _ value: IPAddress) {
    octets.append(key: key)
    octets.append(UInt8(ascii: "\""))
    octets.append(address: value)
    octets.append(UInt8(ascii: "\""))
  }

  /// A negative number, which no event has, becomes 0.
  @inlinable package mutating func append(_ key: Number, _ value: some BinaryInteger) {
    append(key, number: UInt64(clamping: value))
  }

  /// A number in decimal digits.
  @usableFromInline package mutating func append(_ key: Number, number: UInt64) {
    octets.append(key: key)
    octets.append(decimal: number)
  }

  /// An array of strings; text that is not ASCII becomes `\uXXXX`.
  package mutating func append(_ key: List, _ items: [String]) {
    append(key, items) { $0.append(jsonQuoted: $1) }
  }

  /// An array of addresses, each as a string.
  package mutating func append(_ key: List, _ items: [IPAddress]) {
    append(key, items) { octets, address in
      octets.append(UInt8(ascii: "\""))
      octets.append(address: address)
      octets.append(UInt8(ascii: "\""))
    }
  }

  /// `port/transport`, each a string.
  package mutating func append(_ key: List, ports: [(port: UInt16, transport: String)]) {
    append(key, ports) { octets, item in
      octets.append(UInt8(ascii: "\""))
      octets.append(decimal: UInt64(item.port))
      octets.append(UInt8(ascii: "/"))
      octets.append(jsonEscaped: item.transport)
      octets.append(UInt8(ascii: "\""))
    }
  }

  /// Wire names, in presentation form.
  package mutating func append(_ key: List, names: [[UInt8]]) {
    append(key, names) { octets, name in
      octets.append(UInt8(ascii: "\""))
      octets.append(jsonName: name.span)
      octets.append(UInt8(ascii: "\""))
    }
  }

  private mutating func append<Item>(_ key: List, _ items: [Item], _ write: (inout [UInt8], Item) -> Void) {
    octets.append(key: key)
    octets.append(UInt8(ascii: "["))
    for index in items.indices {
      if index > 0 { octets.append(UInt8(ascii: ",")) }
      write(&octets, items[index])
    }
    octets.append(UInt8(ascii: "]"))
  }

  /// All members of another, behind these.
  package mutating func append(_ others: AuditMembers) { octets.append(contentsOf: others.octets) }
}

/// The same as expressions: `AuditMembers(.fault, "replaced").with(.error, text)`.
extension AuditMembers {
  package init(_ key: Text, _ value: String?) { append(key, value) }

  package init(_ key: Text, _ value: IPAddress) { append(key, value) }

  package init(_ key: Number, _ value: some BinaryInteger) { append(key, value) }

  package init(_ key: List, _ items: [String]) { append(key, items) }

  package init(_ key: List, _ items: [IPAddress]) { append(key, items) }

  /// The same with a text behind; with nothing more for nil.
  package consuming func with(_ key: Text, _ value: String?) -> AuditMembers {
    append(key, value)
    return self
  }

  /// The same with a number behind; a negative one becomes 0.
  package consuming func with(_ key: Number, _ value: some BinaryInteger) -> AuditMembers {
    append(key, value)
    return self
  }

  /// The same with an array of strings behind.
  package consuming func with(_ key: List, _ items: [String]) -> AuditMembers {
    append(key, items)
    return self
  }

  /// The same with the members of `others` behind, in their order; with nothing more for nil.
  package consuming func with(_ others: AuditMembers?) -> AuditMembers {
    if let others { append(others) }
    return self
  }
}

// MARK: - Decoding

extension AuditMembers {
  /// The text of a member; nil where there is none.
  package subscript(key: Text) -> String? {
    guard let value = JSONMembers.value(of: key, in: octets.span), octets[value.lowerBound] == UInt8(ascii: "\"")
    else { return nil }
    return Self.text(octets[value])
  }

  /// The number of a member; nil where there is none, or one beyond 64 bits.
  package subscript(key: Number) -> UInt64? { Self.number(key, in: octets.span) }

  /// The texts of a member; nil where there is none.
  package subscript(key: List) -> [String]? {
    guard let value = JSONMembers.value(of: key, in: octets.span), octets[value.lowerBound] == UInt8(ascii: "[")
    else { return nil }
    var items: [String] = []
    var at = value.lowerBound + 1
    while octets[at] == UInt8(ascii: "\"") {
      let start = at
      guard JSONMembers.string(octets.span, &at) else { return nil }
      items.append(Self.text(octets[start..<at]))
      if octets[at] == UInt8(ascii: ",") { at += 1 }
    }
    return at == value.upperBound - 1 ? items : nil
  }

  /// The number of a member among those of a record.
  static func number(_ key: Number, in members: Span<UInt8>) -> UInt64? {
    guard let value = JSONMembers.value(of: key, in: members) else { return nil }
    var number: UInt64 = 0
    for index in value {
      let digit = members[index] &- UInt8(ascii: "0")
      let (product, isTooLarge) = number.multipliedReportingOverflow(by: 10)
      guard digit < 10, !isTooLarge, product <= .max - UInt64(digit) else { return nil }
      number = product + UInt64(digit)
    }
    return number
  }

  /// What is between quotes, its escapes undone.
  private static func text(_ quoted: ArraySlice<UInt8>) -> String {
    String(decoding: JSONEscapes.undo(quoted.dropFirst().dropLast()), as: UTF8.self)
  }
}
