package import DNSWire
package import EgressPolicy
package import IPNetwork

/// Reduces an upstream's answer to what the asked name proves (P4).
///
/// The CNAME chain is walked owner by owner from the asked name; whatever is not on it is dropped, whatever section it
/// stands in. Additional data is never read. RFC 1034 section 3.6.2, RFC 2181 section 5, RFC 6604.
package struct Scrubber {
  /// CNAME links followed; real CDN chains have at most six, Unbound stops at eleven.
  package static let maxChain = 11
  /// Addresses of one answer; more are cut (Cilium's and GKE's limits are 50 to 1,000).
  package static let maxAddresses = 64
  /// Records kept of the asked type, and as many of the others; a 64 KiB answer of nothing but A records has 4,000.
  static let maxRecords = 512
  /// Octets of sections that one answer may take.
  static let maxSections = 16_384

  package var maxTTL: UInt32
  package var maxNegativeTTL: UInt32
  /// Whether this address may be answered behind these names of the chain, the asked one not among them: public, or in a
  /// prefix that policy names as private.
  package var admitsAddress: (IPAddress, [[UInt8]]) -> Bool
  /// Whether a chain may pass through this canonical wire name (not a special-use name).
  package var admitsTarget: ([UInt8]) -> Bool
  /// Whether a name is listed for this server.
  package var lists: ([UInt8]) -> Bool
  /// Whether this server is denied a name, whatever lists it.
  package var denies: ([UInt8]) -> Bool
  /// Which chains the rule allows.
  package var chains: ChainPolicy
  /// What of SVCB and HTTPS records may be used.
  package var service: ServiceRules

  package init(
    maxTTL: UInt32, maxNegativeTTL: UInt32, admitsAddress: @escaping (IPAddress, [[UInt8]]) -> Bool,
    admitsTarget: @escaping ([UInt8]) -> Bool, lists: @escaping ([UInt8]) -> Bool,
    denies: @escaping ([UInt8]) -> Bool = { _ in false }, chains: ChainPolicy = .follow,
    service: ServiceRules = ServiceRules()
  ) {
    self.denies = denies
    self.chains = chains
    self.service = service
    self.maxTTL = maxTTL
    self.maxNegativeTTL = maxNegativeTTL
    self.admitsAddress = admitsAddress
    self.admitsTarget = admitsTarget
    self.lists = lists
  }

  /// A record of the answer or the authority section.
  struct Record {
    var owner: [UInt8]
    var header: RecordHeader
  }

  /// Scrubs the answer to a question. The exchange has already checked id, question and source.
  package func scrub(
    _ message: Span<UInt8>, name: [UInt8], type: RRType
  ) throws(ScrubError) -> ScrubbedAnswer {
    let content = try read(message, type)
    let (code, records) = (content.header.responseCode, content.records)
    guard code == .NOERROR || code == .NXDOMAIN else { throw .invalid }
    var chain = try walk(records, message, from: name, type: type)
    let found = records.filter { $0.header.section == .answer && $0.header.type == type && $0.owner == chain.end }
    if found.isEmpty || code == .NXDOMAIN {
      guard found.isEmpty else { throw .invalid }
      return try negative(code, records, message, chain)
    }
    return try positive(found, message, (name, type), &chain, cut: content.cut)
  }

  /// What matters of a message.
  private struct Content {
    var header: Header
    var records: [Record] = []
    /// How many records of the asked type were not looked at.
    var cut = 0
  }

  /// The CNAMEs from the asked name on, followed and written.
  private struct Chain {
    var targets: [[UInt8]] = []
    /// The name that the next record belongs to: the asked one, or the last target.
    var end: [UInt8]
    var writer: SectionWriter
    /// The least of its links, in seconds.
    var ttl: UInt32
  }

  /// Every record is read to its end, and those kept that an answer may be made of.
  private func read(_ message: Span<UInt8>, _ type: RRType) throws(ScrubError) -> Content {
    do {
      var content = Content(header: try Header(parsing: message))
      var reader = try ResponseReader(message)
      // One pointer for each owner besides what a well-formed message has.
      var budget = ResponseReader.pointerBudget + 2 * Self.maxRecords
      var (asked, others) = (0, 0)
      while let record = try reader.next(message) {
        guard record.section != .additional, record.klass == .IN else { continue }
        if record.section == .answer, record.type == type {
          asked += 1
          guard asked <= Self.maxRecords else { continue }
        } else {
          guard record.type == .CNAME || record.type == .SOA || record.type == .DNAME else { continue }
          others += 1
          guard others <= Self.maxRecords else { continue }
        }
        content.records.append(Record(owner: try wireName(message, at: record.owner, &budget), header: record))
      }
      content.cut = max(asked - Self.maxRecords, 0)
      // The upper eight bits of the code stand in the OPT (RFC 6891 section 6.1.3): BADVERS looks like NOERROR here.
      guard reader.edns.map({ $0.extendedCode == 0 }) ?? true else { throw ScrubError.invalid }
      return content
    } catch {
      throw .invalid
    }
  }

  /// Follows CNAMEs from `name`, and those that DNAMEs stand for, and writes each.
  private func walk(
    _ records: [Record], _ message: Span<UInt8>, from name: [UInt8], type: RRType
  ) throws(ScrubError) -> Chain {
    var chain = Chain(end: name, writer: SectionWriter(question: name), ttl: maxTTL)
    while type != .CNAME {
      guard let link = try link(records, message, from: chain.end) else { return chain }
      let target = link.target
      guard target != name, !chain.targets.contains(target) else { throw .invalid }
      guard chain.targets.count < Self.maxChain else { throw .chainTooLong }
      guard admitsTarget(target) else { throw .notPublic(refused: [], others: []) }
      chain.ttl = min(chain.ttl, link.ttl)
      chain.writer.appendAlias(to: target, ttl: link.ttl)
      chain.targets.append(target)
      guard !denies(target) else { throw .chainDenied(chain.targets) }
      guard chains == .follow || chains == .listed && lists(target) else { throw .chainRefused(chain.targets) }
      chain.end = target
    }
    return chain
  }

  private func positive(
    _ found: [Record], _ message: Span<UInt8>, _ asked: (name: [UInt8], type: RRType), _ chain: inout Chain, cut: Int
  ) throws(ScrubError) -> ScrubbedAnswer {
    var addresses: [IPAddress] = []
    var records: [(rdata: [UInt8], ttl: UInt32)] = []
    var (left, count) = (cut, chain.targets.count)
    switch asked.type {
    case .A, .AAAA:
      let all = try admitted(found, message, behind: chain.targets)
      // Behind the longest chain there is room for as many.
      for entry in all.prefix(Self.maxAddresses) {
        addresses.append(entry.address)
        chain.writer.append(entry.address, ttl: entry.ttl)
        count += 1
      }
      left += all.count - addresses.count
    case .SVCB, .HTTPS:
      (records, addresses) = try bindings(found, message, asked.type, asked: asked.name, behind: chain.targets)
    default:
      records = try found.map { record throws(ScrubError) in (try rebuilt(message, record.header), record.header.ttl) }
    }
    for record in records {
      guard chain.writer.octets.count + record.rdata.count < Self.maxSections else {
        left += 1
        continue
      }
      chain.writer.append(asked.type, ttl: record.ttl, rdata: record.rdata)
      count += 1
    }
    // What has no room for anything is no answer without anything.
    guard left == cut || count > chain.targets.count else { throw .invalid }
    return ScrubbedAnswer(
      responseCode: .NOERROR, chain: chain.targets, addresses: addresses,
      ttl: found.reduce(chain.ttl) { min($0, $1.header.ttl) }, sections: chain.writer.octets,
      ttlOffsets: chain.writer.ttlOffsets,
      answerCount: UInt16(truncatingIfNeeded: count), authorityCount: 0, recordsCut: left)
  }

  /// The addresses of an RRset with their TTLs, each once. One that may not be opened refuses all of them.
  private func admitted(
    _ found: [Record], _ message: Span<UInt8>, behind chain: [[UInt8]]
  ) throws(ScrubError) -> [(address: IPAddress, ttl: UInt32)] {
    var addresses: [(address: IPAddress, ttl: UInt32)] = []
    // Most answers are short: looking through them costs less than hashing.
    var known: Set<IPAddress> = []
    let isLong = found.count > 16
    for record in found {
      guard let address = IPAddress(octets: message.extracting(record.header.rdata)) else { throw .invalid }
      let isNew = isLong ? known.insert(address).inserted : !addresses.contains { $0.address == address }
      if isNew { addresses.append((address, record.header.ttl)) }
    }
    guard !addresses.allSatisfy({ admitsAddress($0.address, chain) }) else { return addresses }
    let refused = addresses.map(\.address).filter { !admitsAddress($0, chain) }
    let others = addresses.map(\.address).filter { admitsAddress($0, chain) }
    throw .notPublic(
      refused: Array(refused.prefix(Self.maxAddresses)), others: Array(others.prefix(Self.maxAddresses)))
  }

  /// NXDOMAIN or NODATA: kept for min(SOA TTL, SOA MINIMUM), and not at all without an SOA (RFC 2308 section 5).
  private func negative(
    _ code: ResponseCode, _ records: [Record], _ message: Span<UInt8>, _ chain: Chain
  ) throws(ScrubError) -> ScrubbedAnswer {
    var writer = chain.writer
    var ttl: UInt32 = 0
    var authorities: UInt16 = 0
    let soa = records.first {
      $0.header.section == .authority && $0.header.type == .SOA && isAncestor($0.owner, of: chain.end)
    }
    if let soa {
      let rdata = try rebuilt(message, soa.header)
      let minimum = rdata.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      ttl = min(soa.header.ttl, minimum, maxNegativeTTL, chain.targets.isEmpty ? .max : chain.ttl)
      writer.append(owner: soa.owner, .SOA, ttl: ttl, rdata: rdata)
      authorities = 1
    }
    return ScrubbedAnswer(
      responseCode: code, chain: chain.targets, addresses: [], ttl: ttl, sections: writer.octets,
      ttlOffsets: writer.ttlOffsets, answerCount: UInt16(truncatingIfNeeded: chain.targets.count),
      authorityCount: authorities, isPositive: false)
  }

  private func isAncestor(_ owner: [UInt8], of name: [UInt8]) -> Bool { Self.labels(of: name, before: owner) != nil }

  /// How many octets of a name stand before another one in which it ends; nil where it does not.
  static func labels(of name: [UInt8], before end: [UInt8]) -> Int? {
    var at = 0
    while at < name.count {
      if name[at...].elementsEqual(end) { return at }
      at += Int(name[at]) + 1
    }
    return nil
  }

  func targetName(_ message: Span<UInt8>, _ record: RecordHeader) throws(ScrubError) -> [UInt8] {
    var budget = 128
    do {
      return try wireName(message, at: record.rdata.lowerBound, &budget)
    } catch {
      throw .invalid
    }
  }
}

/// Reads a possibly compressed name as canonical, uncompressed wire octets.
func wireName(
  _ message: Span<UInt8>, at offset: Int, _ budget: inout Int
) throws(FormatError) -> [UInt8] {
  var at = offset
  return try readName(message, &at, &budget)
}

/// As `wireName`, moving the offset past the name as it stands in the message.
package func readName(
  _ message: Span<UInt8>, _ offset: inout Int, _ budget: inout Int
) throws(FormatError) -> [UInt8] {
  var failure: FormatError?
  var at = offset
  var left = budget
  let name = [UInt8](upTo: NameWire.maxOctets) { out in
    do throws(FormatError) {
      try NameWire.read(message, at: &at, pointers: &left, into: &out)
    } catch {
      failure = error
    }
  }
  if let failure { throw failure }
  offset = at
  budget = left
  return name
}
