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

  /// `udp://192.0.2.54` or `tcp://…`, or `{ address: "udp://192.0.2.54", insecure: true }`, which is warned of no more;
  /// `tls://192.0.2.53#dns.example.net` or `https://192.0.2.53/dns-query#dns.example.net`, or `{ address: "tls://…", ca: FILE,
  /// pins: [ "sha256/…" ] }`.
  ///
  /// - Parameter file: the configuration, from which `ca` is seen.
  mutating func upstream(_ node: YAMLNode, in file: String) -> UpstreamAddress? {
    guard node.isMapping else {
      guard let upstream = upstreamAddress(node, isTrusted: false) else { return nil }
      return isKnowable(upstream, node) ? upstream : nil
    }
    let fields = fields(node, of: "an upstream", keys: ["address", "insecure", "ca", "pins"])
    let isTrusted = fields["insecure"].flatMap { boolean($0) } ?? false
    guard let address = fields["address"] else {
      error("key 'address' is missing, expected an upstream such as udp://192.0.2.54", at: node.location)
      return nil
    }
    guard var upstream = upstreamAddress(address, isTrusted: isTrusted) else { return nil }
    for key in upstream.scheme.isEncrypted ? ["insecure"] : ["ca", "pins"] {
      guard let field = fields[key] else { continue }
      error("key '\(key)' is not for a \(upstream.scheme)://… upstream", at: field.location)
      return nil
    }
    guard upstream.scheme.isEncrypted else { return upstream }
    if let field = fields["ca"] {
      guard let path = authorities(field, of: upstream, in: file) else { return nil }
      upstream.authorities = path
    }
    if let field = fields["pins"] {
      guard let pins = pins(field) else { return nil }
      upstream.pins = pins
    }
    return isKnowable(upstream, node) ? upstream : nil
  }

  /// The file of authorities.
  private mutating func authorities(_ node: YAMLNode, of upstream: UpstreamAddress, in file: String) -> String? {
    guard upstream.tlsName != nil else {
      error("'ca' stands for names, and \(upstream) has none: write \(upstream)#NAME", at: node.location)
      return nil
    }
    guard let text = text(node, expected: "the path of a file with certificates in PEM") else { return nil }
    let path = ConfigFiles.resolve(text, from: file)
    do {
      try ConfigFiles.checkReadable(path)
      return path
    } catch {
      self.error("file \(Quoted.text(path)) \(error.reason)", at: node.location)
      return nil
    }
  }

  private mutating func pins(_ node: YAMLNode) -> [KeyPin]? {
    guard let elements = list(node, of: "keys such as \(Self.pinForm)") else { return nil }
    var pins: [KeyPin] = []
    for element in elements {
      guard let pin = element.text.flatMap(KeyPin.init) else {
        reject(element, expected: "a key as \(Self.pinForm): SHA-256 of its SubjectPublicKeyInfo in base64")
        return nil
      }
      if !pins.contains(pin) { pins.append(pin) }
    }
    return pins
  }

  private static let pinForm = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

  /// Whether there is anything by which a TLS server is known to be the one that is meant (RFC 8310 section 5).
  private mutating func isKnowable(_ upstream: UpstreamAddress, _ node: YAMLNode) -> Bool {
    guard upstream.scheme.isEncrypted, upstream.tlsName == nil, upstream.pins.isEmpty else { return true }
    error(
      "\(upstream) has no name that its certificate must be for: write \(upstream)#NAME, or list its keys in 'pins'",
      at: node.location)
    return false
  }

  /// - Parameter isTrusted: the configuration says in words that the path to it is trusted.
  private mutating func upstreamAddress(_ node: YAMLNode, isTrusted: Bool) -> UpstreamAddress? {
    let expected =
      "an upstream such as udp://192.0.2.54, udp://[2001:db8::54]:53, tls://192.0.2.53#dns.example.net or "
      + "https://192.0.2.53/dns-query#dns.example.net"
    guard let text = text(node, expected: expected) else { return nil }
    guard let scheme = UpstreamAddress.Scheme.allCases.first(where: { text.hasPrefix("\($0.rawValue)://") }) else {
      reject(node, expected: Self.upstreamMeant(text) ?? expected)
      return nil
    }
    let rest = text.dropFirst(scheme.rawValue.utf8.count + 3)
    if scheme.isEncrypted { return encryptedUpstream(scheme, rest, node, expected: expected) }
    guard let (address, port) = Endpoint.parse(rest) else {
      reject(node, expected: expected)
      return nil
    }
    if !isTrusted, !Endpoint.isLoopback(address) {
      warning(
        "\(scheme.rawValue):// upstream \(address) is not authenticated: a forged answer would open the firewall; where the path "
          + "to it is trusted, write { address: \"\(text)\", insecure: true }", at: node.location)
    }
    return UpstreamAddress(scheme: scheme, address: address, port: port ?? 53)
  }

  /// - Parameter text: what stands behind the scheme: `ADDRESS[:PORT]#NAME`, by HTTPS `ADDRESS[:PORT]/PATH#NAME`.
  private mutating func encryptedUpstream(
    _ scheme: UpstreamAddress.Scheme, _ text: Substring, _ node: YAMLNode, expected: String
  ) -> UpstreamAddress? {
    let parts = text.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
    let place = parts.first ?? ""
    let path = scheme == .https ? place.firstIndex(of: "/").map { String(place[$0...]) } : nil
    guard let (address, port) = Endpoint.parse(place.dropLast(path?.count ?? 0)) else {
      reject(node, expected: Self.addressMeant(scheme, place, path) ?? expected)
      return nil
    }
    let name = parts.count == 2 ? String(parts[1]) : nil
    if let name, !Self.isHostName(name) {
      error(
        "\(Quoted.text("\(scheme.rawValue)://\(text)")) found, expected the name that the server's certificate is for behind #, such as "
          + "#dns.example.net", at: node.location)
      return nil
    }
    if scheme == .https, path.map(Self.isPath) != true {
      error(
        "\(Quoted.text("https://\(text)")) found, expected the path of its DNS by HTTPS behind the address, such as "
          + "\(scheme.rawValue)://\(place.dropLast(path?.count ?? 0))/dns-query\(name.map { "#\($0)" } ?? ""): letters, digits and marks "
          + "of a URL without a query", at: node.location)
      return nil
    }
    return UpstreamAddress(
      scheme: scheme, address: address, port: port ?? (scheme == .https ? 443 : 853), tlsName: name?.lowercased(),
      path: path)
  }

  /// What a URL with a name in place of the address is to be, which is not looked up.
  private static func addressMeant(_ scheme: UpstreamAddress.Scheme, _ place: Substring, _ path: String?) -> String? {
    let name = place.dropLast(path?.count ?? 0).prefix { $0 != ":" }
    guard isHostName(String(name)) else { return nil }
    return "the server's address, since no name is looked up, and the name behind #: "
      + "\(scheme.rawValue)://ADDRESS\(path.map { String($0.prefix { $0 != "{" && $0 != "?" }) } ?? "")#\(name)"
  }

  /// A path of a URI (RFC 3986 section 3.3), of a length that leaves a request small.
  private static func isPath(_ text: String) -> Bool {
    text.utf8.count <= 255
      && text.utf8.allSatisfy { octet in
        let character = Character(Unicode.Scalar(octet))
        return character.isASCII && (character.isLetter || character.isNumber)
          || "/-._~!$&'()*+,;=:@%".contains(character)
      }
  }

  /// Letters, digits and hyphens in labels, the last of which is no number: an address is none.
  private static func isHostName(_ text: String) -> Bool {
    let labels = text.split(separator: ".", omittingEmptySubsequences: false)
    guard text.utf8.count <= 253, labels.last?.allSatisfy(\.isNumber) == false else { return false }
    return labels.allSatisfy { label in
      (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
        && label.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
    }
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
