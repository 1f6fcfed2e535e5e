import DNSWire
import IPNetwork
import TestSupport

/// A record as scenarios write it: `OWNER TTL TYPE DATA`, names with or without a dot at their end. Before it may stand a section,
/// `authority:` or `additional:`, and behind the TTL a class, `CH`.
struct ScriptedRecord {
  enum Section: String, CaseIterable {
    case answer
    case authority
    case additional
  }

  let type: RRType
  let section: Section
  let octets: [UInt8]

  init(_ text: String) throws {
    var words = text.split(separator: " ").map(String.init)
    let named = Section.allCases.first { words.first == "\($0):" }
    if named != nil { words.removeFirst() }
    let isChaos = words.count > 2 && words[2] == "CH"
    if isChaos { words.remove(at: 2) }
    guard words.count > 3, let ttl = Int(words[1]), let type = RRType(mnemonic: words[2]) else {
      throw Stage.Failure(description: "\(text) is no record")
    }
    guard let data = Self.data(type, Array(words.dropFirst(3))) else {
      throw Stage.Failure(description: "\(text) has data that is not understood")
    }
    self.type = type
    section = named ?? (type == .SOA ? .authority : .answer)
    octets = Messages.record(words[0], type, ttl: ttl, klass: isChaos ? 3 : 1, data)
  }

  private static func data(_ type: RRType, _ words: [String]) -> [UInt8]? {
    switch type {
    case .A, .AAAA: return IPAddress(words[0])?.octets
    case .CNAME, .NS, .PTR, .DNAME: return Messages.name(words[0])
    case .SRV:
      let numbers = words.prefix(3).compactMap { Int($0) }
      return words.count == 4 ? numbers.flatMap(Messages.be16) + Messages.name(words[3]) : nil
    case .SOA:
      let numbers = words.dropFirst(2).compactMap { Int($0) }
      guard numbers.count == 5 else { return nil }
      return Messages.name(words[0]) + Messages.name(words[1]) + numbers.flatMap(Messages.be32)
    case .HTTPS:
      let target = words[1] == "." ? [0] : Messages.name(words[1])
      return words.dropFirst(2).reduce(into: Messages.be16(Int(words[0]) ?? 0) + target) { $0 += parameter($1) }
    default: return nil
    }
  }

  /// `alpn=h2`, `ipv4hint=…` or `ipv6hint=…` (RFC 9460 section 7).
  private static func parameter(_ word: String) -> [UInt8] {
    let parts = word.split(separator: "=").map(String.init)
    guard parts.count == 2 else { return [] }
    let (key, value): (Int, [UInt8]) =
      switch parts[0] {
      case "alpn": (1, [UInt8(parts[1].utf8.count)] + Array(parts[1].utf8))
      case "ipv4hint": (4, IPAddress(parts[1])?.octets ?? [])
      default: (6, IPAddress(parts[1])?.octets ?? [])
      }
    return Messages.be16(key) + Messages.be16(value.count) + value
  }
}
