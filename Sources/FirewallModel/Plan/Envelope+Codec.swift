import EgressPolicy
import IPNetwork

extension Envelope {
  private static let formatVersion: UInt16 = 2
  /// Far above what the largest policy takes.
  package static let maximumOctets = 32 << 20

  /// The form in which an envelope travels from the process that reads it.
  package func encoded() -> [UInt8] {
    let plan = plan.encoded()
    var writer = OctetWriter(capacity: plan.count + 64 * reaches.count + 32 * zoneAddresses.count)
    writer.integer(Self.formatVersion)
    writer.integer(permitPorts.rawValue)
    writer.list(permitDefaults) { $0.port($1) }
    writer.integer(maxLifetimeMilliseconds)
    writer.list(zoneAddresses.sorted()) { $0.address($1) }
    writer.list(reaches.sorted { $0.key < $1.key }) { writer, entry in
      writer.text(entry.key, limit: ServerName.maximumLength)
      writer.bool(entry.value.ports != nil)
      writer.list(entry.value.ports ?? []) { $0.port($1) }
      writer.list(entry.value.privatePrefixes) { $0.prefix($1) }
      writer.list(entry.value.checkedPorts) { $0.integer($1) }
    }
    writer.integer(UInt32(plan.count))
    writer.bytes(plan)
    return writer.octets
  }

  /// Reads `encoded()` back; the plan in it is validated.
  package init(decoding octets: [UInt8]) throws(BridgeFormatError) {
    guard octets.count <= Self.maximumOctets else { throw .tooLong }
    var reader = OctetReader(octets)
    guard try reader.integer(UInt16.self) == Self.formatVersion else { throw .version }
    guard let permitPorts = PermitPorts(rawValue: try reader.integer()) else { throw .field }
    let defaults = try reader.list(width: 3) { reader throws(BridgeFormatError) in try reader.port() }
    let lifetime: UInt32 = try reader.integer()
    let addresses = try reader.list(width: 17) { reader throws(BridgeFormatError) in try reader.address() }
    var reaches: [String: Reach] = [:]
    for _ in 0..<(try reader.count(width: 15)) {
      let name = try reader.text(limit: ServerName.maximumLength)
      let isBound = try reader.bool()
      let ports = try reader.list(width: 3) { reader throws(BridgeFormatError) in try reader.port() }
      guard isBound || ports.isEmpty else { throw .field }
      let prefixes = try reader.list(width: 18) { reader throws(BridgeFormatError) in try reader.prefix() }
      let checked = try reader.list(width: 2) { reader throws(BridgeFormatError) in try reader.integer(UInt16.self) }
      reaches[name] = Reach(ports: isBound ? ports : nil, privatePrefixes: prefixes, checkedPorts: checked)
    }
    let plan = try FirewallPlan(decoding: try reader.bytes(try reader.count(width: 1)))
    try reader.end()
    self.init(
      plan: plan, reaches: reaches, permitPorts: permitPorts, permitDefaults: defaults,
      maxLifetimeMilliseconds: lifetime, zoneAddresses: Set(addresses))
  }
}
