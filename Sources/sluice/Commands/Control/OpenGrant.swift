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
  static let heading = ["SERVER", "ADDRESS", "PORT", "VERIFY", "NAME", "OPENED", "REMAINING", "BYTES", "PACKETS"]

  var server: String
  var address: IPAddress
  var transport: UInt8
  var port: UInt16
  var names: [String]
  /// Whether connections have to say one of them.
  var isChecked: Bool
  /// The proxies that connections for its names go through, each once.
  var inspectors: [String]
  /// Names besides, of any server, that have the address open.
  var shared: [String]
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
          let checked = kind == .ports ? try self.checked(owner, family, plan, kernel, sets) : []
          rows += found.map { OpenGrant(owner, $0, known, checked) }
        }
      }
    }
    return rows.sorted {
      ($0.server, $0.names.first ?? "", $0.address, $0.port) < ($1.server, $1.names.first ?? "", $1.address, $1.port)
    }
  }

  /// The elements of a server whose connections have to say a name.
  private static func checked(
    _ server: String, _ family: IPAddress.Family, _ plan: FirewallPlan, _ kernel: KernelSets,
    _ sets: [String: SetDescription]
  ) throws(SystemError) -> Set<ListedElementKey> {
    let name = SetName(server: server, family: family, kind: .ports, check: .sni).text
    guard sets[name] != nil else { return [] }
    let set = KernelSet(family: plan.family, table: plan.table, name: name)
    let found = try kernel.elements(set, shape: SetShape(family: family, kind: .ports))
    return Set(found.map { ListedElementKey(server, $0) })
  }

  private init(
    _ server: String, _ found: KernelSets.Found, _ known: KnownOpenings, _ checked: Set<ListedElementKey>
  ) {
    let key = ListedElementKey(server, found)
    self.server = server
    address = found.address
    transport = found.transport
    port = found.port
    (names, opened) = known.find(key)
    isChecked = checked.contains(key)
    shared = known.shared(key)
    inspectors = known.inspectors(key)
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
      isChecked ? "sni" : "address", nameText, opened.map { times.text(seconds: $0) } ?? "-",
      remainingMilliseconds.map { "\(($0 + 999) / 1_000)s" } ?? "for ever", octets.map { "\($0)" } ?? "-",
      packets.map { "\($0)" } ?? "-",
    ]
  }

  /// With the names besides to which an address leads where none has to be said.
  private var nameText: String {
    guard !names.isEmpty else { return "-" }
    let others = isChecked ? [] : shared.filter { !names.contains($0) }
    return names.joined(separator: ", ") + (others.isEmpty ? "" : "; as \(others.joined(separator: ", "))")
  }

  var json: String {
    func number(_ value: UInt64?) -> String { value.map { "\($0)" } ?? "null" }
    let listed = names.map(JSONText.quoted).joined(separator: ",")
    let others = shared.map(JSONText.quoted).joined(separator: ",")
    let proxies = inspectors.map(JSONText.quoted).joined(separator: ",")
    return "{\"server\":\(JSONText.quoted(server)),\"address\":\"\(address)\",\"protocol\":\"\(protocolName)\""
      + ",\"port\":\(transport == 0 ? "null" : "\(port)"),\"names\":[\(listed)]"
      + ",\"verify\":\"\(isChecked ? "sni" : "address")\",\"inspect\":[\(proxies)],\"shared\":[\(others)]"
      + ",\"opened\":\(opened.map { JSONText.quoted(ControlAPI.time(seconds: $0)) } ?? "null")"
      + ",\"remaining_ms\":\(number(remainingMilliseconds)),\"bytes\":\(number(octets))"
      + ",\"packets\":\(number(packets))}"
  }
}
