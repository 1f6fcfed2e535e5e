package import DNSWire

/// Well-formed messages without end, the same for the same seed: queries, and responses with records of many types,
/// some of them with compressed names.
package struct ValidMessages: Sequence, IteratorProtocol {
  private var random: SeededRandom

  package init(seed: UInt64) {
    random = SeededRandom(seed: seed)
  }

  package mutating func next() -> [UInt8]? {
    random.below(3) == 0 ? query() : response()
  }

  /// Labels of any octets, lengths that are mostly short and now and then the longest.
  package mutating func name() -> [UInt8] {
    var wire: [UInt8] = []
    for _ in 0..<random.below(6) {
      let length = random.below(12) == 0 ? 63 : 1 + random.below(12)
      guard wire.count + length + 2 <= 255 else { break }
      wire.append(UInt8(length))
      let isHostname = random.below(4) != 0
      for _ in 0..<length { wire.append(isHostname ? random.pick(Self.hostnameOctets) : random.octet()) }
    }
    return wire + [0]
  }

  package mutating func query() -> [UInt8] {
    let hasOPT = random.below(2) == 0
    return header(flags: 0x0100, counts: [1, 0, 0, hasOPT ? 1 : 0]) + name() + number(random.pick(Self.types).rawValue)
      + [0, 1] + (hasOPT ? opt() : [])
  }

  package mutating func response() -> [UInt8] {
    let counts = [1, random.below(5), random.below(3), random.below(3)]
    let hasOPT = random.below(2) == 0
    var message = header(
      flags: 0x8180 | UInt16(random.below(6)), counts: counts[...2] + [counts[3] + (hasOPT ? 1 : 0)])
    message += name() + number(random.pick(Self.types).rawValue) + [0, 1]
    for _ in 0..<(counts[1] + counts[2] + counts[3]) {
      message += owner()
      let type = random.pick(Self.types)
      message += number(type.rawValue) + [0, 1] + Messages.be32(random.below(1 << 31))
      let data = rdata(type)
      message += number(UInt16(data.count)) + data
    }
    return message + (hasOPT ? opt() : [])
  }

  /// The whole name, or a pointer to the question's name.
  private mutating func owner() -> [UInt8] {
    random.below(2) == 0 ? name() : [0xC0, 12]
  }

  /// As `owner`; sometimes a label before the pointer, which the shortest question's name leaves room for.
  private mutating func target() -> [UInt8] {
    random.below(3) == 0 ? [0xC0, 12] : name()
  }

  private mutating func rdata(_ type: RRType) -> [UInt8] {
    switch type {
    case .A: random.octets(4)
    case .AAAA: random.octets(16)
    case .NS, .CNAME, .PTR: target()
    case .DNAME: name()
    case .MX: random.octets(2) + target()
    case .SRV: random.octets(6) + name()
    case .SOA: target() + target() + random.octets(20)
    case .TXT: (0...random.below(3)).flatMap { _ in string() }
    case .HTTPS: [0, 1] + name() + [0, 1, 0, 3, 2, 104, 50] + [0, 4, 0, 4] + random.octets(4)
    default: random.octets(random.below(40))
    }
  }

  private mutating func string() -> [UInt8] {
    let text = random.octets(random.below(random.below(10) == 0 ? 256 : 30))
    return [UInt8(text.count)] + text
  }

  private mutating func opt() -> [UInt8] {
    let options = (0..<random.below(4)).flatMap { _ in
      let value = random.octets(random.below(20))
      return number(UInt16(truncatingIfNeeded: random.next())) + number(UInt16(value.count)) + value
    }
    return Messages.opt(size: random.below(65_536), flags: random.below(2) << 15, options: options)
  }

  private mutating func header(flags: UInt16, counts: some Sequence<Int>) -> [UInt8] {
    number(UInt16(truncatingIfNeeded: random.next())) + number(flags) + counts.flatMap { Messages.be16($0) }
  }

  private func number(_ value: UInt16) -> [UInt8] {
    Messages.be16(Int(value))
  }

  private static let hostnameOctets = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_".utf8)

  /// No type whose data libldns reads more strictly than we do.
  package static let types: [RRType] = [
    .A, .A, .A, .AAAA, .AAAA, .CNAME, .NS, .PTR, .SOA, .MX, .TXT, .SRV, .DNAME, .HTTPS, RRType(rawValue: 65_280),
  ]
}
