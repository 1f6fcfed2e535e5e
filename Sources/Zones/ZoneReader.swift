import DNSWire
import LDNS

/// Gathers the records of all zone files and refuses what no server could answer from.
struct ZoneReader {
  struct Entry {
    var record: LocalRecord
    var file: String
    var line: Int
  }

  /// The SOA of denials, if a zone of the root was read.
  private(set) var sinkhole: LocalRecord?
  /// The SOAs of all other zones, each starting one.
  private(set) var apexes: [LocalRecord] = []
  private(set) var errors: [ZoneError] = []
  /// The records of each name; a name's RRsets have one TTL each (RFC 2181 section 5.2).
  private(set) var entries: [[UInt8]: [Entry]] = [:]
  private var zoneOfApex: [[UInt8]: Int32] = [:]

  /// Reads all files before it judges any record: the SOA may stand in another file than the data.
  init(_ files: [(path: String, text: [UInt8])]) {
    var read: [Entry] = []
    for file in files {
      let (records, faults) = MasterFile.read(file.text)
      errors += faults.map { ZoneError(file: file.path, line: $0.line, message: $0.message) }
      read += records.map { record in
        Entry(
          record: LocalRecord(owner: record.owner, type: record.type, ttl: record.ttl, rdata: record.rdata),
          file: file.path, line: record.line)
      }
    }
    for entry in read where entry.record.type == .SOA {
      start(entry)
    }
    for entry in read where entry.record.type != .SOA {
      add(entry)
    }
    alignTTLs()
  }

  /// The zone of an apex.
  func zone(ofApex owner: [UInt8]) -> Int32? {
    zoneOfApex[owner]
  }

  mutating func refuse(_ entry: Entry, _ message: String) {
    errors.append(ZoneError(file: entry.file, line: entry.line, message: message))
  }

  private mutating func start(_ entry: Entry) {
    var entry = entry
    let owner = entry.record.owner
    // A denial lives as long as the smaller of the two says (RFC 2308 section 5).
    let minimum = entry.record.rdata.span.read32(entry.record.rdata.count - 4) ?? 0
    entry.record.ttl = min(entry.record.ttl, minimum)
    if owner == [0] {
      guard sinkhole == nil else { return refuse(entry, "a second SOA of the root") }
      sinkhole = entry.record
      return
    }
    guard zoneOfApex[owner] == nil else { return refuse(entry, "a second SOA of \(text(owner))") }
    zoneOfApex[owner] = Int32(apexes.count)
    apexes.append(entry.record)
    entries[owner, default: []].append(entry)
  }

  private mutating func add(_ entry: Entry) {
    let record = entry.record
    if record.owner == [0] {
      guard record.type != .NS else { return }
      return refuse(entry, "the zone of the root holds only the SOA of denials")
    }
    guard isInZone(record.owner) else {
      return refuse(entry, "\(text(record.owner)) is in no zone; expected an SOA of it or of a name above it")
    }
    if let fault = fault(of: record) { return refuse(entry, fault) }
    let others = entries[record.owner, default: []]
    guard !others.contains(where: { $0.record.type == record.type && $0.record.rdata == record.rdata }) else { return }
    if !others.isEmpty, record.type == .CNAME || others.contains(where: { $0.record.type == .CNAME }) {
      return refuse(entry, "a CNAME of \(text(record.owner)) beside other records (RFC 1034 section 3.6.2)")
    }
    entries[record.owner, default: []].append(entry)
  }

  private func fault(of record: LocalRecord) -> String? {
    if record.type.isMeta { return "\(record.type) is no type of a record" }
    if record.type == .DNAME { return "a DNAME; local zones know only CNAME" }
    if record.type == .NS, zoneOfApex[record.owner] == nil {
      return "a delegation of \(text(record.owner)); local zones have none"
    }
    return nil
  }

  private func isInZone(_ owner: [UInt8]) -> Bool {
    var at = 0
    while at < owner.count, owner[at] != 0 {
      if zoneOfApex[Array(owner[at...])] != nil { return true }
      at += Int(owner[at]) + 1
    }
    return false
  }

  private mutating func alignTTLs() {
    for (owner, records) in entries {
      var least: [RRType: UInt32] = [:]
      for entry in records {
        least[entry.record.type] = min(entry.record.ttl, least[entry.record.type] ?? .max)
      }
      entries[owner] = records.map { entry in
        var entry = entry
        entry.record.ttl = least[entry.record.type] ?? entry.record.ttl
        return entry
      }
    }
  }

  private func text(_ owner: [UInt8]) -> String {
    NameWire.presentation(owner.span)
  }
}
