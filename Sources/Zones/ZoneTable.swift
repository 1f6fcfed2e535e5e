import DNSWire
import IPNetwork

/// The zones as one table of names and one of records.
struct ZoneTable: Sendable {
  private var index = NameIndex()
  /// The records of all names; each node of the index holds a range of them.
  private var records: [LocalRecord] = []
  private var zones: [Zone] = []
  /// The SOA that stands in the authority section of every denial.
  let sinkholeSOA: LocalRecord

  private struct Zone: Sendable {
    var soa: LocalRecord
    /// Nothing but the SOA (and NS records, which say nothing here).
    var isEmpty: Bool
  }

  /// What denials carry when no zone of the root is configured: the shipped one.
  private static let shippedSOA: LocalRecord = {
    guard let record = ZoneReader([("sinkhole.zone", Array(ShippedZones.sinkhole.utf8))]).sinkhole else {
      preconditionFailure("the shipped sinkhole.zone has no SOA of the root")
    }
    return record
  }()

  /// Reads zone files.
  ///
  /// - Throws: every fault of every file, with its line.
  init(files: [(path: String, text: [UInt8])]) throws(ZoneErrors) {
    var reader = ZoneReader(files)
    sinkholeSOA = reader.sinkhole ?? Self.shippedSOA
    zones = reader.apexes.map { Zone(soa: $0, isEmpty: true) }
    // Sorted, so that the same files give the same order of everything.
    for (owner, entries) in reader.entries.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
      let node = index.insert(owner)
      index.setRecords(Int32(records.count)..<Int32(records.count + entries.count), of: node)
      records += entries.map(\.record)
      if let zone = reader.zone(ofApex: owner) { index.setZone(zone, of: node) }
    }
    index.inheritZones()
    for node in index.nodes where node.zone >= 0 {
      if self.records(of: node).contains(where: { $0.type != .SOA && $0.type != .NS }) {
        zones[Int(node.zone)].isEmpty = false
      }
    }
    for entry in reader.entries.values.joined() where entry.record.type == .CNAME {
      if let fault = fault(ofAlias: entry.record) { reader.refuse(entry, fault) }
    }
    guard reader.errors.isEmpty else {
      throw ZoneErrors(reader.errors.sorted { ($0.file, $0.line) < ($1.file, $1.line) })
    }
  }

  /// Every address that an A or AAAA record holds.
  var addresses: Set<IPAddress> {
    Set(records.lazy.filter { $0.type == .A || $0.type == .AAAA }.compactMap { IPAddress(octets: $0.rdata.span) })
  }

  /// What the zones say about a question; nil if its name is in none of them. Allocates nothing then.
  ///
  /// - Parameter name: canonical wire octets.
  func answer(name: Span<UInt8>, type: RRType) -> LocalAnswer? {
    guard let match = index.match(name), match.node.zone >= 0 else { return nil }
    let zone = zones[Int(match.node.zone)]
    var result = LocalAnswer(responseCode: .NOERROR, records: [], soa: zone.soa, isEmptyZone: zone.isEmpty)
    // An empty zone denies its own name too: `use-application-dns.net` and its like must not exist.
    guard !zone.isEmpty, let node = node(for: match) else {
      result.responseCode = .NXDOMAIN
      return result
    }
    let owner = [UInt8](capacity: name.count) { $0.append(contentsOf: name) }
    collect(type, from: node, owner: owner, into: &result)
    return result
  }

  /// Links of an alias chain inside the local zones.
  private static let maxChain = 8

  /// Adds a name's records of a type, and follows an alias to where it leads.
  private func collect(_ type: RRType, from node: NameIndex.Node, owner: [UInt8], into result: inout LocalAnswer) {
    var node = node
    var owner = owner
    for _ in 0...Self.maxChain {
      let found = records(of: node).filter { $0.type == type || $0.type == .CNAME }
      result.records += found.map { LocalRecord(owner: owner, type: $0.type, ttl: $0.ttl, rdata: $0.rdata) }
      guard type != .CNAME, let alias = found.first, alias.type == .CNAME else { return }
      guard let match = index.match(alias.rdata.span), let target = self.node(for: match) else {
        // The response code is that of the last name of the chain (RFC 6604 section 3).
        result.responseCode = .NXDOMAIN
        return
      }
      node = target
      owner = alias.rdata
    }
  }

  /// The node whose records answer: the name's own, or the wildcard below its closest encloser (RFC 4592 section 3.3.1).
  private func node(for match: NameIndex.Match) -> NameIndex.Node? {
    if match.isExact { return match.node }
    return match.node.wildcard < 0 ? nil : index.nodes[Int(match.node.wildcard)]
  }

  private func records(of node: NameIndex.Node) -> ArraySlice<LocalRecord> {
    records[Int(node.records.lowerBound)..<Int(node.records.upperBound)]
  }

  /// Why an alias answers nothing: clients do not follow it further, and neither does the resolver.
  private func fault(ofAlias alias: LocalRecord) -> String? {
    var target = alias.rdata
    for _ in 0..<Self.maxChain {
      guard let match = index.match(target.span), match.node.zone >= 0 else {
        return "a CNAME to \(NameWire.presentation(target.span)), which is in no local zone"
      }
      guard let next = node(for: match).flatMap({ records(of: $0).first }), next.type == .CNAME else { return nil }
      target = next.rdata
    }
    return "a CNAME chain that loops or has more than \(Self.maxChain) links"
  }
}
