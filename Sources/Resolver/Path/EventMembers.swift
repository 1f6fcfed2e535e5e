import AuditLog
import DNSWire
import EgressPolicy
import IPNetwork

/// The members that an event of a finished question appends: JSON text of our own making, in the contract's order.
enum EventMembers {
  /// `,"rule":"file:line","chain":[…],"chain_length":…,"addresses":[…],"ports":[…],"ttl":…,"lifetime":…,"upstream":"…"`
  ///
  /// Of a chain of more than two names the first and the last, and the length: each is as long as its zone's owner likes.
  static func allowed(
    _ answer: ScrubbedAnswer, rule: EgressRule, lifetime: UInt32, upstream: String
  ) -> [UInt8] {
    var text: [UInt8] = []
    text.reserveCapacity(224)
    text.append(ascii: ",\"rule\":")
    text.append(jsonQuoted: rule.location.description)
    text.append(ascii: ",\"chain\":")
    let ends = answer.chain.count > 2 ? [answer.chain[0], answer.chain[answer.chain.count - 1]] : answer.chain
    text.append(listOf: ends) { text, name in text.append(jsonName: name.span) }
    if answer.chain.count > 2 {
      text.append(ascii: ",\"chain_length\":")
      text.append(decimal: UInt64(answer.chain.count))
    }
    text.append(ascii: ",\"addresses\":")
    text.append(listOf: answer.addresses) { text, address in text.append(address: address) }
    text.append(ascii: ",\"ports\":")
    switch rule.ports {
    case .any: text.append(ascii: "[\"any\"]")
    case .ports(let ports):
      text.append(listOf: ports) { text, port in
        text.append(decimal: UInt64(port.port))
        text.append(UInt8(ascii: "/"))
        text.append(contentsOf: port.transport.name.utf8)
      }
    }
    text.append(ascii: ",\"ttl\":")
    text.append(decimal: UInt64(answer.ttl))
    text.append(ascii: ",\"lifetime\":")
    text.append(decimal: UInt64(lifetime))
    text.append(ascii: ",\"upstream\":")
    text.append(jsonQuoted: upstream)
    return text
  }

  /// - Parameter judge: why an address may not be answered; told where it is public, or worse than not.
  static func refused(
    _ failure: ScrubFailure, upstream: String, judge: (IPAddress) -> ForbiddenAddresses.Refusal?
  ) -> [UInt8] {
    var text: [UInt8] = []
    text.append(ascii: ",\"upstream\":")
    text.append(jsonQuoted: upstream)
    if case .notPublic(let address?) = failure {
      text.append(ascii: ",\"addresses\":")
      text.append(listOf: [address]) { text, address in text.append(address: address) }
      if let refusal = judge(address), refusal != .notPublic {
        text.append(ascii: ",\"refused_as\":\"")
        text.append(contentsOf: refusal.rawValue.utf8)
        text.append(UInt8(ascii: "\""))
      }
    }
    return text
  }
}

extension [UInt8] {
  /// A JSON list of strings whose insides `write` appends.
  fileprivate mutating func append<T>(listOf items: [T], _ write: (inout [UInt8], T) -> Void) {
    append(UInt8(ascii: "["))
    for index in items.indices {
      if index > 0 { append(UInt8(ascii: ",")) }
      append(UInt8(ascii: "\""))
      write(&self, items[index])
      append(UInt8(ascii: "\""))
    }
    append(UInt8(ascii: "]"))
  }
}
