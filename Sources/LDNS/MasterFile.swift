import CLDNS
package import DNSWire

/// Reads master-file text (RFC 1035 section 5) with libldns, record by record.
///
/// libldns sees only what the operator wrote, never an octet from the network.
package enum MasterFile {
  /// A zone file of local names is some kilobytes; more is a mistake.
  static let maxOctets = 16 << 20
  /// Records of one file: names of a host's own, not a copy of the Internet.
  static let maxRecords = 100_000
  /// Faults reported of one file; a longer list says only that this is no zone file.
  static let maxFaults = 100

  /// A record of class IN.
  package struct Record: Equatable, Sendable {
    /// Canonical, uncompressed wire name.
    package let owner: [UInt8]
    package let type: RRType
    /// Seconds.
    package let ttl: UInt32
    /// Wire form, names in it uncompressed; at least one octet, at most 65,535.
    package let rdata: [UInt8]
    /// The line that it starts on, counted from 1.
    package let line: Int

    package init(owner: [UInt8], type: RRType, ttl: UInt32, rdata: [UInt8], line: Int) {
      (self.owner, self.type, self.ttl, self.rdata, self.line) = (owner, type, ttl, rdata, line)
    }
  }

  /// What is wrong with the text.
  package struct Fault: Equatable, Sendable {
    /// Counted from 1; 0 for the text as a whole.
    package let line: Int
    package let message: String
  }

  /// Reads `text` to its end, or until there is too much of records or faults; reading goes on after each fault.
  ///
  /// - Returns: records and faults, both in the order of lines.
  package static func read(_ text: [UInt8]) -> (records: [Record], faults: [Fault]) {
    if let message = fault(of: text) { return ([], [Fault(line: 0, message: message)]) }
    var copy = text
    copy.append(UInt8(ascii: "\n"))
    return unsafe copy.withUnsafeMutableBytes { buffer in
      guard let file = unsafe fmemopen(buffer.baseAddress, buffer.count, "r") else {
        return ([], [Fault(line: 0, message: "out of memory")])
      }
      defer { unsafe fclose(file) }
      return unsafe readRecords(file)
    }
  }

  private static func fault(of text: [UInt8]) -> String? {
    guard text.count <= maxOctets else { return "the zone file is larger than \(maxOctets >> 20) MiB" }
    guard !text.isEmpty else { return "the zone file is empty" }
    return text.contains(0) ? "the zone file holds a NUL octet" : nil
  }

  private static func readRecords(_ file: UnsafeMutablePointer<FILE>) -> (records: [Record], faults: [Fault]) {
    var records: [Record] = []
    var faults: [Fault] = []
    var parser = unsafe RecordParser(file: file)
    defer { unsafe parser.free() }
    while let step = unsafe parser.next() {
      switch step {
      case .nothing:
        continue
      case .record(let record):
        records.append(record)
        guard records.count > maxRecords else { continue }
        faults.append(Fault(line: record.line, message: "more than \(maxRecords) records"))
        return (records, faults)
      case .fault(let fault):
        faults.append(fault)
        guard faults.count < maxFaults else { return (records, faults) }
      }
    }
    return (records, faults)
  }
}

/// The state that libldns carries from one record to the next, and one step of it.
@unsafe private struct RecordParser {
  enum Step {
    case record(MasterFile.Record)
    /// An empty line, a comment or a directive.
    case nothing
    case fault(MasterFile.Fault)
  }

  let file: UnsafeMutablePointer<FILE>
  private var ttl: UInt32 = 3600
  private var line: Int32 = 1
  private var origin = unsafe ldns_dname_new_frm_str(".")
  private var previous: UnsafeMutablePointer<ldns_rdf>?

  init(file: UnsafeMutablePointer<FILE>) {
    unsafe self.file = unsafe file
  }

  mutating func free() {
    unsafe ldns_rdf_deep_free(origin)
    unsafe ldns_rdf_deep_free(previous)
  }

  /// Reads to the end of the next record; nil at the end of the file.
  mutating func next() -> Step? {
    guard unsafe feof(file) == 0 else { return nil }
    let start = Int(unsafe line)
    let position = unsafe ftell(file)
    var record: UnsafeMutablePointer<ldns_rr>?
    let status = unsafe ldns_rr_new_frm_fp_l(&record, file, &ttl, &origin, &previous, &line)
    defer { unsafe ldns_rr_free(record) }
    switch status {
    case LDNS_STATUS_OK:
      guard let record = unsafe record else { return .nothing }
      switch unsafe convert(record, line: start) {
      case .success(let converted): return .record(converted)
      case .failure(let refusal): return .fault(MasterFile.Fault(line: start, message: refusal.text))
      }
    case LDNS_STATUS_SYNTAX_TTL, LDNS_STATUS_SYNTAX_ORIGIN, LDNS_STATUS_SYNTAX_EMPTY:
      return .nothing
    case LDNS_STATUS_SYNTAX_INCLUDE:
      return .fault(
        MasterFile.Fault(line: start, message: "$INCLUDE is not read; name the file under `zones` instead"))
    default:
      // Without progress the next step would say the same again.
      guard unsafe ftell(file) != position else { return nil }
      let reason = unsafe ldns_get_errorstr_by_id(status).map { unsafe String(cString: $0) } ?? "syntax error"
      return .fault(
        MasterFile.Fault(line: start, message: "\(reason); expected `owner [TTL] [IN] type value`"))
    }
  }

  private struct LineError: Error {
    var text: String
  }

  private func convert(
    _ record: UnsafeMutablePointer<ldns_rr>, line: Int
  ) -> Result<MasterFile.Record, LineError> {
    guard unsafe ldns_rr_get_class(record) == LDNS_RR_CLASS_IN else {
      return .failure(LineError(text: "a record of another class; local data is of class IN"))
    }
    guard let owner = unsafe ldns_rr_owner(record) else {
      return .failure(LineError(text: "a record without an owner"))
    }
    unsafe ldns_dname2canonical(owner)
    unsafe ldns_rr2canonical(record)
    let name = unsafe octets(owner)
    // $GENERATE and misspelt directives read like owners.
    guard name.count < 2 || name[1] != UInt8(ascii: "$") else {
      return .failure(LineError(text: "an unknown directive; $ORIGIN and $TTL are read"))
    }
    var rdata: [UInt8] = []
    for index in 0..<(unsafe ldns_rr_rd_count(record)) {
      guard let field = unsafe ldns_rr_rdf(record, index) else {
        return .failure(LineError(text: "a record without its value"))
      }
      rdata += unsafe octets(field)
    }
    guard !rdata.isEmpty else { return .failure(LineError(text: "a record without its value")) }
    guard rdata.count <= Int(UInt16.max) else { return .failure(LineError(text: "a value of more than 65535 octets")) }
    let type = RRType(rawValue: UInt16(truncatingIfNeeded: unsafe ldns_rr_get_type(record).rawValue))
    return .success(
      MasterFile.Record(owner: name, type: type, ttl: unsafe ldns_rr_ttl(record), rdata: rdata, line: line))
  }

  /// The wire octets of a field: libldns keeps `size` octets at `data`.
  private func octets(_ field: UnsafePointer<ldns_rdf>) -> [UInt8] {
    let count = unsafe ldns_rdf_size(field)
    guard count > 0, let data = unsafe ldns_rdf_data(field) else { return [] }
    return unsafe Array(UnsafeBufferPointer(start: data, count: count))
  }
}
