import DNSWire

/// The records of an answer that prove something, in sets.
struct SignedMessage {
  /// Records that are looked at: what a message of 64 KiB holds of addresses. More are no answer.
  private static let maxRecords = 4_096

  let code: ResponseCode
  private(set) var answer: [RecordSet] = []
  private(set) var authority: [RecordSet] = []

  private struct Key: Hashable {
    let owner: Name
    let type: RRType
    let isAnswer: Bool
  }

  /// - Parameter type: that was asked for.
  init(_ message: Span<UInt8>, type: RRType) throws(FormatError) {
    code = try Header(parsing: message).responseCode
    var reader = try ResponseReader(message)
    var sets: [Key: RecordSet] = [:]
    var order: [Key] = []
    var signatures: [(key: Key, signature: Signature)] = []
    var count = 0
    while let record = try reader.next(message) {
      guard record.klass == .IN, record.section != .additional, Self.proves(record.type, type) else { continue }
      count += 1
      guard count <= Self.maxRecords else { throw FormatError(.count, at: record.owner) }
      var at = record.owner
      let owner = try Name(message, at: &at)
      let isAnswer = record.section == .answer
      if record.type == .RRSIG {
        let signature = try Signature(message, record.rdata)
        signatures.append((Key(owner: owner, type: signature.type, isAnswer: isAnswer), signature))
        continue
      }
      let key = Key(owner: owner, type: record.type, isAnswer: isAnswer)
      let data = try CanonicalData.read(message, record)
      if sets[key] == nil { order.append(key) }
      var set = sets[key] ?? RecordSet(owner: owner, type: record.type, ttl: record.ttl, records: [])
      set.ttl = min(set.ttl, record.ttl)
      set.records.append(data)
      sets[key] = set
    }
    for (key, signature) in signatures { sets[key]?.signatures.append(signature) }
    answer = order.filter(\.isAnswer).compactMap { sets[$0] }
    authority = order.filter { !$0.isAnswer }.compactMap { sets[$0] }
  }

  private static func proves(_ type: RRType, _ asked: RRType) -> Bool {
    switch type {
    case asked, .CNAME, .DNAME, .SOA, .NSEC, .NSEC3, .RRSIG: true
    default: false
    }
  }

  func answer(_ owner: Name, _ type: RRType) -> RecordSet? { answer.first { $0.owner == owner && $0.type == type } }

  func authority(of type: RRType) -> [RecordSet] { authority.filter { $0.type == type } }
}
