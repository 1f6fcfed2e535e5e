/// Which connections to the addresses of a rule have to say its name (`verify: sni`), and what they may hide.
package struct NameCheck: Hashable, Sendable {
  /// What holds a connection to a name, as the files say it.
  package enum Verification: String, Hashable, Sendable {
    /// The name that the connection says.
    case sni
    /// The address, which was resolved for the name.
    case address
  }

  /// What becomes of a hello that may hide another name (Encrypted Client Hello, RFC 9849).
  package enum Hiding: String, Hashable, Sendable {
    case refuse
    case allow
  }

  /// The bit of a grant's caps by which the firewall knows elements whose connections are checked; behind those of all caps.
  package static let capBit: UInt16 = 1 << 15

  /// TCP ports, ascending and without repeats; never empty.
  package let ports: [UInt16]
  package let hiding: Hiding
  /// The proxy that they go through; nil where they go straight to their addresses.
  package let inspector: Inspector?

  /// What of a rule's ports can be checked, or nil where none can.
  ///
  /// - Parameter isWritten: it stands at the entry, and means its every TCP port; else 443 alone, since what other ports speak
  ///   is not known where nothing is said of them. HTTP on port 80 says its name in the clear, and not like this.
  package init?(of set: PortSet, isWritten: Bool, hiding: Hiding, inspector: Inspector? = nil) {
    guard case .ports(let rules) = set else { return nil }
    let ports = rules.filter { $0.transport == .tcp && (isWritten ? $0.port != 80 : $0.port == 443) }.map(\.port)
    guard !ports.isEmpty else { return nil }
    self.ports = Set(ports).sorted()
    self.hiding = hiding
    self.inspector = inspector
  }

  private init(ports: [UInt16], hiding: Hiding, inspector: Inspector?) {
    self.ports = ports
    self.hiding = hiding
    self.inspector = inspector
  }

  /// The same, through this proxy or none.
  func inspected(by inspector: Inspector?) -> NameCheck {
    NameCheck(ports: ports, hiding: hiding, inspector: inspector)
  }

  /// Whether connections to the addresses of both need the same of what they say; what they go through is asked of each anew.
  package static func holdsAlike(_ left: NameCheck?, _ right: NameCheck?) -> Bool {
    left?.inspected(by: nil) == right?.inspected(by: nil)
  }

  /// What holds where two entries of one name meet: the check of either, and what both let pass. One that is inspected stays so; of
  /// two proxies it is the first entry's, and the linter refuses such a list.
  static func merging(_ left: NameCheck?, _ right: NameCheck?) -> NameCheck? {
    guard let left, let right else { return left ?? right }
    return NameCheck(
      ports: Set(left.ports + right.ports).sorted(), hiding: left.hiding == right.hiding ? left.hiding : .refuse,
      inspector: left.inspector ?? right.inspector)
  }

  /// Whether connections to a port are checked.
  package func covers(transport: UInt8, port: UInt16) -> Bool {
    transport == PortRule.Transport.tcp.rawValue && ports.contains(port)
  }

  /// As texts: `443/tcp`.
  package var texts: [String] { ports.map { "\($0)/tcp" } }
}

extension PortSet {
  /// Without the port of QUIC, whose hellos are not read: what is checked over TCP would not be over UDP.
  package var withoutQUIC: PortSet {
    guard case .ports(let ports) = self else { return self }
    return .ports(ports.filter { $0 != PortRule(443, .udp) })
  }
}

/// What documents, or the whole configuration, say of entries that say nothing of it.
package struct NameCheckDefaults: Hashable, Sendable {
  package var verification: NameCheck.Verification
  package var hiding: NameCheck.Hiding
  package var inspector: Inspector?

  package init(
    verification: NameCheck.Verification = .address, hiding: NameCheck.Hiding = .refuse, inspector: Inspector? = nil
  ) {
    self.verification = verification
    self.hiding = hiding
    self.inspector = inspector
  }

  /// The check of an entry that says nothing of it; nil where there is none.
  ///
  /// - Parameter isWritten: as for `NameCheck`.
  package func check(of ports: PortSet, isWritten: Bool = false) -> NameCheck? {
    guard verification == .sni else { return nil }
    return NameCheck(of: ports, isWritten: isWritten, hiding: hiding, inspector: inspector)
  }
}

extension EgressRule {
  /// The bit of its check for an element; 0 where connections there are not checked.
  package func checkBit(transport: UInt8, port: UInt16) -> UInt16 {
    check?.covers(transport: transport, port: port) ?? false ? NameCheck.capBit : 0
  }
}

extension ServerPolicy {
  /// Whether connections to the addresses of any of its names are checked.
  package var checksNames: Bool { rules.profiles.contains { $0.check != nil } }

  /// Whether they are whatever the time: by an entry that has no end.
  package var alwaysChecksNames: Bool { rules.profiles.contains { $0.check != nil && $0.until == nil } }
}
