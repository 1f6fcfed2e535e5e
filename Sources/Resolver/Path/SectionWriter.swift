import DNSWire
import IPNetwork

/// Builds the sections of a reply as they will stand after a question that begins at octet 12.
///
/// Names are compressed (RFC 1035 section 4.1.4), those in data only of the types that every reader knows (RFC 3597
/// section 4). That is bounded: an owner is a pointer to the question or to the CNAME target before it, found without a
/// search, and other names are searched for among the first suffixes alone (threats U21).
struct SectionWriter {
  /// Names that may be pointed to. Twelve names of a chain with ten labels each.
  static let maxSuffixes = 128

  /// A name, or the end of one, and where it stands in the message.
  private struct Suffix {
    var octets: ArraySlice<UInt8>
    var offset: Int
  }

  private(set) var octets: [UInt8] = []
  private(set) var ttlOffsets: [UInt16] = []
  private let question: [UInt8]
  private let base: Int
  /// Where the name that the next owner equals stands in the message.
  private var ownerOffset = Header.octetCount
  /// Empty until a name is written that is not an owner.
  private var suffixes: [Suffix] = []

  /// - Parameter question: the canonical wire name asked for.
  init(question: [UInt8]) {
    self.question = question
    base = Header.octetCount + question.count + 4
  }

  /// Adds a CNAME of the current owner; its target is the next owner.
  mutating func appendAlias(to target: [UInt8], ttl: UInt32) {
    appendHead(.CNAME, ttl: ttl)
    appendData { writer in writer.ownerOffset = writer.append(name: target[...]) }
  }

  /// Adds a record of the current owner.
  mutating func append(_ type: RRType, ttl: UInt32, rdata: [UInt8]) {
    appendHead(type, ttl: ttl)
    append(data: rdata, type)
  }

  /// Adds an A or AAAA record of the current owner.
  mutating func append(_ address: IPAddress, ttl: UInt32) {
    appendHead(address.family == .v4 ? .A : .AAAA, ttl: ttl)
    append16(address.octetCount)
    address.append(to: &octets)
  }

  /// Adds a record of another owner.
  mutating func append(owner: [UInt8], _ type: RRType, ttl: UInt32, rdata: [UInt8]) {
    append(name: owner[...])
    appendFields(type, ttl: ttl)
    append(data: rdata, type)
  }

  private mutating func appendHead(_ type: RRType, ttl: UInt32) {
    append16(0xC000 | ownerOffset)
    appendFields(type, ttl: ttl)
  }

  private mutating func appendFields(_ type: RRType, ttl: UInt32) {
    append16(Int(type.rawValue))
    append16(1)
    ttlOffsets.append(UInt16(truncatingIfNeeded: octets.count))
    append16(Int(ttl >> 16))
    append16(Int(ttl & 0xFFFF))
  }

  private mutating func append16(_ value: Int) {
    octets.append(UInt8(truncatingIfNeeded: value >> 8))
    octets.append(UInt8(truncatingIfNeeded: value))
  }

  /// Data behind its length.
  private mutating func appendData(_ body: (inout SectionWriter) -> Void) {
    let length = octets.count
    append16(0)
    body(&self)
    let count = octets.count - length - 2
    octets[length] = UInt8(truncatingIfNeeded: count >> 8)
    octets[length + 1] = UInt8(truncatingIfNeeded: count)
  }

  /// - Parameter data: with its names written out.
  private mutating func append(data: [UInt8], _ type: RRType) {
    appendData { writer in
      let (head, names) = Self.names(in: type)
      var at = min(head, data.count)
      writer.octets += data[..<at]
      for _ in 0..<names {
        guard let end = Self.nameEnd(data, at) else { break }
        writer.append(name: data[at..<end])
        at = end
      }
      writer.octets += data[at...]
    }
  }

  /// Octets before the names in data of a type whose names may be compressed, and how many names there are.
  private static func names(in type: RRType) -> (head: Int, count: Int) {
    switch type {
    case .CNAME, .NS, .PTR: (0, 1)
    case .MX: (2, 1)
    case .SOA: (0, 2)
    default: (0, 0)
    }
  }

  private static func nameEnd(_ data: [UInt8], _ start: Int) -> Int? {
    var at = start
    while at < data.count {
      guard data[at] != 0 else { return at + 1 }
      guard data[at] <= NameWire.maxLabel else { return nil }
      at += Int(data[at]) + 1
    }
    return nil
  }

  /// Writes a name as far as no name before it ends the same, and points to that one for the rest. Returns where in the
  /// message the name can be read.
  @discardableResult
  private mutating func append(name: ArraySlice<UInt8>) -> Int {
    if suffixes.isEmpty { remember(question[...], at: Header.octetCount) }
    let start = base + octets.count
    var at = name.startIndex
    while at < name.endIndex, name[at] != 0 {
      let rest = name[at...]
      if let known = suffixes.first(where: { $0.octets.count == rest.count && $0.octets.elementsEqual(rest) }) {
        append(labels: name[..<at], of: name, at: start)
        append16(0xC000 | known.offset)
        return at == name.startIndex ? known.offset : start
      }
      at += Int(name[at]) + 1
    }
    append(labels: name[..<at], of: name, at: start)
    octets.append(0)
    return start
  }

  private mutating func append(labels: ArraySlice<UInt8>, of name: ArraySlice<UInt8>, at start: Int) {
    octets += labels
    var at = labels.startIndex
    while at < labels.endIndex {
      remember(one: name[at...], at: start + at - labels.startIndex)
      at += Int(name[at]) + 1
    }
  }

  private mutating func remember(_ name: ArraySlice<UInt8>, at offset: Int) {
    var at = name.startIndex
    while at < name.endIndex, name[at] != 0 {
      remember(one: name[at...], at: offset + at - name.startIndex)
      at += Int(name[at]) + 1
    }
  }

  /// A pointer has 14 bits (RFC 1035 section 4.1.4).
  private mutating func remember(one suffix: ArraySlice<UInt8>, at offset: Int) {
    guard suffixes.count < Self.maxSuffixes, offset < 0x4000 else { return }
    suffixes.append(Suffix(octets: suffix, offset: offset))
  }
}
