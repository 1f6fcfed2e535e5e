/// The transport of a grant as people and machines read it: `any`, `tcp`, `udp`, or the IP protocol's number.
package enum TransportName {
  /// The name of an IP protocol's number; 0 stands for any.
  package static func text(_ transport: UInt8) -> String {
    switch transport {
    case 0: "any"
    case 6: "tcp"
    case 17: "udp"
    default: "\(transport)"
    }
  }

  /// Nil for what `text` never says.
  package static func number(_ text: String) -> UInt8? {
    switch text {
    case "any": 0
    case "tcp": 6
    case "udp": 17
    default: UInt8(text)
    }
  }
}
