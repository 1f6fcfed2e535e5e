import EgressPolicy
package import IPNetwork

extension FirewallPlan {
  private static let formatVersion: UInt16 = 8

  /// The fixed-layout form in which a plan travels to the bridge.
  package func encoded() -> [UInt8] {
    var writer = OctetWriter(capacity: 64 + 128 * servers.count)
    writer.integer(Self.formatVersion)
    writer.integer(mode.rawValue)
    writer.integer(family.rawValue)
    writer.text(table, limit: ServerName.maximumLength)
    writer.integer(nflogGroup)
    writer.bool(fencesInput)
    writer.bool(cutsFlows)
    writer.integer(harvestSeconds)
    writer.bool(isExclusive)
    writer.integer(gate?.port ?? 0)
    writer.integer(gate?.user ?? 0)
    writer.list(listeners) { $0.endpoint($1) }
    writer.list(upstreams) { $0.endpoint($1) }
    writer.list(forwardUpstreams) { $0.endpoint($1) }
    writer.list(released) { $0.prefix($1) }
    writer.integer(UInt32(servers.count))
    for server in servers {
      server.encode(into: &writer)
    }
    return writer.octets
  }

  /// Reads `encoded()` back and validates it.
  package init(decoding octets: [UInt8]) throws(BridgeFormatError) {
    var reader = OctetReader(octets)
    guard try reader.integer(UInt16.self) == Self.formatVersion else { throw .version }
    guard let mode = Mode(rawValue: try reader.integer()), let family = Family(rawValue: try reader.integer()) else {
      throw .field
    }
    self.init(mode: mode, family: family, table: try reader.text(limit: ServerName.maximumLength), servers: [])
    nflogGroup = try reader.integer()
    fencesInput = try reader.bool()
    cutsFlows = try reader.bool()
    harvestSeconds = try reader.integer()
    isExclusive = try reader.bool()
    let gatePort: UInt16 = try reader.integer()
    let gateUser: UInt32 = try reader.integer()
    guard gatePort != 0 || gateUser == 0 else { throw .field }
    gate = gatePort == 0 ? nil : Gate(port: gatePort, user: gateUser)
    listeners = try reader.list(width: 19) { reader throws(BridgeFormatError) in try reader.endpoint() }
    upstreams = try reader.list(width: 19) { reader throws(BridgeFormatError) in try reader.endpoint() }
    forwardUpstreams = try reader.list(width: 19) { reader throws(BridgeFormatError) in try reader.endpoint() }
    released = try reader.list(width: 18) { reader throws(BridgeFormatError) in try reader.prefix() }
    for _ in 0..<(try reader.count(width: 16)) {
      servers.append(try Server(from: &reader))
    }
    try reader.end()
    do {
      try validate()
    } catch {
      throw .field
    }
  }

  /// Tells plans apart, so that an index of one is never taken for an index of another (FNV-1a).
  package var fingerprint: UInt64 { Self.fingerprint(of: encoded()) }

  static func fingerprint(of octets: [UInt8]) -> UInt64 {
    octets.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }
}

extension FirewallPlan.Server {
  fileprivate func encode(into writer: inout OctetWriter) {
    writer.text(name, limit: ServerName.maximumLength)
    writer.bool(opensAnyPort)
    writer.integer(UInt32(prefixes.count))
    for prefix in prefixes {
      writer.prefix(prefix)
    }
    writer.integer(UInt32(staticRules.count))
    for rule in staticRules {
      writer.prefix(rule.prefix)
      writer.integer(rule.maxBytes?.bytes ?? 0)
      writer.bool(rule.maxBytes?.excess == .audit)
      writer.integer(UInt32(rule.ports.count))
      for port in rule.ports { writer.port(port) }
    }
    writer.text(interface ?? "", limit: FirewallPlan.maximumInterfaceOctets)
    writer.integer(UInt32(caps.count))
    for cap in caps {
      writer.integer(cap.kind.rawValue)
      writer.integer(cap.bytes)
      writer.bool(cap.excess == .audit)
    }
    writer.bool(inbound != nil)
    writer.list(inbound ?? []) { $0.port($1) }
    writer.bool(asksDHCP)
    writer.bool(checksNames)
    writer.bool(isGone)
    writer.list(inspectors) { $0.endpoint($1) }
    writer.list(deniedPrefixes) { $0.prefix($1) }
  }

  fileprivate init(from reader: inout OctetReader) throws(BridgeFormatError) {
    self.init(name: try reader.text(limit: ServerName.maximumLength), prefixes: [], opensAnyPort: try reader.bool())
    for _ in 0..<(try reader.count(width: 18)) {
      prefixes.append(try reader.prefix())
    }
    for _ in 0..<(try reader.count(width: 31)) {
      var rule = FirewallPlan.StaticRule(prefix: try reader.prefix(), ports: [])
      let bytes: UInt64 = try reader.integer()
      let isAudit = try reader.bool()
      guard bytes > 0 || !isAudit else { throw .field }
      rule.maxBytes = bytes == 0 ? nil : ByteBound(bytes, isAudit ? .audit : .block)
      for _ in 0..<(try reader.count(width: 3)) {
        rule.ports.append(try reader.port())
      }
      staticRules.append(rule)
    }
    let interface = try reader.text(limit: FirewallPlan.maximumInterfaceOctets)
    self.interface = interface.isEmpty ? nil : interface
    for _ in 0..<(try reader.count(width: 10)) {
      guard let kind = ByteCap.Kind(rawValue: try reader.integer()) else { throw .field }
      let bytes: UInt64 = try reader.integer()
      caps.append(ByteCap(kind: kind, bytes: bytes, excess: try reader.bool() ? .audit : .block))
    }
    let isInbound = try reader.bool()
    let ports = try reader.list(width: 3) { reader throws(BridgeFormatError) in try reader.port() }
    guard isInbound || ports.isEmpty else { throw .field }
    inbound = isInbound ? ports : nil
    asksDHCP = try reader.bool()
    checksNames = try reader.bool()
    isGone = try reader.bool()
    inspectors = try reader.list(width: 19) { reader throws(BridgeFormatError) in try reader.endpoint() }
    deniedPrefixes = try reader.list(width: 18) { reader throws(BridgeFormatError) in try reader.prefix() }
  }
}

extension OctetWriter {
  /// Appends a prefix in 18 octets.
  package mutating func prefix(_ prefix: IPPrefix) {
    address(prefix.address)
    integer(UInt8(prefix.length))
  }

  fileprivate mutating func endpoint(_ endpoint: FirewallPlan.Endpoint) {
    address(endpoint.address)
    integer(endpoint.port)
  }

  mutating func port(_ port: PortRule) {
    integer(port.transport.rawValue)
    integer(port.port)
  }
}

extension OctetReader {
  fileprivate mutating func endpoint() throws(BridgeFormatError) -> FirewallPlan.Endpoint {
    FirewallPlan.Endpoint(address: try address(), port: try integer())
  }

  mutating func port() throws(BridgeFormatError) -> PortRule {
    guard let transport = PortRule.Transport(rawValue: try integer()) else { throw .field }
    return PortRule(try integer(), transport)
  }

  /// A prefix whose address has no bit behind its length.
  package mutating func prefix() throws(BridgeFormatError) -> IPPrefix {
    let address = try address()
    let length = Int(try integer(UInt8.self))
    guard let prefix = IPPrefix(address, length: length), prefix.address == address else { throw .field }
    return prefix
  }
}
