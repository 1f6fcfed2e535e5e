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

  /// `udp://192.0.2.54`, or `{ address: "udp://192.0.2.54", insecure: true }`, which is warned of no more.
  mutating func upstream(_ node: YAMLNode) -> UpstreamAddress? {
    guard node.isMapping else { return upstreamAddress(node, isTrusted: false) }
    let fields = fields(node, of: "an upstream", keys: ["address", "insecure"])
    let isTrusted = fields["insecure"].flatMap { boolean($0) } ?? false
    guard let address = fields["address"] else {
      error("key 'address' is missing, expected an upstream such as udp://192.0.2.54", at: node.location)
      return nil
    }
    return upstreamAddress(address, isTrusted: isTrusted)
  }

  /// `tls://` is understood and refused until it is there.
  ///
  /// - Parameter isTrusted: the configuration says in words that the path to it is trusted.
  private mutating func upstreamAddress(_ node: YAMLNode, isTrusted: Bool) -> UpstreamAddress? {
    let expected = "an upstream such as udp://192.0.2.54 or udp://[2001:db8::54]:53"
    guard let text = text(node, expected: expected) else { return nil }
    let isTLS = text.hasPrefix("tls://")
    guard isTLS || text.hasPrefix("udp://") else {
      reject(node, expected: Self.upstreamMeant(text) ?? expected)
      return nil
    }
    let parts = text.dropFirst(6).split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
    guard let first = parts.first, let (address, port) = Endpoint.parse(first), isTLS || parts.count == 1 else {
      reject(node, expected: expected)
      return nil
    }
    let plain = address.family == .v4 ? "\(address)" : "[\(address)]"
    if isTLS {
      error("\(Quoted.text(text)): tls:// upstreams are not supported yet; use udp://\(plain)", at: node.location)
      return nil
    }
    if !isTrusted, !Endpoint.isLoopback(address) {
      warning(
        "udp:// upstream \(address) is not authenticated: a forged answer would open the firewall; where the path to it is "
          + "trusted, write { address: \"\(text)\", insecure: true }", at: node.location)
    }
    return UpstreamAddress(scheme: .udp, address: address, port: port ?? 53)
  }

  /// What an address without a scheme, or with another, is with the right one.
  private static func upstreamMeant(_ text: String) -> String? {
    let rest = text.firstRange(of: "://").map { text[$0.upperBound...] } ?? Substring(text)
    guard let (address, port) = Endpoint.parse(rest.prefix { $0 != "/" && $0 != "#" }), port == nil || port == 53 else {
      return nil
    }
    return address.family == .v4 ? "udp://\(address)" : "\"udp://[\(address)]\""
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
