import DNSWire
package import EgressPolicy
package import IPNetwork

/// What of an SVCB or HTTPS record a client may use: no more than the rule opens (threats U19).
package struct ServiceRules {
  /// What the rule opens.
  package var ports: PortSet
  /// The families whose addresses the rule opens, and of which hints may be answered.
  package var hintFamilies: Set<IPAddress.Family>

  package init(ports: PortSet = .any, hintFamilies: Set<IPAddress.Family> = []) {
    (self.ports, self.hintFamilies) = (ports, hintFamilies)
  }

  /// The record as far as it may be used; nil where nothing of it may. Hints are left as they are.
  ///
  /// - Parameter port: to which a client connects whom the record tells of no other; nil where that is not known.
  func cut(_ binding: ServiceBinding, defaultPort port: UInt16?) -> ServiceBinding? {
    var cut = binding
    if cut.isAlias {
      cut.removeParameters()
      return cut
    }
    // ECH hides the name from whatever looks at it behind us.
    cut[.ech] = nil
    if !hintFamilies.contains(.v4) { cut[.ipv4hint] = nil }
    if !hintFamilies.contains(.v6) { cut[.ipv6hint] = nil }
    if let port = cut.port ?? port {
      guard restrict(&cut, to: port) else { return nil }
    }
    return cut.mandatoryKeys.allSatisfy { cut[$0] != nil } ? cut : nil
  }

  /// Leaves the protocols for whose transport the port is open; whether there is any.
  private func restrict(_ binding: inout ServiceBinding, to port: UInt16) -> Bool {
    let open: (PortRule.Transport) -> Bool = { ports.opens(PortRule(port, $0)) }
    let hasDefault = binding[.noDefaultALPN] == nil && open(.tcp)
    let kept = binding.protocols.filter { open(Self.transport(of: $0)) }
    binding.protocols = kept
    return hasDefault || !kept.isEmpty
  }

  /// QUIC's (RFC 9114, RFC 9250, and drafts of both) go over UDP, all others over TCP.
  private static func transport(of name: [UInt8]) -> PortRule.Transport {
    for quic in ["h3", "hq", "doq"] where name.starts(with: Array(quic.utf8)) { return .udp }
    return .tcp
  }

  /// Where a client connects whom an HTTPS record tells of no port (RFC 9460 section 9.1): 443, or the port that stands in
  /// front of the name. Of other services the scheme says it, which is not known here.
  static func defaultPort(_ type: RRType, name: [UInt8]) -> UInt16? {
    guard type == .HTTPS else { return nil }
    let labels = Name(canonical: name.span).description.split(separator: ".")
    guard labels.count > 2, labels[1] == "_https", labels[0].hasPrefix("_") else { return 443 }
    return UInt16(labels[0].dropFirst()) ?? 443
  }
}

extension PortSet {
  /// Whether this port is among them.
  func opens(_ port: PortRule) -> Bool {
    switch self {
    case .any: true
    case .ports(let ports): ports.contains(port)
    }
  }
}
