import EgressPolicy
import IPNetwork

/// Reads addresses with ports, upstream addresses and prefixes.
extension FieldReader {
  /// `10.77.1.1:53`, `[fd00::1]:53`, or either without a port.
  mutating func listenAddress(_ node: YAMLNode) -> ListenAddress? {
    let expected = "an address and port such as 10.77.1.1:53 or \"[fd00:77:1::1]:53\""
    guard let text = text(node, expected: expected) else { return nil }
    guard let (address, port) = Endpoint.parse(text) else {
      reject(node, expected: expected)
      return nil
    }
    return ListenAddress(address: address, port: port ?? 53)
  }

  /// `127.0.0.1:9153`, or `off`. Figures tell which servers there are: they stay on the host.
  mutating func metricsAddress(_ node: YAMLNode) -> ListenAddress? {
    let expected = "off, or an address of loopback and a port such as 127.0.0.1:9153"
    if isOff(node) { return nil }
    guard let text = text(node, expected: expected) else { return nil }
    guard let (address, port) = Endpoint.parse(text), let port, Endpoint.isLoopback(address) else {
      reject(node, expected: expected)
      return nil
    }
    return ListenAddress(address: address, port: port)
  }

  /// `udp://192.0.2.54`; `tls://` is understood and refused until it is there.
  mutating func upstream(_ node: YAMLNode) -> UpstreamAddress? {
    let expected = "an upstream such as udp://192.0.2.54 or udp://[2001:db8::54]:53"
    guard let text = text(node, expected: expected) else { return nil }
    let isTLS = text.hasPrefix("tls://")
    guard isTLS || text.hasPrefix("udp://") else {
      reject(node, expected: expected)
      return nil
    }
    let parts = text.dropFirst(6).split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
    guard let first = parts.first, let (address, port) = Endpoint.parse(first), isTLS || parts.count == 1 else {
      reject(node, expected: expected)
      return nil
    }
    if isTLS {
      let plain = address.family == .v4 ? "\(address)" : "[\(address)]"
      error("\(Quoted.text(text)): tls:// upstreams are not supported yet; use udp://\(plain)", at: node.location)
      return nil
    }
    if !Endpoint.isLoopback(address) {
      warning(
        "udp:// upstream \(address) is not authenticated: a forged answer would open the firewall", at: node.location)
    }
    return UpstreamAddress(scheme: .udp, address: address, port: port ?? 53)
  }

  mutating func prefix(_ node: YAMLNode) -> IPPrefix? {
    let expected = "a network such as 10.77.1.0/24 or \"fd00:77:1::/64\""
    guard let text = text(node, expected: expected) else { return nil }
    do {
      return try IPPrefix.parse(text)
    } catch .hostBits(let meant) {
      error("\(Quoted.text(text)) has bits set beyond its length, expected \(meant)", at: node.location)
    } catch {
      reject(node, expected: expected)
    }
    return nil
  }

  mutating func prefixes(_ node: YAMLNode) -> [IPPrefix] {
    guard let elements = list(node, of: "networks") else { return [] }
    var prefixes: [IPPrefix] = []
    for element in elements {
      if let prefix = prefix(element), !prefixes.contains(prefix) { prefixes.append(prefix) }
    }
    return prefixes
  }
}

/// The text forms of an address with an optional port.
enum Endpoint {
  static func parse(_ text: some StringProtocol) -> (IPAddress, UInt16?)? {
    if text.hasPrefix("[") {
      guard let close = text.firstIndex(of: "]"), let address = IPAddress(text[..<close].dropFirst()),
        address.family == .v6
      else { return nil }
      let rest = text[text.index(after: close)...]
      if rest.isEmpty { return (address, nil) }
      guard rest.hasPrefix(":"), let port = port(rest.dropFirst()) else { return nil }
      return (address, port)
    }
    if let address = IPAddress(text) { return (address, nil) }
    guard let colon = text.lastIndex(of: ":"), let address = IPAddress(text[..<colon]), address.family == .v4,
      let port = port(text[text.index(after: colon)...])
    else { return nil }
    return (address, port)
  }

  static func isLoopback(_ address: IPAddress) -> Bool {
    let plain = address.unmapped
    return plain.family == .v4 ? plain.low >> 24 == 127 : plain.high == 0 && plain.low == 1
  }

  private static func port(_ text: some StringProtocol) -> UInt16? {
    guard let value = Quantity.integer(text), value > 0 else { return nil }
    return UInt16(exactly: value)
  }
}
