import DNSWire
import EgressPolicy
import IPNetwork

/// The members that an event of a finished question appends: JSON text of our own making, in the contract's order.
enum EventMembers {
  /// `,"rule":"file:line","chain":[…],"addresses":[…],"ports":[…],"ttl":…,"lifetime":…,"upstream":"…"`
  static func allowed(
    _ answer: ScrubbedAnswer, rule: EgressRule, lifetime: UInt32, upstream: String
  ) -> [UInt8] {
    var text = ",\"rule\":" + quoted(rule.location.description)
    text += ",\"chain\":" + list(answer.chain.map { NameWire.presentation($0.span) })
    text += ",\"addresses\":" + list(answer.addresses.map(\.description))
    text += ",\"ports\":" + list(rule.ports.descriptions)
    text += ",\"ttl\":\(answer.ttl),\"lifetime\":\(lifetime),\"upstream\":" + quoted(upstream)
    return Array(text.utf8)
  }

  static func refused(_ failure: ScrubFailure, upstream: String) -> [UInt8] {
    var text = ",\"upstream\":" + quoted(upstream)
    if case .notPublic(let address?) = failure {
      text += ",\"addresses\":" + list([address.description])
    }
    return Array(text.utf8)
  }

  private static func list(_ items: [String]) -> String {
    "[" + items.map(quoted).joined(separator: ",") + "]"
  }

  /// A JSON string (RFC 8259 section 7), ASCII only.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for unit in text.utf16 {
      switch unit {
      case 0x22: result += "\\\""
      case 0x5C: result += "\\\\"
      case 0x20...0x7E: result.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
      default:
        let digits = String(unit, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }
    }
    return result + "\""
  }
}
