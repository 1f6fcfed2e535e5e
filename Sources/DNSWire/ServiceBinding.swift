/// The data of an SVCB or HTTPS record (RFC 9460): which way to a service is best, in parameters that can be left out one by
/// one.
package struct ServiceBinding: Equatable, Sendable {
  /// A key of a parameter; an open registry.
  package struct Key: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static var mandatory: Key { Key(rawValue: 0) }
    package static var alpn: Key { Key(rawValue: 1) }
    package static var noDefaultALPN: Key { Key(rawValue: 2) }
    package static var port: Key { Key(rawValue: 3) }
    package static var ipv4hint: Key { Key(rawValue: 4) }
    package static var ech: Key { Key(rawValue: 5) }
    package static var ipv6hint: Key { Key(rawValue: 6) }
    /// RFC 9460 section 14.3.2: of no parameter, ever.
    static var invalid: Key { Key(rawValue: 0xFFFF) }
  }

  /// A parameter as it stands in the record.
  package struct Parameter: Equatable, Sendable {
    package var key: Key
    package var value: [UInt8]
  }

  /// 0 for AliasMode, in which the target stands for the owner and parameters mean nothing (section 2.4.2).
  package var priority: UInt16
  /// A canonical wire name; the root stands for the record's owner, in AliasMode for no service at all.
  package var target: [UInt8]
  /// In the order of their keys, each once.
  package private(set) var parameters: [Parameter] = []

  package var isAlias: Bool { priority == 0 }

  /// Reads record data that a `ResponseReader` has returned.
  ///
  /// - Throws: `recordData`, where a parameter's value is not what its key means (sections 7 and 8): then no record of the
  ///   RRset may be used (section 2.2).
  package init(_ message: Span<UInt8>, _ rdata: Range<Int>) throws(FormatError) {
    guard let priority = message.read16(rdata.lowerBound) else { throw FormatError(.recordData, at: rdata.lowerBound) }
    self.priority = priority
    var at = rdata.lowerBound + 2
    target = try Self.name(message, at: &at)
    while at < rdata.upperBound {
      guard let key = message.read16(at), let length = message.read16(at + 2), at + 4 + Int(length) <= rdata.upperBound
      else { throw FormatError(.recordData, at: at) }
      let value = (at + 4)..<(at + 4 + Int(length))
      let parameter = Parameter(
        key: Key(rawValue: key),
        value: [UInt8](capacity: value.count) { $0.append(contentsOf: message.extracting(value)) })
      guard priority == 0 || parameter.isWellFormed else { throw FormatError(.recordData, at: at) }
      parameters.append(parameter)
      at = value.upperBound
    }
    guard priority == 0 || mandatoryKeys.allSatisfy({ self[$0] != nil }) else {
      throw FormatError(.recordData, at: rdata.lowerBound)
    }
    // Without protocols of its own a record that has no default ones has none (section 7.1.1).
    guard priority == 0 || self[.noDefaultALPN] == nil || self[.alpn] != nil else {
      throw FormatError(.recordData, at: rdata.lowerBound)
    }
  }

  private static func name(_ message: Span<UInt8>, at offset: inout Int) throws(FormatError) -> [UInt8] {
    var failure: FormatError?
    var (end, pointers) = (offset, 0)
    let name = [UInt8](capacity: 255) { out in
      do throws(FormatError) {
        try NameWire.read(message, at: &end, pointers: &pointers, into: &out)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    offset = end
    return name
  }

  /// The value of a parameter; setting nil leaves it out.
  package subscript(key: Key) -> [UInt8]? {
    get { parameters.first { $0.key == key }?.value }
    set {
      guard let index = parameters.firstIndex(where: { $0.key == key }) else { return }
      if let newValue { parameters[index].value = newValue } else { parameters.remove(at: index) }
    }
  }

  /// Without any parameter.
  package mutating func removeParameters() { parameters = [] }

  /// Keys without which a client may not use the record.
  package var mandatoryKeys: [Key] {
    let value = self[.mandatory] ?? []
    return stride(from: 0, to: value.count - 1, by: 2).map {
      Key(rawValue: UInt16(value[$0]) << 8 | UInt16(value[$0 + 1]))
    }
  }

  /// The port to connect to, where the record has one of its own.
  package var port: UInt16? {
    self[.port].flatMap { $0.count == 2 ? UInt16($0[0]) << 8 | UInt16($0[1]) : nil }
  }

  /// The protocols that are offered beside the default ones, by their names in TLS (RFC 7301).
  package var protocols: [[UInt8]] {
    get { (self[.alpn] ?? []).strings ?? [] }
    set { self[.alpn] = newValue.isEmpty ? nil : newValue.flatMap { [UInt8(truncatingIfNeeded: $0.count)] + $0 } }
  }

  /// Record data with the parameters that are left.
  package var octets: [UInt8] {
    var octets: [UInt8] = [UInt8(priority >> 8), UInt8(truncatingIfNeeded: priority)] + target
    for parameter in parameters {
      for number in [parameter.key.rawValue, UInt16(truncatingIfNeeded: parameter.value.count)] {
        octets += [UInt8(number >> 8), UInt8(truncatingIfNeeded: number)]
      }
      octets += parameter.value
    }
    return octets
  }
}

extension ServiceBinding.Parameter {
  /// Whether the value has the form that RFC 9460 gives its key; of other keys each has.
  fileprivate var isWellFormed: Bool {
    switch key {
    case .mandatory: isListOfKeys
    case .alpn: !(value.strings ?? []).isEmpty
    case .noDefaultALPN: value.isEmpty
    case .port: value.count == 2
    case .ipv4hint: !value.isEmpty && value.count % 4 == 0
    case .ipv6hint: !value.isEmpty && value.count % 16 == 0
    default: key != .invalid
    }
  }

  /// Section 8: rising, none twice, and not itself.
  private var isListOfKeys: Bool {
    guard !value.isEmpty, value.count % 2 == 0 else { return false }
    var last: UInt16 = 0
    for index in stride(from: 0, to: value.count, by: 2) {
      let key = UInt16(value[index]) << 8 | UInt16(value[index + 1])
      guard key > last else { return false }
      last = key
    }
    return true
  }
}

extension [UInt8] {
  /// Strings behind their lengths, none of them empty; nil where they are not.
  fileprivate var strings: [[UInt8]]? {
    var (strings, at): ([[UInt8]], Int) = ([], 0)
    while at < count {
      let end = at + 1 + Int(self[at])
      guard self[at] > 0, end <= count else { return nil }
      strings.append(Array(self[(at + 1)..<end]))
      at = end
    }
    return strings
  }
}
