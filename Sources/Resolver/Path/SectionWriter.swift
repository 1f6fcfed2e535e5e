import DNSWire

/// Builds the sections of a reply as they will stand after a question that begins at octet 12.
///
/// Compression is bounded by construction: an owner is a pointer to the question or to the CNAME target before it,
/// found without a search (threats U21).
struct SectionWriter {
  private(set) var octets: [UInt8] = []
  private(set) var ttlOffsets: [UInt16] = []
  private let question: [UInt8]
  private let base: Int
  /// Where the name that the next owner equals stands in the message.
  private var ownerOffset = Header.octetCount

  /// - Parameter question: the canonical wire name asked for.
  init(question: [UInt8]) {
    self.question = question
    base = Header.octetCount + question.count + 4
  }

  /// Adds a CNAME of the current owner; its target is the next owner.
  mutating func appendAlias(to target: [UInt8], ttl: UInt32) {
    appendHead(.CNAME, ttl: ttl)
    append16(target.count)
    ownerOffset = base + octets.count
    octets += target
  }

  /// Adds a record of the current owner.
  mutating func append(_ type: RRType, ttl: UInt32, rdata: some Collection<UInt8>) {
    appendHead(type, ttl: ttl)
    append16(rdata.count)
    octets += rdata
  }

  /// Adds a record of another owner, written out or, if it is an ancestor of the question, as a pointer into it.
  mutating func append(owner: [UInt8], _ type: RRType, ttl: UInt32, rdata: some Collection<UInt8>) {
    if let suffix = offsetInQuestion(of: owner) {
      append16(0xC000 | (Header.octetCount + suffix))
    } else {
      octets += owner
    }
    appendFields(type, ttl: ttl)
    append16(rdata.count)
    octets += rdata
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

  /// Where `owner` starts inside the question, if it is one of its ancestors and not the root.
  private func offsetInQuestion(of owner: [UInt8]) -> Int? {
    let start = question.count - owner.count
    guard owner.count > 1, start >= 0, question[start...].elementsEqual(owner) else { return nil }
    var label = 0
    while label < start {
      label += Int(question[label]) + 1
    }
    return label == start ? start : nil
  }
}
