import FirewallModel
import NFTables
import AuditLog
import ControlAPI
import DNSWire
import EgressPolicy
import Foundation
import IPNetwork
import LinuxIO
import Serving
import Settings

/// An element of the kernel, and the names that it was opened for.
struct OpenGrant {
  static let heading = ["SERVER", "ADDRESS", "PORT", "NAME", "OPENED", "REMAINING", "BYTES", "PACKETS"]

  var server: String
  var address: IPAddress
  var transport: UInt8
  var port: UInt16
  var names: [String]
  /// Seconds since 1970; nil where no journal tells.
  var opened: UInt64?
  var remainingMilliseconds: UInt64?
  var octets: UInt64?
  var packets: UInt64?

  /// Every element of the kernel's sets.
  static func all(_ table: OpenTable, server: String?) throws(SystemError) -> [OpenGrant] {
    let plan = table.plan
    let kernel = try KernelSets()
    let sets = try kernel.sets(family: plan.family, table: plan.table)
    let path = table.journal
    var status = stat()
    // Of any owner, as serve ran: names are only shown.
    let owner = unsafe lstat(path, &status) == 0 ? status.st_uid : nil
    let known = KnownOpenings(granted: table.granted, journal: GrantJournal.read(path, owner: owner))
    var rows: [OpenGrant] = []
    for owner in table.servers where server == nil || owner == server {
      for family in plan.addressFamilies {
        for kind in [SetName.Kind.ports, .anyPort] {
          let name = SetName(server: owner, family: family, kind: kind).text
          guard let set = sets[name] else { continue }
          let plain = SetShape(family: family, kind: .anyPort)
          let shape = set.fault(as: plain) == nil ? plain : SetShape(family: family, kind: kind)
          let found = try kernel.elements(
            KernelSet(family: plan.family, table: plan.table, name: name), shape: shape)
          rows += found.map { OpenGrant(owner, $0, known) }
        }
      }
    }
    return rows.sorted {
      ($0.server, $0.names.first ?? "", $0.address, $0.port) < ($1.server, $1.names.first ?? "", $1.address, $1.port)
    }
  }

  private init(_ server: String, _ found: KernelSets.Found, _ known: KnownOpenings) {
    self.server = server
    address = found.address
    transport = found.transport
    port = found.port
    (names, opened) = known.find(
      ListedElementKey(
        server: server, address: found.address.description, transport: found.transport, port: found.port))
    remainingMilliseconds = found.remainingMilliseconds
    octets = found.octets
    packets = found.packets
  }

  private var protocolName: String { TransportName.text(transport) }

  private var openedText: String? {
    opened.map { PolicyTime.text($0) }
  }

  func columns(_ times: TimeOption) -> [String] {
    [
      server, address.description, transport == 0 ? "any" : "\(port)/\(protocolName)",
      names.isEmpty ? "-" : names.joined(separator: ", "), opened.map { times.text(seconds: $0) } ?? "-",
      remainingMilliseconds.map { "\(($0 + 999) / 1_000)s" } ?? "for ever", octets.map { "\($0)" } ?? "-",
      packets.map { "\($0)" } ?? "-",
    ]
  }

  var json: String {
    func number(_ value: UInt64?) -> String { value.map { "\($0)" } ?? "null" }
    let listed = names.map(JSONText.quoted).joined(separator: ",")
    return "{\"server\":\(JSONText.quoted(server)),\"address\":\"\(address)\",\"protocol\":\"\(protocolName)\""
      + ",\"port\":\(transport == 0 ? "null" : "\(port)"),\"names\":[\(listed)]"
      + ",\"opened\":\(opened.map { JSONText.quoted(ControlAPI.time(seconds: $0)) } ?? "null")"
      + ",\"remaining_ms\":\(number(remainingMilliseconds)),\"bytes\":\(number(octets))"
      + ",\"packets\":\(number(packets))}"
  }
}
