import DNSWire

/// What serve and the validator say to each other, one whole message at a time.
package enum ValidatorMessage {
  /// Octets of the longest: an answer of 64 KiB with the keys of its zones. What is longer is not sent.
  package static let maxOctets = 192 << 10

  /// What a validator says when it begins.
  package static let greeting: [UInt8] = [0]

  /// Nil for more than is ever sent.
  package static func encode(_ id: UInt64, _ judgement: Judgement) -> [UInt8]? {
    var pack = OctetPack()
    pack.add(id)
    pack.add(judgement.now)
    switch judgement.question {
    case .keys(let zone, let signers):
      pack.add(UInt8(1))
      pack.add(zone.wire)
      pack.add(signers.map(\.rdata))
    case .delegation(let child, let parent):
      pack.add(UInt8(2))
      pack.add(child.wire)
      add(parent, to: &pack)
    case .answer(let name, let type, let zones, let unsigned):
      pack.add(UInt8(3))
      pack.add(name.wire)
      pack.add(type.rawValue)
      pack.add(UInt16(clamping: zones.count))
      for zone in zones { add(zone, to: &pack) }
      pack.add(unsigned.map(\.wire))
    }
    pack.add(judgement.message)
    guard judgement.message.count <= UInt16.max else { return nil }
    return pack.octets.count <= maxOctets ? pack.octets : nil
  }

  private static func add(_ zone: ZoneKeys, to pack: inout OctetPack) {
    pack.add(zone.zone.wire)
    pack.add(zone.records)
  }

  /// Nil for what is no question.
  package static func judgement(_ octets: [UInt8]) -> (id: UInt64, judgement: Judgement)? {
    var unpack = OctetUnpack(octets[...])
    guard let id = unpack.uint64(), let now = unpack.uint32(), let kind = unpack.uint8(), let name = unpack.name()
    else { return nil }
    let question: Judgement.Question
    switch kind {
    case 1:
      guard let signers = unpack.texts() else { return nil }
      question = .keys(zone: name, signers: signers.compactMap { DelegationSigner($0) })
    case 2:
      guard let parent = zone(&unpack) else { return nil }
      question = .delegation(of: name, parent: parent)
    case 3:
      guard let type = unpack.uint16(), let zones = zones(&unpack), let unsigned = unpack.names() else { return nil }
      question = .answer(name: name, type: RRType(rawValue: type), zones: zones, unsigned: unsigned)
    default: return nil
    }
    guard let message = unpack.text(), unpack.isAtEnd else { return nil }
    return (id, Judgement(question, message: message, now: now))
  }

  private static func zone(_ unpack: inout OctetUnpack) -> ZoneKeys? {
    guard let name = unpack.name(), let records = unpack.texts() else { return nil }
    return ZoneKeys(zone: name, records: records)
  }

  private static func zones(_ unpack: inout OctetUnpack) -> [ZoneKeys]? {
    guard let count = unpack.uint16() else { return nil }
    var zones: [ZoneKeys] = []
    for _ in 0..<count {
      guard let zone = zone(&unpack) else { return nil }
      zones.append(zone)
    }
    return zones
  }

  /// The answer to the question with this number.
  package static func encode(_ id: UInt64, _ verdict: Verdict) -> [UInt8] {
    var pack = OctetPack()
    pack.add(id)
    switch verdict {
    case .keys(let records, let ttl):
      pack.add(UInt8(1))
      pack.add(ttl)
      pack.add(records)
    case .delegated(let signers, let ttl):
      pack.add(UInt8(2))
      pack.add(ttl)
      pack.add(signers.map(\.rdata))
    case .noCut(let ttl): add(3, ttl, to: &pack)
    case .secure(let ttl): add(4, ttl, to: &pack)
    case .unsigned(let ttl): add(5, ttl, to: &pack)
    case .bogus(let fault): add(6, UInt32(fault.rawValue), to: &pack)
    }
    return pack.octets
  }

  private static func add(_ kind: UInt8, _ value: UInt32, to pack: inout OctetPack) {
    pack.add(kind)
    pack.add(value)
  }

  /// Nil for what is no verdict.
  package static func verdict(_ octets: [UInt8]) -> (id: UInt64, verdict: Verdict)? {
    var unpack = OctetUnpack(octets[...])
    guard let id = unpack.uint64(), let kind = unpack.uint8(), let value = unpack.uint32() else { return nil }
    let verdict: Verdict
    switch kind {
    case 1:
      guard let records = unpack.texts() else { return nil }
      verdict = .keys(records, ttl: value)
    case 2:
      guard let signers = unpack.texts() else { return nil }
      verdict = .delegated(signers.compactMap { DelegationSigner($0) }, ttl: value)
    case 3: verdict = .noCut(ttl: value)
    case 4: verdict = .secure(ttl: value)
    case 5: verdict = .unsigned(ttl: value)
    case 6:
      guard let fault = UInt8(exactly: value).flatMap(ValidationFault.init(rawValue:)) else { return nil }
      verdict = .bogus(fault)
    default: return nil
    }
    return unpack.isAtEnd ? (id, verdict) : nil
  }
}
