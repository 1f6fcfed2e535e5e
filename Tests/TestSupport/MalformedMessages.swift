import DNSWire

/// Messages with faults, without end and the same for the same seed: valid queries and responses of `ValidMessages`
/// with one to four faults each.
package struct MalformedMessages: Sequence, IteratorProtocol {
  /// What was done to a message first; more may have been done after it.
  package enum Kind: CaseIterable, Sendable {
    case flippedBit, changedOctet, cut, count, pointer, pointerChain, labelType, labelLength, optLength, twoOPT
    case responseFlag, opcode, flags, klass, type, tsig, recordLength, trailingOctets, insertedOctets, removedOctets
    case repeatedOctets, garbage
  }

  package struct Message: Sendable {
    package let kind: Kind
    package let octets: [UInt8]
  }

  private var valid: ValidMessages
  private var random: SeededRandom
  private var index = 0

  package init(seed: UInt64) {
    valid = ValidMessages(seed: seed)
    random = SeededRandom(seed: ~seed)
  }

  /// Every kind comes as often as every other.
  package mutating func next() -> Message? {
    let kind = Kind.allCases[index % Kind.allCases.count]
    index += 1
    guard var octets = valid.next() else { return nil }
    apply(kind, to: &octets)
    if random.below(3) == 0 {
      for _ in 0...random.below(3) { apply(random.pick(Kind.allCases), to: &octets) }
    }
    return Message(kind: kind, octets: octets)
  }

  private mutating func apply(_ kind: Kind, to octets: inout [UInt8]) {
    let at = random.below(octets.count)
    switch kind {
    case .flippedBit: set(&octets, at, (octets.isEmpty ? 0 : octets[at]) ^ 1 << UInt8(random.below(8)))
    case .changedOctet: set(&octets, at, random.octet())
    case .cut: octets.removeSubrange(at...)
    case .count: set(&octets, 4 + random.below(8), random.pick([0, 1, 2, 17, 255]))
    case .pointer: put(&octets, body(at), pointer(at, octets.count))
    case .pointerChain: octets += chain(from: octets.count, 2 + random.below(300))
    case .labelType: set(&octets, body(at), random.pick([0x40, 0x80, 0x41, 0xBF, 0x7F]))
    case .labelLength: set(&octets, random.below(2) == 0 ? 12 : body(at), random.pick([0, 1, 62, 63, 64, 255]))
    case .optLength: octets += opt(length: random.pick([0, 1, 3, 5, 255, 65_535]))
    case .twoOPT: octets += opt(length: 0) + opt(length: 0)
    case .responseFlag: set(&octets, 2, (octets.count > 2 ? octets[2] : 0) ^ 0x80)
    case .opcode: set(&octets, 2, random.octet() & 0x78)
    case .flags: put(&octets, 2, random.octets(2))
    case .klass: put(&octets, octets.count - 2, [0, random.pick([0, 2, 3, 4, 254, 255])])
    case .type: put(&octets, octets.count - 4, Messages.be16(random.pick([0, 41, 249, 250, 251, 252, 255, 65_535])))
    case .tsig: octets += [0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 4] + random.octets(4)
    case .recordLength: put(&octets, body(at), Messages.be16(random.pick([0, 3, 5, 15, 17, 65_535])))
    case .trailingOctets: octets += random.octets(1 + random.below(40))
    case .insertedOctets: octets.insert(contentsOf: random.octets(1 + random.below(8)), at: at)
    case .removedOctets: octets.removeSubrange(at..<Swift.min(at + 1 + random.below(8), octets.count))
    case .repeatedOctets: octets.insert(contentsOf: octets[at...].prefix(random.below(600)), at: at)
    case .garbage: octets = random.octets(random.below(600))
    }
  }

  /// To itself, into the header, forwards, past the end, back.
  private mutating func pointer(_ at: Int, _ count: Int) -> [UInt8] {
    let target = random.pick([at, at - 1, 0, 2, 12, at + 2, count - 1, count, 0x3FFF, random.below(count)])
    return [0xC0 | UInt8(truncatingIfNeeded: target >> 8 & 0x3F), UInt8(truncatingIfNeeded: target)]
  }

  /// Pointers that each point to the one before.
  private func chain(from start: Int, _ hops: Int) -> [UInt8] {
    [1, 97, 0]
      + (0..<hops).flatMap { hop in
        let target = hop == 0 ? start : start + 3 + 2 * (hop - 1)
        return [0xC0 | UInt8(truncatingIfNeeded: target >> 8 & 0x3F), UInt8(truncatingIfNeeded: target)]
      }
  }

  /// An OPT whose one option says `length`.
  private mutating func opt(length: Int) -> [UInt8] {
    Messages.opt(options: [0, UInt8(random.below(20))] + Messages.be16(length) + random.octets(random.below(6)))
  }

  /// An offset after the header.
  private func body(_ at: Int) -> Int { Swift.max(at, Header.octetCount) }

  private func set(_ octets: inout [UInt8], _ at: Int, _ octet: UInt8) {
    put(&octets, at, [octet])
  }

  private func put(_ octets: inout [UInt8], _ at: Int, _ value: [UInt8]) {
    for (offset, octet) in zip(at..., value) where octets.indices.contains(offset) { octets[offset] = octet }
  }
}
