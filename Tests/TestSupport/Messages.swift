package import DNSWire

/// Builders of messages for tests: plain octets, no cleverness.
package enum Messages {
  /// A name on the wire, as it is written (no lower-casing).
  package static func name(_ text: String) -> [UInt8] {
    text == "." ? [0] : text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
  }

  package static func be16(_ value: Int) -> [UInt8] {
    [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
  }

  package static func be32(_ value: Int) -> [UInt8] {
    be16(value >> 16) + be16(value & 0xFFFF)
  }

  /// A query with RD and class IN.
  package static func query(
    _ text: String, _ type: RRType, id: Int = 0x1234, klass: Int = 1, opt: [UInt8] = []
  ) -> [UInt8] {
    be16(id) + be16(0x0100) + be16(1) + be16(0) + be16(0) + be16(opt.isEmpty ? 0 : 1) + name(text)
      + be16(Int(type.rawValue)) + be16(klass) + opt
  }

  package static func opt(size: Int = 1232, version: UInt8 = 0, flags: Int = 0, options: [UInt8] = []) -> [UInt8] {
    [0] + be16(41) + be16(size) + [0, version] + be16(flags) + be16(options.count) + options
  }

  /// A record with its owner written out.
  package static func record(
    _ owner: String, _ type: RRType, ttl: Int = 300, klass: Int = 1, _ rdata: [UInt8]
  ) -> [UInt8] {
    name(owner) + be16(Int(type.rawValue)) + be16(klass) + be32(ttl) + be16(rdata.count) + rdata
  }

  /// A response to a question.
  package static func response(
    _ text: String, _ type: RRType, id: Int = 0x1234, code: Int = 0, flags: Int = 0x8180, answers: [[UInt8]] = [],
    authorities: [[UInt8]] = [], additionals: [[UInt8]] = []
  ) -> [UInt8] {
    be16(id) + be16(flags | code) + be16(1) + be16(answers.count) + be16(authorities.count) + be16(additionals.count)
      + name(text) + be16(Int(type.rawValue)) + be16(1) + (answers + authorities + additionals).flatMap { $0 }
  }

  package static func soa(_ owner: String, ttl: Int = 300, minimum: Int = 60) -> [UInt8] {
    record(
      owner, .SOA, ttl: ttl,
      name("ns." + owner) + name("hostmaster." + owner) + be32(1) + be32(2) + be32(3) + be32(4) + be32(minimum))
  }
}
