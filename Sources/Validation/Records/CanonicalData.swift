import DNSWire

/// Record data in canonical form: names of the older types uncompressed and in lower case (RFC 4034 section 6.2, but for
/// NSEC: RFC 6840 section 5.1), all else as it is.
enum CanonicalData {
  static func read(_ message: Span<UInt8>, _ record: RecordHeader) throws(FormatError) -> [UInt8] {
    guard let (head, count) = names(of: record.type) else { return message.octets(record.rdata) }
    var at = min(record.rdata.lowerBound + head, record.rdata.upperBound)
    var data = message.octets(record.rdata.lowerBound..<at)
    for _ in 0..<count { data += try Name(message, at: &at).wire }
    guard at <= record.rdata.upperBound else { throw FormatError(.recordData, at: record.rdata.lowerBound) }
    return data + message.octets(at..<record.rdata.upperBound)
  }

  /// Octets before the first name, and how many names follow one another.
  private static func names(of type: RRType) -> (head: Int, count: Int)? {
    switch type.rawValue {
    // NS, CNAME, PTR, DNAME
    case 2, 5, 12, 39: (0, 1)
    // SOA, MINFO, RP
    case 6, 14, 17: (0, 2)
    // MX, AFSDB, RT, KX
    case 15, 18, 21, 36: (2, 1)
    // SRV
    case 33: (6, 1)
    // PX
    case 26: (2, 2)
    default: nil
    }
  }
}

extension Name {
  /// Reads a name that may be compressed, and moves `offset` past it as it stands in the message.
  init(_ message: Span<UInt8>, at offset: inout Int) throws(FormatError) {
    var (at, budget) = (offset, NameWire.pointerBudget)
    var failure: FormatError?
    let wire = [UInt8](capacity: NameWire.maxOctets) { out in
      do throws(FormatError) {
        try NameWire.read(message, at: &at, pointers: &budget, into: &out)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    offset = at
    self.init(canonical: wire.span)
  }

  /// The last `count` labels; nil where it has fewer.
  func suffix(labels count: Int) -> Name? {
    var name = self
    for _ in 0..<max(labelCount - count, 0) {
      guard let parent = name.parent else { return nil }
      name = parent
    }
    return name.labelCount == count ? name : nil
  }

  /// The name with `*` before it; nil where that is too long.
  var wildcard: Name? {
    guard wire.count + 2 <= NameWire.maxOctets else { return nil }
    return Name(canonical: ([1, UInt8(ascii: "*")] + wire).span)
  }

  var isWildcard: Bool { wire.starts(with: [1, UInt8(ascii: "*")]) }

  /// The longest name that both lie in.
  func commonAncestor(_ other: Name) -> Name {
    var name = self
    while !other.isSubdomain(of: name), let parent = name.parent { name = parent }
    return name
  }
}

extension Span<UInt8> {
  /// A copy of the octets in a range; none where it leaves the span.
  func octets(_ range: Range<Int>) -> [UInt8] {
    guard range.lowerBound >= 0, range.upperBound <= count else { return [] }
    return [UInt8](capacity: range.count) { $0.append(contentsOf: extracting(range)) }
  }
}
